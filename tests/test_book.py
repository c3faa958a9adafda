"""The sources of the book agree with each other, the library and the records."""

import ast
import importlib.metadata
import re
import shutil
import tomllib

import numpy as np
import pytest
import yaml
from PIL import Image

from tools import book, diagrams, register
from tools import configure as configure_tool
from tools import notebooks as notebook_tool
from tools.book import NOTEBOOKS, ROOT, STATIC
from vae_lib.checkpoints import PRETRAINED, load_pretrained
from vae_lib.configs import SequenceConfig
from vae_lib.recipes import from_file

pytestmark = pytest.mark.book

TOC = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
PAGES = sorted((ROOT / "book").glob("*.md"))


def toc_files(node):
    """Every `file` below a node of the table of contents."""
    if isinstance(node, dict):
        yield from ([node["file"]] if "file" in node else [])
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        yield from toc_files(child)


def text(name):
    return (ROOT / name).read_text("utf-8")


def test_table_of_contents_lists_just_what_is_there():
    listed = {TOC["root"], *toc_files(TOC)}
    sources = {*PAGES, *NOTEBOOKS.rglob("*.ipynb")}
    there = {path.relative_to(ROOT).with_suffix("").as_posix() for path in sources}
    assert listed == there


def test_page_and_notebooks_share_number_and_slug():
    named = [book.notebooks_of(path.stem) for path in book.chapter_pages()]
    assert sorted(sum(named, [])) == sorted(NOTEBOOKS.glob("*.ipynb"))
    assert all(path.exists() for paths in named for path in paths)


def test_a_chapter_and_its_tests_share_number_and_slug():
    pages = {path.stem for path in PAGES if path.stem[0].isdigit()}
    tests = (ROOT / "tests" / "chapters").glob("test_[0-9]*.py")
    named = {path.stem.removeprefix("test_").replace("_", "-") for path in tests}
    assert named == pages


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page_has_a_description_and_no_second_title(path):
    _, front, body = path.read_text("utf-8").split("---\n", 2)
    description = yaml.safe_load(front)["myst"]["html_meta"]["description"]
    assert 20 <= len(description) <= 160
    prose = re.sub(r"^```.*?^```", "", body, flags=re.DOTALL | re.MULTILINE)
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1


@pytest.mark.parametrize("page", [p for p in PAGES if p.stem[0].isdigit()])
def test_chapter_states_goals_needs_time_and_what_checks_it(page):
    body = page.read_text("utf-8")
    for part in ("Goals", "**You need**", "**Time**", "## Checked by machine"):
        assert part in body, part
    assert "## What to read next" in body
    for test in re.findall(r"`(tests/[\w/]+\.py)`", body):
        assert (ROOT / test).exists(), test


@pytest.mark.parametrize("page", [p for p in PAGES if p.stem[0].isdigit()])
def test_theorem_is_followed_by_its_proof(page):
    claims = "theorem|lemma|proposition|corollary"
    blocks = re.findall(rf"\{{prf:({claims}|proof)\}}", page.read_text("utf-8"))
    theorems = [i for i, kind in enumerate(blocks) if kind != "proof"]
    assert theorems and all(blocks[i + 1] == "proof" for i in theorems)


def test_code_that_a_page_prints_is_read_at_a_glance():
    """No more than thirty lines below its docstring, however long that is."""
    printed = r"\{literalinclude\} (\S+)\n:pyobject: (\w+)"
    found = [(p, *names) for p in PAGES for names in re.findall(printed, text(p))]
    assert found
    for page, file, name in found:
        tree = ast.parse((page.parent / file).read_text("utf-8"))
        (node,) = (n for n in tree.body if getattr(n, "name", "") == name)
        first = node.body[ast.get_docstring(node) is not None]
        assert node.end_lineno - first.lineno < 30, (page.name, name)


def test_register_is_what_the_sources_say():
    assert text("book/equation-register.md") == register.register(), (
        "run python -m tools.register"
    )


def test_every_equation_has_a_cell_and_a_test_and_no_mark_leads_nowhere():
    labels = [equation.label for equation in book.all_equations()]
    assert len(labels) == len(set(labels)) > 0
    for found in (register.cells(), register.tests()):
        assert set(found) == set(labels), set(found) ^ set(labels)
    assert set(register.functions()) <= set(labels)


@pytest.mark.parametrize(
    "module", ["distributions", "linear_gaussian", "objectives", "symbolic"]
)
def test_every_function_names_its_equation(module):
    tree = ast.parse(text(f"vae_lib/{module}.py"))
    for _, name, node in register.definitions(tree):
        # residual states no equation: it compares the two sides of one.
        if not name.split(".")[-1].startswith("_") and name != "residual":
            assert "Book: eq-" in ast.get_docstring(node), name


def test_terms_of_the_glossary_are_used_and_defined_once():
    glossary = text("book/glossary.md").split("```{glossary}")[1]
    terms = re.findall(r"^(\S.*)$", glossary.split("```")[0], re.MULTILINE)
    assert terms == sorted(terms, key=str.casefold) and len(set(terms)) == len(terms)
    chapters = "".join(
        path.read_text("utf-8") for path in PAGES if path.stem[0].isdigit()
    )
    named = set(re.findall(r"\{term\}`(?:[^`<]+<)?([^`<>]+)>?`", chapters))
    assert named == set(terms), named ^ set(terms)


