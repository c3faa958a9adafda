/* Paper is white: a page is printed in its light theme, and shown in the reader's own again. */
(() => {
  const page = document.documentElement.dataset;
  let shown;
  addEventListener("beforeprint", () => {
    shown ??= page.theme;
    page.theme = "light";
  });
  addEventListener("afterprint", () => {
    page.theme = shown ?? page.theme;
    shown = undefined;
  });
})();
