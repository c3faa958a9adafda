"""What the study of rivals does with the linear estimate that the notebook prints."""

import json

import torch
from torch import Tensor, nn

from tools.records import rivals, uses


def test_linear_estimate_finds_a_linear_rule_from_the_nearest_alone():
    inputs, rule = torch.randn(400, 5), torch.rand(5, 3) / 10
    targets = (0.5 + inputs @ rule).clamp(0, 1)
    x = torch.randn(20, 5) / 2
    found = uses.nb().local_linear(x, inputs, targets, 60, 1e-6)
    torch.testing.assert_close(found, 0.5 + x @ rule, rtol=0, atol=1e-3)


def test_linear_estimate_of_all_is_the_filter_of_their_covariance():
    known, s = torch.rand(300, 6), 0.3
    y = torch.rand(4, 6)
    moments = known.mean(0), torch.cov(known.T, correction=0)
    expected = uses.nb().wiener(y, *moments, s)
    found = uses.nb().local_linear(y, known, known, 300, s**2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_what_is_chosen_is_best_of_what_was_tried(monkeypatch):
    x, known = torch.rand(8, 784), torch.rand(60, 784)
    monkeypatch.setattr(rivals, "NEAREST", (5, 50))
    n, ridge = rivals.best_of(x, known, None)

    def error(n: int, ridge: float) -> float:
        lower = rivals.hole(x, known, n, ridge)
        return float((lower - x[:, ~rivals.SEEN]).square().sum(1).mean())

    tried = {(k, r): error(k, r) for k in (5, 50) for r in rivals.RIDGES}
    assert (n, ridge) == min(tried, key=tried.get)


def test_what_no_seed_changes_is_judged_by_decibels(monkeypatch):
    monkeypatch.setattr(rivals, "LEVELS", (0.5,))
    known = torch.rand(40, 784)
    found = rivals.untrained(known[:6], known)["0.5"]
    y = rivals.noisy(known[:6], 0.5)
    near = torch.cdist(y, known).topk(10, largest=False).indices
    psnr = -10 * (known[near].mean(1) - known[:6]).square().mean(1).log10()
    assert abs(found["ten neighbours"][0] - float(psnr.mean())) < 1e-4
    assert found["Wiener filter"][0] > found["ten neighbours"][0] - 1


def sheared(ink: Tensor, slope: int) -> Tensor:
    """A page (28, 28) whose rows are shifted by whole pixels, as one row of pixels."""
    rows = [row.roll(slope * (n - 14)) for n, row in enumerate(ink)]
    return torch.stack(rows).flatten()[None]


def test_straightened_ink_stands_upright_in_the_middle():
    ink = torch.zeros(28, 28)
    top = torch.rand(5, 5)
    ink[9:19, 12:17] = torch.cat([top, top.flip(0)])  # so its centre needs no rows
    found = [uses.nb().straightened(sheared(ink, slope)) for slope in (-1, 0, 1)]
    ticks = torch.arange(28.0) - 13.5
    for images in found:  # shearing is undone, and the moments vanish
        torch.testing.assert_close(images, found[1], rtol=0, atol=1e-3)
        page = images.view(28, 28) / images.sum()
        moments = page.sum(1) @ ticks, page.sum(0) @ ticks, ticks @ page @ ticks
        assert max(abs(float(moment)) for moment in moments) < 0.05


def test_networks_for_the_hole_never_look_at_it():
    known = torch.rand(300, 784)
    x = known[:4].clone()
    for make in (rivals.shown_holes, rivals.half_to_half):
        lower = make(known, 0, epochs=1)
        hidden = torch.where(rivals.SEEN, x, torch.rand(4, 784))
        assert lower(x).shape == (4, 392)
        torch.testing.assert_close(lower(x), lower(hidden))


def test_network_from_half_to_half_learns_a_rule():
    upper = (torch.rand(2000, 1) < 0.5).float().expand(-1, 392)
    known = torch.cat([upper, 1 - upper], 1)
    lower = rivals.half_to_half(known, 0)(known[:50])
    assert (lower - known[:50, ~rivals.SEEN]).abs().max() < 0.1


def test_windows_clean_a_pixel_by_its_neighbourhood_alone():
    known = torch.rand(64, 784)
    clean = rivals.windowed(known, 0.1, 0, n_steps=2)
    x = known[:1].clone()
    before = clean(x).view(28, 28)
    x[0, 14 * 28 + 14] += 0.5
    changed = (clean(x).view(28, 28) - before).abs() > 0
    places = changed.nonzero()
    assert len(places) and (places - 14).abs().max() <= 3


def test_fit_goes_down_its_loss_and_leaves_no_gradient():
    model, x = nn.Linear(3, 1), torch.rand(500, 3)
    rivals.fitted(
        model,
        lambda rows: (model(x[rows]) - x[rows].sum(1, True)).square().mean(),
        rivals.shuffled(500, 1000),
    )
    assert (model(x) - x.sum(1, True)).abs().mean() < 0.15  # from about one
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_what_is_added_to_the_record_leaves_the_rest(monkeypatch):
    written = {}
    monkeypatch.setattr(rivals, "load_record", lambda _: {"chosen": {"a": 1}, "b": 2})
    monkeypatch.setattr(rivals, "made_for_one", lambda chosen: [{"c": 0.12345}])
    monkeypatch.setattr(rivals, "write_record", written.__setitem__)
    rivals.add_made_for_one()
    expected = {"chosen": {"a": 1}, "b": 2, "made for one": [{"c": 0.123}]}
    assert json.dumps(written["rivals"]) == json.dumps(expected)
