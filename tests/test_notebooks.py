"""Every committed notebook is executed, fresh, portable, accessible and small."""

import base64
import io
import os
import re
import subprocess
import sys

import nbformat
import pytest
from PIL import Image

from tools import notebooks as tool
from tools.book import EXERCISES, NOTEBOOKS, ROOT

pytestmark = pytest.mark.book

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
EVERY = [*PATHS, *sorted(EXERCISES.glob("*.ipynb"))]
NOT_PORTABLE = {
    "a MyST directive": re.compile(r"^\s*(```+|:::+)\s*\{", re.MULTILINE),
    "a MyST role": re.compile(r"\{[\w:-]+\}`"),
    "a labelled equation": re.compile(r"\$\$\s*\([\w-]+\)"),
    "a macro": re.compile(r"\\(newcommand|def|require)\b"),
    "an image file": re.compile(r"!\[[^\]]*\]\((?!attachment:)|<img"),
}
LEAKS = re.compile(r"/home/|/root/|/Users/|/tmp/|[A-Z]:\\|ipykernel_|Traceback|Warning")


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def figures(notebook):
    """(cell, PNG bytes) of every picture in the notebook's outputs."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                yield cell, base64.b64decode(output.data["image/png"])


def texts(notebook):
    """Everything that the outputs show as text."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            yield output.get("text", "")
            yield from (
                v for v in output.get("data", {}).values() if isinstance(v, str)
            )


def setup_cells(notebook):
    cells = code_cells(notebook)
    return [cell for cell in cells if "setup" in cell.metadata.get("tags", [])]


def test_there_are_notebooks():
    assert PATHS


@pytest.fixture(params=EVERY, ids=lambda path: f"{path.parent.name}-{path.stem}")
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return read(path)


def test_outputs_come_from_the_code_that_is_shown(notebook):
    recorded = notebook.metadata.get("vae_lib", {}).get("fingerprint")
    assert recorded == tool.fingerprint(notebook), "stale: run `make notebooks`"


def test_cells_ran_once_from_top_to_bottom(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_no_error_warning_path_or_stderr_is_shown(notebook):
    for cell in code_cells(notebook):
        assert all(output.output_type != "error" for output in cell.outputs), cell.id
        assert all(output.get("name") != "stderr" for output in cell.outputs), cell.id
    for text in texts(notebook):
        assert not LEAKS.search(text) and str(ROOT) not in text, text


def test_outputs_hold_no_script_svg_or_widget(notebook):
    allowed = {"text/plain", "text/latex", "text/html", "image/png"}
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert set(output.get("data", {})) <= allowed, cell.id
    assert not any(re.search(r"<script|javascript:", text) for text in texts(notebook))


def test_every_figure_has_an_alt_text_of_its_own(notebook):
    seen = []
    for cell, _ in figures(notebook):
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        assert 20 <= len(alt) <= 250, f"{cell.id}: {len(alt)} characters of alt text"
        seen.append(alt)
    assert len(seen) == len(set(seen)), "two figures share an alt text (or a cell)"


def test_a_figure_is_there_as_a_picture(notebook):
    """Not as the words for it that a backend without pictures leaves."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            data = output.get("data", {})
            named = data.get("text/plain", "").startswith("<Figure size")
            assert not named or "image/png" in data, cell.id


def test_figures_are_opaque_small_and_unstamped(notebook):
    for cell, png in figures(notebook):
        assert len(png) <= 100_000, f"{cell.id}: {len(png)} bytes"
        assert b"tEXt" not in png and b"tIME" not in png, cell.id
        picture = Image.open(io.BytesIO(png))
        assert "transparency" not in picture.info, cell.id
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255), cell.id


def test_markdown_is_plain(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for what, pattern in NOT_PORTABLE.items():
                assert not pattern.search(cell.source), f"{cell.id} has {what}"


def test_links_lead_to_files_of_this_book(path):
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)#]+)", cell.source):
                web = target.startswith("https://")
                assert web or (path.parent / target).exists(), target


def test_metadata_are_normalised(notebook):
    assert set(notebook.metadata) == {"kernelspec", "language_info", "vae_lib"}
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"jupyter", "mystnb", "nbgrader", "tags"}, cell.id


def test_a_check_is_folded_and_says_what_it_found(path, notebook):
    for cell in notebook.cells:
        if "check" in cell.metadata.get("tags", []):
            assert "hide-input" in cell.metadata.tags, cell.id
            assert cell.metadata.jupyter.source_hidden, cell.id
            assert "assert" in cell.source, cell.id
            said = "".join(output.get("text", "") for output in cell.outputs)
            assert said.startswith("checked"), cell.id


def test_one_setup_cell_the_same_everywhere():
    found = [[cell.source for cell in setup_cells(read(path))] for path in EVERY]
    assert all(len(sources) == 1 for sources in found)
    assert len({sources[0] for sources in found}) == 1
    assert len(found[0][0].splitlines()) <= 14


def test_all_notebooks_together_stay_small():
    assert sum(path.stat().st_size for path in EVERY) <= 8_000_000


def test_setup_cell_refuses_in_one_line_where_nothing_can_be_installed(tmp_path):
    """In a bare folder, with no vae_lib and no repository configured."""
    (source,) = [cell.source for cell in setup_cells(read(PATHS[0]))]
    source = re.sub(r'REPOSITORY = "[^"]*"', 'REPOSITORY = ""', source)
    hidden = (
        "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]\n"
    )
    command = [sys.executable, "-I", "-S", "-c", hidden + source]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert (
        last == "ModuleNotFoundError: `pip install` the book's folder or the .whl file"
    )


def test_setup_cell_says_what_an_installation_needs_where_it_fails(tmp_path):
    """A private repository, and Kaggle without a network, look alike to pip."""
    (source,) = [cell.source for cell in setup_cells(read(PATHS[0]))]
    source = re.sub(r'REPOSITORY = "[^"]*"', 'REPOSITORY = "owner/name"', source)
    hidden = "import sys; sys.path = [p for p in sys.path if 'site' not in p]\n"
    away = {"https_proxy": "http://127.0.0.1:9", "PIP_RETRIES": "0"}
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", hidden + source],
        env=os.environ | away,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: expected a repository that is public")
    assert "Internet on (Kaggle: in Settings)" in last


def sample(source='from vae_lib.objectives import elbo\nprint("x")', tags=()):
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})
    return nbformat.v4.new_notebook(cells=[cell])


def test_fingerprint_follows_the_code_and_not_the_setup_cell():
    assert tool.fingerprint(sample()) == tool.fingerprint(sample())
    assert tool.fingerprint(sample()) != tool.fingerprint(sample("print(1)"))
    configured, plain = sample("A = 1", ["setup"]), sample("A = 2", ["setup"])
    assert tool.fingerprint(configured) == tool.fingerprint(plain)


def test_fingerprint_reaches_modules_through_modules():
    reached = tool.reached_modules("from vae_lib.training import train")
    assert {"__init__", "training", "models", "distributions", "data"} <= reached
    assert "plots" not in reached
    drawing = tool.reached_modules("from vae_lib import plots")
    assert {"__init__", "domains", "drawable", "plots"} <= drawing
    assert not drawing & {"training", "models", "distributions"}


def test_comments_and_docstrings_do_not_make_a_notebook_stale():
    bare = "def f(x):\n    return x + 1\n"
    dressed = '"""Module."""\n\ndef f(x):  # why\n    """What."""\n    return x+1\n'
    assert tool.code_only(bare) == tool.code_only(dressed)
    assert tool.code_only(bare) != tool.code_only(bare.replace("1", "2"))
