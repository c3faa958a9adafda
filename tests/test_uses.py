"""What the study of uses adds to the functions of the notebooks."""

from types import SimpleNamespace

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


def test_a_lead_in_area_is_judged_image_by_image():
    normal, odd = torch.randn(80), torch.randn(60) + 0.8
    lead, error = uses.ahead_by([normal, odd], [2 * normal, 2 * odd])
    assert (lead, error) == (0.0, 0.0)  # the same order
    noisy = [x + 0.3 * torch.randn_like(x) for x in (normal, odd)]
    auc = uses.nb().auc
    lead, error = uses.ahead_by([normal, odd], noisy)
    assert lead == pytest.approx(auc(normal, odd)[0] - auc(*noisy)[0], abs=1e-6)
    apart = (auc(normal, odd)[1] ** 2 + auc(*noisy)[1] ** 2) ** 0.5
    assert 0 < error < 0.7 * apart  # the images are the same


def test_a_code_is_scored_by_its_density_and_added_in_spreads_of_what_was_kept():
    nb, images = uses.nb(), torch.rand(30, 4)
    model = SimpleNamespace(encode=lambda x: (x, None), mean_image=lambda z: z * 0)
    fitted = SimpleNamespace(log_prob=lambda z: -z[:, 0])
    assert torch.equal(nb.unlikely(model, fitted, images), images[:, 0])
    found = nb.error_and_density(model, fitted, images, images)
    parts = images.square().sum(1), images[:, 0]
    expected = sum((part - part.mean()) / part.std() for part in parts)
    torch.testing.assert_close(found, expected)
    longer = nb.error_and_density(model, fitted, 2 * images, images)
    assert (longer > found).all()


def test_a_kind_that_is_left_out_is_neither_learned_nor_kept():
    for kind in (None, 4):
        learned, kept, sets = uses.without(kind)
        assert len(kept) == 1000
        assert set(sets) == {f"unseen {kind}"} if kind else len(sets) == 9
        for known, normal, odd in sets.values():
            assert torch.equal(known, learned) and len(normal) == 600 >= len(odd)


def test_the_error_of_a_lead_is_its_spread_over_repeats():
    def lead(n: int, m: int) -> tuple[float, float]:
        normal, odd = torch.randn(n), torch.randn(m) + 0.8
        noisy = [x + 0.5 * torch.randn_like(x) for x in (normal, odd)]
        return uses.ahead_by([normal, odd], noisy)

    spread = torch.tensor([lead(80, 60)[0] for _ in range(1000)]).std()
    assert spread == pytest.approx(lead(4000, 3000)[1] * 50**0.5, rel=0.12)


def test_a_middle_is_looked_up_near_the_plain_average():
    stored = torch.eye(4)
    pairs = torch.stack([stored[:1], stored[1:2] + 0.1])
    assert torch.equal(uses.near_average(pairs, stored, 1), stored[1:2])
    assert torch.equal(uses.near_average(pairs, stored, 2), stored[:2].mean(0)[None])


def test_a_middle_is_judged_at_each_length_and_once_is_the_line_itself(monkeypatch):
    pairs, known = torch.rand(2, 30, 8), (torch.rand(50, 8), torch.arange(50) % 3)
    monkeypatch.setattr(uses, "STRETCHES", (1.0, 0.0))
    model = SimpleNamespace(encode=lambda x: (x, None), mean_image=lambda z: z)
    found = uses.shares_of_longer(model, pairs, known)
    assert list(found) == ["1.0", "0.0"]
    nb = uses.nb()
    for name, images in (("1.0", pairs.mean(0)), ("0.0", torch.zeros(30, 8))):
        assert found[name] == nb.summary(nb.near_known(images, *known)[1])


def test_middles_are_compared_pair_by_pair():
    shares = {"VAE": torch.rand(50), "PCA": torch.rand(50), "pixels": torch.rand(50)}
    middles = {name: (torch.ones(50), share) for name, share in shares.items()}
    found = uses.compared(middles)
    assert set(found["difference"]) == {"VAE - PCA", "VAE - pixels"}
    expected = uses.nb().summary(shares["VAE"] - shares["PCA"])
    assert found["difference"]["VAE - PCA"] == expected
    assert found["mean"]["PCA"] == [(1.0, 0.0), uses.nb().summary(shares["PCA"])]
