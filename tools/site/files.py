"""Sphinx extension: the last touch to the built files.

Each page states what it may load: nothing from elsewhere, and no script but the site's
own files and those lines that stand in it. The licences lie beside what they cover,
and what no page asks for is left out.
"""

import base64
import hashlib
import shutil
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path

from sphinx.application import Sphinx

from tools.book import ROOT

LICENCES = ("LICENSE", "LICENSE-CONTENT")
# Of a page opened from disk, 'self' is nothing in some browsers: hence file:.
POLICY = {
    "default-src": "'self' file:",
    "script-src": "'self' file:",
    "style-src": "'self' file: 'unsafe-inline'",  # the theme's and MathJax's
    "img-src": "'self' file: data: blob:",
    "font-src": "'self' file: data:",
    "connect-src": "'none'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self' file:",  # the search
}
FIRST = '<meta charset="utf-8" />'
NOT_NEEDED = (
    "**/*.map",
    "locales",  # of the theme; the book speaks English
    "*webpack-macros.html",
    "vendor/fontawesome/*/js",  # the icons come from the style sheet
    "mathjax/*.js",  # whole programs, of which tex-chtml.js is the one in use
)
NEEDED = "tex-chtml.js"
# At the end of MathJax's a11y/sre.js, which reads formulas aloud.
EXPLORER = """
/* Changed by this book: the words come as scripts, mathmaps/LOCALE.js, and formulas
   wait for them, also when the explorer is switched on in the menu. */
window.mathmaps = {};
{
  const folder = document.currentScript.src.replace(/a11y.sre.js.*/, "sre/mathmaps/");
  SREfeature.custom = locale => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `${folder}${locale}.js`;
    script.onload = () => resolve(JSON.stringify(mathmaps[locale]));
    script.onerror = reject;
    document.head.append(script);
  });
  const menu = MathJax._.ui?.menu.Menu.Menu.prototype, { rerender } = menu ?? {};
  if (menu) menu.rerender = function(start) {
    MathJax._.mathjax.mathjax.handleRetriesFor(() => rerender.call(this, start));
  };
}
"""


class Scripts(HTMLParser):
    """What runs in a page without a file of its own: scripts and event handlers."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.handlers: list[str] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.inside = tag == "script" and "src" not in dict(attributes)
        if self.inside:
            self.scripts.append("")
        self.handlers += [text for name, text in attributes if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, text: str) -> None:
        if self.inside:
            self.scripts[-1] += text


def hashes(texts: list[str]) -> Iterator[str]:
    """How a policy names these scripts, each once."""
    for text in sorted(set(texts)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        yield f"'sha256-{digest}'"


def policy(page: str, own: bool = True) -> str:
    """The Content-Security-Policy of a page.

    ``own``: of the scripts without a file only those that stand in the page may run.
    """
    found = Scripts(page)
    sources = [POLICY["script-src"], *hashes(found.scripts)]
    if found.handlers:
        sources += ["'unsafe-hashes'", *hashes(found.handlers)]
    if not own:
        sources[1:] = ["'unsafe-inline'"]
    rules = POLICY | {"script-src": " ".join(sources)}
    return "; ".join(f"{name} {rule}" for name, rule in rules.items())


def guarded(page: str, own: bool = True) -> str:
    """The page with its policy, before anything that the policy is to hold for."""
    if 'http-equiv="Content-Security-Policy"' in page:
        return page  # from an earlier build
    content = escape(policy(page, own), quote=False)
    meta = f'<meta http-equiv="Content-Security-Policy" content="{content}" />'
    return page.replace(FIRST, f"{FIRST}\n    {meta}", 1)


def explorer_from_disk(mathjax: Path) -> None:
    """Bring what MathJax reads formulas aloud with as scripts: a page opened from disk
    may ask for no other file."""
    for path in (mathjax / "sre" / "mathmaps").glob("*.json"):
        script = f"mathmaps[{path.stem!r}] = {path.read_text('utf-8')};\n"
        path.with_suffix(".js").write_text(script, "utf-8")
        path.unlink()
    program = mathjax / "a11y" / "sre.js"
    text = program.read_text("utf-8")
    if EXPLORER not in text:
        program.write_text(text + EXPLORER, "utf-8")


def leave_out(static: Path) -> None:
    """Delete what extensions bring and no page asks for."""
    for pattern in NOT_NEEDED:
        for path in [*static.glob(pattern)]:
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != NEEDED:
                path.unlink()


def tidy(static: Path) -> None:
    """Finish the folder _static of a site, or of the slides."""
    leave_out(static)
    explorer_from_disk(static / "mathjax")


def finish(app: Sphinx, problem: Exception | None) -> None:
    """Called when a build has ended; ``problem`` says how, if badly."""
    if problem or app.builder.format != "html":
        return
    site = Path(app.outdir)
    for name in LICENCES:
        shutil.copy(ROOT / name, site / f"{name}.txt")
    tidy(site / "_static")
    for path in site.rglob("*.html"):
        path.write_text(guarded(path.read_text("utf-8")), "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("build-finished", finish, priority=900)  # after all others
    return {"parallel_read_safe": True, "parallel_write_safe": True}
