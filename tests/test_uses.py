"""What the study of uses adds to the functions of the notebooks."""

import nbformat
import pytest
import torch

from tools.book import printed_functions
from tools.records import uses


def test_a_difference_is_taken_image_by_image():
    one = torch.tensor([1.0, 5.0, 9.0])
    found = uses.paired({("a",): one, ("b", "c", ""): one + 2}, ("a",))
    assert found["mean"]["b, c"] == pytest.approx((7.0, 4 / 3**0.5))
    assert found["difference"] == {"a": (0.0, 0.0), "b, c": (2.0, 0.0)}


def test_numbers_are_rounded_wherever_they_stand():
    found = uses.rounded({"a": [0.12345, (1, 2.0006)], "b": "as it is"})
    assert found == {"a": [0.123, [1, 2.001]], "b": "as it is"}


def test_functions_of_a_notebook_come_without_what_it_runs(tmp_path):
    cells = [
        "import math",
        "raise SystemExit",
        "RATE = 2.0\nRATE += 1.0\nrate = unknown",
        "def area(r):\n    return RATE * math.floor(r)",
        "rows = [area(1)]",
    ]
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(source) for source in cells]
    nbformat.write(book, tmp_path / "a.ipynb")
    names = printed_functions(tmp_path / "a.ipynb")
    assert names["area"](1.5) == 3.0
    assert not {"rate", "rows"} & set(names)


def test_the_notebooks_of_the_chapter_have_what_the_study_runs():
    code = uses.nb()
    for name in ("all_three", "priors_for", "fillings", "chain", "restorations"):
        assert callable(getattr(code, name))
    assert code.scores and code.changed and code.auc
