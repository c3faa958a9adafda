"""What the study of the gap measures, on small models whose answer is known."""

import math

import pytest
import torch
from torch import Tensor

from tools.records import gap
from vae_lib.evaluation import log_likelihood_by_quadrature
from vae_lib.models import VAE


@pytest.fixture
def model(make_vae, monkeypatch) -> VAE:
    """Six pixels, with a decoder that is not flat."""
    monkeypatch.setattr(gap, "NODES", 101)
    monkeypatch.setattr(gap, "NODES_FOR_MODES", 41)
    model = make_vae().float()
    with torch.no_grad():
        for weight in model.decoder.parameters():
            weight.mul_(3.0)
    return model.requires_grad_(False)


@pytest.fixture
def x() -> Tensor:
    return torch.rand(4, 6, generator=torch.Generator().manual_seed(0))


def test_hermite_sums_have_the_moments_of_the_noise():
    eps, w = gap.hermite(5)
    moments = [w @ eps[:, 0, 0] ** power for power in (0, 1, 2, 4)]
    torch.testing.assert_close(torch.stack(moments), torch.tensor([1.0, 0.0, 1.0, 3.0]))


def test_the_bound_is_that_of_many_draws(model, x):
    mu, logvar = torch.full((4, 2), 0.3), torch.full((4, 2), -1.0)
    z = mu + torch.exp(0.5 * logvar) * torch.randn(20_000, 1, 2)
    entropy = (logvar + math.log(2 * math.pi * math.e)).sum(-1) / 2
    drawn = gap.joint(model, x, z).mean(0) + entropy
    found = gap.exact_elbo(model, x, mu, logvar)
    torch.testing.assert_close(found.float(), drawn, rtol=0, atol=0.05)


def test_no_gaussian_beside_the_best_one_has_a_larger_bound(model, x):
    mu, logvar = gap.best_gaussian(model, x)
    best = gap.exact_elbo(model, x, mu, logvar)
    for shift in 0.2 * torch.randn(20, 2, 4, 2):
        other = gap.exact_elbo(model, x, mu + shift[0], logvar + shift[1])
        assert (other < best).all()


def test_the_mode_is_the_highest_node(model, x):
    z = gap.modes(model, x)
    others = torch.cartesian_prod(*2 * [torch.linspace(-gap.LIMIT, gap.LIMIT, 41)])
    heights = gap.joint(model, x, others[:, None].expand(-1, 4, -1))
    torch.testing.assert_close(gap.joint(model, x, z), heights.amax(0))


def test_the_parts_are_not_negative_and_add_up(model, x):
    found = gap.summaries(gap.parts_of(model, x.repeat(25, 1)))
    parts = [found[name]["mean"] for name in ("approximation", "amortisation")]
    assert min(parts) >= 0 and found["gap"]["mean"] == pytest.approx(
        sum(parts), abs=2e-3
    )
    assert found["gap_by_hundred"] == [found["gap"]["mean"]]
    log_p_x = log_likelihood_by_quadrature(model, x, n_nodes=201).mean()
    assert found["log_p_x"]["mean"] == pytest.approx(log_p_x.item(), abs=1e-3)


def test_digits_drawn_at_random_are_judged_like_the_first(model, monkeypatch):
    monkeypatch.setattr(gap, "N_DRAWN", 5)
    monkeypatch.setattr(gap, "AT_ONCE", 2)
    digits = {part: torch.rand(7, 6) for part in ("test", "train")}
    rows = gap.on_random_digits(model, digits)
    draws = torch.Generator().manual_seed(0)
    for row, (part, images) in zip(rows, digits.items(), strict=True):
        drawn = images[torch.randperm(7, generator=draws)[:5]]
        found = gap.parts_of(model, drawn)
        assert (row["run"], row["digits"]) == (part, 5)
        assert row["amortisation"]["mean"] == pytest.approx(
            found["amortisation"].mean().item(), abs=2e-3
        )
        best = found["log_p_x"] - found["approximation"]
        assert row["best"]["mean"] == pytest.approx(best.mean().item(), abs=2e-3)


def test_all_digits_and_their_halves_have_the_exact_gap(model, monkeypatch):
    monkeypatch.setattr(gap, "DIGITS", 2)
    monkeypatch.setattr(gap, "HALF", 4)
    images = torch.rand(8, 6)
    expected = gap.parts_of(model, images)["gap"]
    whole, first, last = gap.on_halves(model, images)
    runs = [(row["run"], row["digits"]) for row in (whole, first, last)]
    assert runs == [("all", 8), ("first half", 4), ("last half", 4)]
    for row, found in ((whole, expected), (first, expected[:4]), (last, expected[4:])):
        assert row["gap"] == gap.summary(found)
        assert row["gap_by_thousand"] == gap.rounded(found.view(-1, 2).mean(1))


def test_an_error_is_that_of_the_mean():
    found = gap.summary(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert found == {"mean": 3.0, "error": 1.08, "median": 2.0, "largest": 6.0}


def test_steps_lead_to_the_best_gaussian_where_there_is_one_hill(model, x):
    with torch.no_grad():
        model.encoder[-1].weight.zero_()
        model.encoder[-1].bias.copy_(torch.tensor([1.5, 0.0, 0.0, 0.0]))
    before, after = (gap.refined(model, x, n, 0.05, False) for n in (1, 300))
    assert before["arrived"] < 4 and after["arrived"] == 4 and after["stuck"] == 0
    assert after["mean_below"] < 0.01 < before["mean_below"]
    assert before["moved"] == pytest.approx(0.05, abs=0.06)
