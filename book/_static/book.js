/* Paper is white: a page is printed in its light theme, and shown in the reader's own again. */
(() => {
  const page = document.documentElement.dataset;
  let shown;
  function onPaper() {
    shown ??= page.theme;
    page.theme = "light";
  }
  function onScreen() {
    page.theme = shown ?? page.theme;
    shown = undefined;
  }
  addEventListener("beforeprint", onPaper);
  addEventListener("afterprint", onScreen);
  matchMedia("print").addEventListener("change", ({ matches }) => matches ? onPaper() : onScreen());
})();
