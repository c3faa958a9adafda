/* What every object inherits ("constructor", "__proto__") is no term of the search's index: its tables inherit nothing but
   the one method that the search itself calls. */
{
  const bare = Object.create(null, { hasOwnProperty: { value: Object.prototype.hasOwnProperty } });
  for (const table of [Search._index.terms, Search._index.titleterms]) Object.setPrototypeOf(table, bare);
}