@pytest.mark.parametrize("name", PRETRAINED)
def test_index_quotes_the_recorded_result(name):
    page, record = text("book/index.md"), load_pretrained(name).record
    (row,) = (line for line in page.splitlines() if f"(`{name}`)" in line)
    config, epochs = PRETRAINED[name].config, record["recipe"]["epochs"]
    if isinstance(config, SequenceConfig):
        assert f"{config.latent_dim} latent dimensions" in row
        assert f"state of {config.hidden_dim}, {epochs} epochs" in row
    else:
        layers = ", ".join(map(str, config.hidden_dims))
        assert f"hidden layers of {layers}, {epochs} epochs" in row
        bits = from_file(record["recipe"]).binarization == "sample"
        assert ("one draw of bits" in row) == bits and ("grey pixels" in row) != bits
    assert f"{record['test_elbo']:.2f} nats".replace("-", "−") in row


def test_figures_of_the_pages_are_drawn_by_the_code_that_is_there(tmp_path):
    diagrams.draw(tmp_path)
    for name in diagrams.FIGURES:
        drawn, committed = tmp_path / name, STATIC / name
        if name.endswith(".svg"):
            assert drawn.read_bytes() == committed.read_bytes(), (
                "python -m tools.diagrams"
            )
        else:
            pictures = (Image.open(p).convert("RGB") for p in (drawn, committed))
            a, b = (np.asarray(picture, dtype=float) for picture in pictures)
            assert a.shape == b.shape and np.abs(a - b).mean() < 0.5, name


def numbers(text):
    return {int(number) for number in re.findall(r"\d+", text)}


def test_concept_map_shows_what_the_pages_need_and_its_alt_text_says_so():
    drawn = book.reduced(book.needs())
    pattern = r"concept-map.svg\n(?::name: .+\n)?:alt: (.+)"
    (alt,) = {
        *re.findall(pattern, text("book/index.md")),
        *re.findall(pattern, text("book/instructors.md")),
    }
    told = {chapter: set() for chapter in drawn}
    for chapters, needed in re.findall(r"([\d, and]+) needs? ([\d, and]+)", alt):
        told |= dict.fromkeys(numbers(chapters), numbers(needed))
    assert told == drawn

    def all_needed(chapter, needed):
        direct = needed[chapter]
        return direct.union(*(all_needed(other, needed) for other in direct))

    for chapter, needed in book.needs().items():
        assert all(other < chapter for other in needed)
        assert needed <= all_needed(chapter, drawn)
    assert set(diagrams.CHAPTERS) <= set(drawn) == set(sum(book.parts().values(), []))


def test_requirements_are_exact_and_each_has_a_reason():
    lines = [line for line in text("requirements.txt").splitlines() if "==" in line]
    for line in lines:
        assert re.fullmatch(r"[\w-]+==[\w.]+ +# \w.{4,}", line), line
    pins = {re.split("==| ", line)[0]: re.split("==| ", line)[1] for line in lines}
    constraints = dict(
        line.split("==")
        for line in text("constraints.txt").splitlines()
        if "==" in line
    )
    assert pins.items() <= constraints.items()
    for name, version in pins.items():
        assert importlib.metadata.version(name) == version.split("+")[0], name


def test_library_asks_for_lower_bounds_only():
    """An installation on Colab must never replace the torch that is there."""
    project = tomllib.loads(text("pyproject.toml"))["project"]
    for requirement in project["dependencies"]:
        assert re.fullmatch(r"[\w-]+>=[\d.]+", requirement), requirement


def test_workflows_pin_actions_and_ask_for_least_permissions():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        source = path.read_text("utf-8")
        for used in re.findall(r"uses: (\S+)", source):
            assert re.search(r"@[0-9a-f]{40}$", used), used
        workflow = yaml.safe_load(source)
        assert workflow["permissions"] == {}
        assert "pull_request_target" not in source
        assert "persist-credentials: false" in source


def test_nothing_that_is_still_to_be_written_is_left():
    assert not book.gaps()


def test_readme_lists_every_chapter():
    for page in PAGES:
        if page.stem[0].isdigit():
            assert f"book/{page.stem}.md" in text("README.md")
            for path in book.notebooks_of(page.stem):
                assert f"notebooks/{path.name}" in text("README.md")


def copy_of_what_is_configured(folder):
    shutil.copy(ROOT / "_config.yml", folder)
    shutil.copytree(NOTEBOOKS, folder / "notebooks")
    return sorted((folder / "notebooks").rglob("*.ipynb"))


def test_configure_points_buttons_and_setup_cells_to_the_repository(tmp_path):
    paths = copy_of_what_is_configured(tmp_path)
    configure_tool.configure(tmp_path, "someone/fork")
    config = yaml.safe_load((tmp_path / "_config.yml").read_text("utf-8"))
    assert config["repository"]["url"] == "https://github.com/someone/fork"
    assert "colab_url" in config["launch_buttons"]
    for path in paths:
        assert 'REPOSITORY = \\"someone/fork\\"' in path.read_text("utf-8")
        assert not notebook_tool.is_stale(path)


def test_configure_is_undone_without_a_trace(tmp_path):
    paths = copy_of_what_is_configured(tmp_path)
    configure_tool.configure(tmp_path, "")
    before = [path.read_bytes() for path in (tmp_path / "_config.yml", *paths)]
    configure_tool.configure(tmp_path, "someone/fork")
    configure_tool.configure(tmp_path, "else/where")
    configure_tool.configure(tmp_path, "")
    assert before == [path.read_bytes() for path in (tmp_path / "_config.yml", *paths)]
