/* What folds (tools/site/folds.py) opens for a link that leads into it, for a word that was searched, for the button and
   for paper. layout.html has closed it. */
{
  const page = document.documentElement.dataset;
  const folds = [...document.querySelectorAll(".fold")];

  /* Unfold all that stands around an element; whether anything did. */
  const unfold = element => {
    const closed = folds.filter(fold => fold.contains(element) && !fold.open);
    for (const fold of closed) fold.open = true;
    return closed.length > 0;
  };
  const named = hash => document.getElementById(decodeURIComponent(hash.slice(1)));

  const arrive = () => {
    const place = named(location.hash);
    if (unfold(place)) place.scrollIntoView({ behavior: "instant" });
  };
  addEventListener("hashchange", arrive);
  document.addEventListener("click", event => { // before the browser goes there, and when it is there already
    const link = event.target.closest("a[href^='#']");
    if (link) unfold(named(link.hash));
  });

  // All but answers: a reader who wants the proofs may want to think about the questions.
  const answers = ".question, .solution";
  document.querySelector(".fold-all")?.addEventListener("click", () => {
    page.folds = page.folds == "open" ? "closed" : "open";
    localStorage.setItem("folds", page.folds);
    for (const fold of folds)
      if (!fold.matches(answers)) fold.open = page.folds == "open";
  });

  const printed = [];
  addEventListener("beforeprint", () => {
    printed.push(...folds.filter(fold => !fold.open));
    for (const fold of printed) fold.open = true;
  });
  addEventListener("afterprint", () => {
    for (const fold of printed.splice(0)) fold.open = false;
  });

  // Sphinx marks the words of a search in 10 ms, which it has begun to wait before this.
  setTimeout(() => document.querySelectorAll(".fold > :not(summary) .highlighted").forEach(unfold), 10);
  arrive();
}
