"""The last touch to a site's files: policy, explorer, what is left out."""

from base64 import b64encode
from hashlib import sha256

from bs4 import BeautifulSoup

from tools.site.files import NEEDED, guarded, tidy

PAGE = """<!DOCTYPE html>
<html><head>
    <meta charset="utf-8" />
    <script>let a = "one" && '<b>';</script>
    <script src="file.js">ignored</script>
</head><body onload="go(&quot;there&quot;)">
<p>In words: &lt;script&gt;let b&lt;/script&gt;, onclick="never()".</p>
</body></html>
"""


def rules(page):
    """The directives of a page's policy, and what each allows."""
    first = BeautifulSoup(page, "html.parser").head.find_all(True)[1]
    assert first["http-equiv"] == "Content-Security-Policy"
    return {rule.split()[0]: rule.split()[1:] for rule in first["content"].split("; ")}


def named(script):
    """A script as a policy names it."""
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


def test_only_scripts_and_handlers_that_stand_in_a_page_may_run():
    first, second = named("let a = \"one\" && '<b>';"), named('go("there")')
    allowed = ["'self'", "file:", first, "'unsafe-hashes'", second]
    assert rules(guarded(PAGE))["script-src"] == allowed


def test_a_page_without_handlers_allows_none():
    page = PAGE.replace("onload", "data-load")
    assert "'unsafe-hashes'" not in rules(guarded(page))["script-src"]


def test_slides_allow_the_scripts_of_the_speakers_window():
    allowed = ["'self'", "file:", "'unsafe-inline'"]
    assert rules(guarded(PAGE, own=False))["script-src"] == allowed


def test_no_rule_names_another_place():
    for sources in rules(guarded(PAGE)).values():
        assert not any("*" in source or "http" in source for source in sources)


def test_a_page_that_was_guarded_before_stays():
    assert guarded(guarded(PAGE)) == guarded(PAGE)


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", "utf-8")


def files(folder):
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix() for path in found}


def test_what_no_page_asks_for_is_left_out(tmp_path):
    kept = {
        "book.js",
        f"mathjax/{NEEDED}",
        "mathjax/LICENSE.txt",
        "mathjax/a11y/sre.js",
    }
    fill(tmp_path, *kept)
    fill(tmp_path, "styles/a.css.map", "locales/de/a.po", "mathjax/core.js")
    fill(tmp_path, "sbt-webpack-macros.html", "vendor/fontawesome/6/js/all.js")
    tidy(tmp_path)
    assert files(tmp_path) == kept


def test_words_of_the_explorer_become_scripts_once(tmp_path):
    fill(tmp_path, "mathjax/a11y/sre.js", "mathjax/sre/mathmaps/en.json")
    tidy(tmp_path)
    program = (tmp_path / "mathjax/a11y/sre.js").read_text("utf-8")
    tidy(tmp_path)
    assert files(tmp_path) == {"mathjax/a11y/sre.js", "mathjax/sre/mathmaps/en.js"}
    words = (tmp_path / "mathjax/sre/mathmaps/en.js").read_text("utf-8")
    assert words == "mathmaps['en'] = {};\n"
    assert (tmp_path / "mathjax/a11y/sre.js").read_text("utf-8") == program
