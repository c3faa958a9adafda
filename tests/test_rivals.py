"""What the study of rivals does with the linear estimate that the notebook prints."""

import torch

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
