"""The statements of chapter 10: what a dimension costs, and when it switches off."""

import itertools
import math
from dataclasses import replace
from functools import partial

import numpy as np
import prose
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence
from torch.testing import assert_close

from vae_lib.animals import load_animals
from vae_lib.checkpoints import load_pretrained
from vae_lib.data import load_mnist
from vae_lib.distributions import gaussian_kl
from vae_lib.evaluation import active_units, evaluate_elbo
from vae_lib.linear_gaussian import LinearGaussianModel
from vae_lib.models import VAE, VAEConfig
from vae_lib.objectives import elbo
from vae_lib.records import load_record
from vae_lib.training import train

says = prose.says("10-latent-dimensions")
SPECTRUM = torch.tensor([4.0, 2.0, 2.0, 1.0, 0.5], dtype=torch.float64)
NODES, WEIGHTS = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(40))


pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.fixture
def x() -> Tensor:
    """Images (200, 5) whose covariance has the eigenvalues SPECTRUM, exactly."""
    white, _ = torch.linalg.qr(torch.randn(200, 5) - torch.randn(1, 5))
    white = torch.linalg.qr(white - white.mean(0))[0] * math.sqrt(200)
    axes, _ = torch.linalg.qr(torch.randn(5, 5))
    return white * SPECTRUM.sqrt() @ axes.T + torch.randn(5)


def mean_elbo(x, weight, mean, noise, mu, variance, beta=1.0) -> Tensor:
    """Average beta-ELBO of a linear decoder, its expectations in closed form."""
    error = (x - mean - mu @ weight.T).square().sum(
        1
    ) + variance @ weight.square().T @ (torch.ones(len(mean)))
    log_p = -0.5 * error / noise**2 - len(mean) / 2 * math.log(2 * math.pi * noise**2)
    return elbo(log_p, gaussian_kl(mu, variance.log()), beta=beta).mean()


def optimum(x: Tensor, latent_dim: int, tau: float) -> tuple[Tensor, ...]:
    """Weight, mean, mu (N, J) and variance (N, J) of the page's theorem."""
    mean = x.mean(0)
    eigenvalues, vectors = torch.linalg.eigh(torch.cov(x.T, correction=0))
    eigenvalues, vectors = eigenvalues.flip(0)[:latent_dim], vectors.flip(1)
    weight = vectors[:, :latent_dim] * (eigenvalues - tau).clamp(min=0).sqrt()
    kept = eigenvalues.clamp(min=tau)
    mu = (x - mean) @ weight / kept
    return weight, mean, mu, (tau / kept).expand_as(mu)


@pytest.mark.equation("eq-kl-per-dimension")
def test_divergence_is_a_sum_over_dimensions():
    mu, logvar = torch.randn(50, 4), torch.randn(50, 4)
    one = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).mean(0)
    by_hand = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).mean(0)
    assert_close(by_hand, one)
    assert_close(one.sum(), gaussian_kl(mu, logvar).mean())


@pytest.mark.equation("eq-kl-per-dimension", "eq-active-units")
def test_active_dimension_costs_at_least_half_its_variance():
    for shift, width in itertools.product((0.0, 0.5), (1e-6, 0.1, 1.0)):
        mu, logvar = shift + width * torch.randn(300, 3), 0.3 * torch.randn(300, 3)
        cost = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).mean(0)
        least = 0.5 * (mu.var(0, correction=0) + mu.mean(0) ** 2)
        assert (cost >= least).all()
        rest = 0.5 * (logvar.exp() - 1 - logvar).mean(0)
        assert_close(cost - least, rest)


@pytest.mark.equation("eq-active-units")
def test_units_are_counted_by_the_variance_of_the_mean():
    """An encoder that reads one pixel for each dimension, scaled to a variance."""
    variances = torch.tensor([0.5, 0.0101, 0.0099, 0.0])
    pixels = torch.randn(400, 4)
    pixels = (pixels - pixels.mean(0)) / pixels.std(0)
    config = VAEConfig(4, (), n_pixels=4, likelihood="gaussian")
    model = VAE(config).double()
    weight = torch.cat([variances.sqrt().diag(), torch.randn(4, 4)])
    model.encoder[0].weight.data, model.encoder[0].bias.data = weight, torch.ones(8)
    assert active_units(model, pixels) == 2
    assert active_units(model, pixels, threshold=0.005) == 3


@pytest.mark.equation("eq-active-units")
def test_inactive_dimension_may_cost_and_tell():
    narrow, wide = Normal(0.0, 0.1), Normal(0.0, 1.0)  # of two kinds of images
    z = torch.linspace(-8, 8, 160_001)
    densities = torch.stack([q.log_prob(z).exp() for q in (narrow, wide)])
    ratio = (densities.log() - densities.mean(0).log()).nan_to_num(neginf=0.0)
    told = torch.trapezoid(densities * ratio, z).mean()
    cost = gaussian_kl(torch.zeros(2, 1), torch.tensor([[0.1], [1.0]]).log() * 2).mean()
    assert 0.3 < told < math.log(2) and told < cost
    assert torch.zeros(2).var() == 0


@pytest.mark.equation("eq-beta-noise")
@pytest.mark.parametrize("beta", [0.2, 3.0])
def test_weight_and_noise_are_one_knob_for_any_network(beta):
    config = VAEConfig(3, (7,), n_pixels=6, likelihood="gaussian", noise_std=0.4)
    noisier = replace(config, noise_std=0.4 * math.sqrt(beta))
    model, other = VAE(config).double(), VAE(noisier).double()
    other.load_state_dict(model.state_dict())
    x, eps = torch.randn(9, 6), torch.randn(9, 3)
    a, b = model(x, eps=eps), other(x, eps=eps)
    left = elbo(a.log_p_x_given_z, a.kl, beta=beta)
    s2 = 0.4**2
    constant = 3 * (beta * math.log(2 * math.pi * beta * s2) - math.log(math.tau * s2))
    assert_close(left, beta * elbo(b.log_p_x_given_z, b.kl) + constant)
    assert not torch.allclose(left, elbo(b.log_p_x_given_z, b.kl) + constant)


@pytest.mark.equation("eq-linear-optimum")
@pytest.mark.parametrize("tau", [0.3, 0.7, 1.5, 3.0, 5.0])
def test_optimum_is_tight_and_no_random_start_gets_above_it(x, tau):
    weight, mean, mu, variance = optimum(x, 3, tau)
    best = mean_elbo(x, weight, mean, math.sqrt(tau), mu, variance)
    exact = LinearGaussianModel(weight, mean, math.sqrt(tau))
    assert_close(best, exact.log_evidence(x).mean())
    posterior_mean, covariance = exact.posterior(x)
    assert_close(mu, posterior_mean)
    assert_close(covariance, variance[0].diag())
    ends = [ascend(x, 3, tau) for _ in range(2)]
    for value, columns, variances in ends:
        assert value < best + 1e-9
        assert best - value < 1e-3
        assert int((columns > 0.03).sum()) == int((SPECTRUM[:3] > tau).sum())
        predicted = (1 - tau / SPECTRUM[:3]).clamp(min=0)
        assert_close(
            variances.sort().values, predicted.sort().values, atol=0.03, rtol=0
        )


def ascend(x: Tensor, latent_dim: int, tau: float) -> tuple[Tensor, Tensor, Tensor]:
    """Value, squared lengths of the columns, variances of the means, after a fit."""
    d = x.shape[1]
    weight, rows = torch.randn(d, latent_dim), 0.1 * torch.randn(d, latent_dim)
    mean, logvar = torch.zeros(d), torch.zeros(latent_dim)
    parameters = [p.requires_grad_() for p in (weight, rows, mean, logvar)]
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=120, line_search_fn="strong_wolfe", tolerance_change=0
    )

    def value() -> Tensor:
        mu = (x - x.mean(0)) @ rows
        variance = logvar.exp().expand_as(mu)
        return mean_elbo(x, weight, mean, math.sqrt(tau), mu, variance)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = -value()
        loss.backward()
        return loss

    optimizer.step(closure)
    mu = ((x - x.mean(0)) @ rows).detach()
    columns = weight.detach().square().sum(0)
    return value().detach(), columns, mu.var(0, correction=0)


@pytest.mark.equation("eq-linear-optimum")
def test_code_is_empty_when_the_noise_exceeds_the_largest_eigenvalue(x):
    weight, _, mu, variance = optimum(x, 3, 4.01)
    assert (weight == 0).all() and (mu == 0).all() and (variance == 1).all()
    weight, _, mu, _ = optimum(x, 3, 3.99)
    assert int((weight.square().sum(0) > 1e-6).sum()) == 1
    assert_close(mu.var(0, correction=0).max(), torch.tensor(1 - 3.99 / 4))


@pytest.mark.equation("eq-linear-rate")
@pytest.mark.parametrize("tau", [0.3, 1.2, 2.5])
def test_rate_and_error_at_the_optimum(x, tau):
    weight, mean, mu, variance = optimum(x, 3, tau)
    kept = SPECTRUM[:3].clamp(min=tau)
    rate = gaussian_kl(mu, variance.log()).mean()
    assert_close(rate, 0.5 * (kept / tau).log().sum())
    z = MultivariateNormal(mu, torch.diag_embed(variance)).sample((2000,))
    errors = (x - mean - z @ weight.T).square().sum(-1).mean(1)  # (2000,)
    stated = SPECTRUM[:3].clamp(max=tau).sum() + SPECTRUM[3:].sum()
    assert abs(errors.mean() - stated) < 5 * errors.std() / math.sqrt(2000)


@pytest.mark.equation("eq-linear-rate", "eq-beta-slope")
def test_linear_curve_has_slope_minus_beta():
    def point(beta: float, s2: float = 0.5) -> tuple[Tensor, Tensor]:
        tau = beta * s2
        rate = 0.5 * (SPECTRUM / tau).log().clamp(min=0).sum()
        return rate, SPECTRUM.clamp(max=tau).sum() / (2 * s2)

    for beta in (0.5, 1.7, 3.0, 6.0):
        (r1, d1), (r2, d2) = point(beta - 1e-5), point(beta + 1e-5)
        assert_close((d2 - d1) / (r1 - r2), torch.tensor(beta), rtol=1e-6, atol=0)


@pytest.fixture
def grey() -> Tensor:
    """Six pictures of four grey pixels."""
    return torch.rand(6, 4) * torch.tensor([1.0, 0.2, 0.7, 1.0])


def gain(x: Tensor, w: Tensor, beta: float, size: float) -> Tensor:
    """Change of the average beta-ELBO from the empty code to a small one, exactly."""
    mean = x.mean(0)
    b, a = torch.logit(mean), size * (x - mean) @ w / beta  # (D,), (N,)
    z = a + NODES[:, None]  # (nodes, N)
    logits = b + size * z[..., None] * w
    # E over the Bernoulli's sufficient statistic: linear in x, so grey x will do.
    log_p = (x * logits - torch.nn.functional.softplus(logits)).sum(-1)
    log_p = (WEIGHTS[:, None] * log_p).sum(0) / math.sqrt(2 * math.pi)
    empty = (x * b - torch.nn.functional.softplus(b)).sum(-1)
    return (log_p - beta * 0.5 * a**2 - empty).mean()


def spread_and_noise(x: Tensor) -> tuple[Tensor, Tensor]:
    mean = x.mean(0)
    return torch.cov(x.T, correction=0), (mean * (1 - mean)).diag()


@pytest.mark.equation("eq-empty-code")
@pytest.mark.parametrize("beta", [0.1, 1.0, 4.0])
def test_gain_of_a_small_code_is_the_stated_quadratic_form(grey, beta):
    S, G = spread_and_noise(grey)
    for _ in range(3):
        w = torch.randn(4)
        stated = w @ (S - beta * G) @ w / (2 * beta)
        found = [gain(grey, w, beta, size) / size**2 for size in (1e-2, 1e-3)]
        assert abs(found[1] - stated) < 1e-3 * (1 + abs(stated))
        assert abs(found[1] - stated) <= abs(found[0] - stated) + 1e-8


@pytest.mark.equation("eq-empty-code")
def test_empty_code_is_unstable_just_below_the_largest_eigenvalue(grey):
    S, G = spread_and_noise(grey)
    scale = G.diagonal().rsqrt()
    kappa, vectors = torch.linalg.eigh(scale[:, None] * S * scale)
    w = scale * vectors[:, -1]
    assert gain(grey, w, 0.98 * kappa[-1].item(), 1e-3) > 0
    for direction in (w, *torch.randn(200, 4)):
        assert gain(grey, direction, 1.02 * kappa[-1].item(), 1e-3) < 0


def kappas(images: Tensor, more: float = 0.0) -> Tensor:
    """Eigenvalues of G^(-1/2) S G^(-1/2), on the pixels that are lit somewhere."""
    mean = (images.double().sum(0) + more) / (len(images) + 2 * more)
    lit = mean > 0
    scale = (mean * (1 - mean))[lit].rsqrt()
    S = torch.cov(images.double().T, correction=0)[lit][:, lit]
    return torch.linalg.eigvalsh(scale[:, None] * S * scale)


def test_the_page_counts_the_directions_of_the_digits_as_they_are():
    digits, animals = load_mnist("train").images, load_animals("train").images
    exact, counted_more = kappas(digits), kappas(digits, more=1.0)
    says("$\\kappa_1 = #$, and", exact.max())
    says("and # eigenvalues of $G^{-1/2}", int((exact > 1).sum()))
    says("of the digits; # are left", len(exact))
    says("but only # eigenvalues above 1", int((counted_more > 1).sum()))
    assert abs(counted_more.max() - exact.max()) < 0.05
    says("exceed 1, and $\\kappa_1 = #$", kappas(animals).max())


def test_best_empty_code_draws_the_mean_image(grey):
    mean = grey.mean(0)
    best = Bernoulli(mean, validate_args=False).log_prob(grey).sum(1).mean()
    for change in torch.randn(50, 4) * 0.05:
        other = Bernoulli(logits=torch.logit(mean) + change, validate_args=False)
        assert other.log_prob(grey).sum(1).mean() < best


@pytest.mark.equation("eq-rate-distortion")
def test_minus_the_elbo_is_distortion_plus_rate():
    torch.set_default_dtype(torch.float32)
    model, x = VAE(VAEConfig(3, (5,), n_pixels=6)), torch.rand(8, 6)
    report = evaluate_elbo(model, x)
    assert math.isclose(-report.elbo, -report.log_p_x_given_z + report.kl, rel_tol=1e-5)


@pytest.mark.equation("eq-beta-slope")
def test_a_larger_weight_buys_less_rate_at_a_price_between_the_weights():
    points = torch.rand(400, 2) * torch.tensor([30.0, 200.0])  # rates, distortions
    betas = (0.05, 0.5, 1.0, 3.0, 20.0)
    best = [points[(points @ torch.tensor([beta, 1.0])).argmin()] for beta in betas]
    for (low, (r, d)), (high, (r2, d2)) in itertools.combinations(
        zip(betas, best, strict=True), 2
    ):
        assert r2 <= r and d2 >= d
        if r2 < r:
            assert low <= (d2 - d) / (r - r2) <= high
    sums = [point.sum() for point in best]
    assert min(sums) == sums[betas.index(1.0)]


@pytest.mark.equation("eq-aggregate-kl")
def test_information_is_at_most_the_log_of_the_number_of_images():
    z = torch.linspace(-12, 12, 48_001)
    for std in (1e-2, 0.3, 2.0):
        q = Normal(torch.randn(6, 1), std).log_prob(z)  # (N, nodes)
        mixture = torch.logsumexp(q, 0) - math.log(6)
        told = torch.trapezoid(q.exp() * (q - mixture), z).mean()
        excess = torch.trapezoid(
            mixture.exp() * (mixture - Normal(0.0, 1.0).log_prob(z)), z
        )
        rate = kl_divergence(
            Normal(q.exp() @ z / q.exp().sum(1), std), Normal(0.0, 1.0)
        ).mean()
        assert told <= math.log(6) + 1e-9
        assert excess >= rate - math.log(6) - 1e-4
        assert_close(told + excess, rate, atol=1e-4, rtol=0)


@pytest.mark.book
def test_numbers_in_the_text_are_those_of_the_records():
    study, sweep = load_record("latent-dimensions"), load_record("beta")

    def mean_and_spread(record: dict, run: str, *keys: str) -> list[float]:
        runs = [r for r in record["runs"] if r["run"] == run]
        found = torch.tensor([[r[key] for key in keys] for r in runs])
        return [*found.mean(0), found[:, 0].std()]

    for dim in (2, 3, 5, 10, 20, 200):
        value, kl, spread = mean_and_spread(study, f"J{dim}", "elbo", "kl")
        says(f"| {dim} | # \\pm # | # |", value, spread, kl)
    for beta in (0.1, 0.3, 1.0, 3.0, 10.0):
        run = (study, "J20") if beta == 1 else (sweep, f"beta{beta}")
        value, rate, minus_d, spread = mean_and_spread(
            *run, "elbo", "kl", "log_p_x_given_z"
        )
        words = f"| {beta:g} | # | # | # \\pm # |"
        says(words, rate, -minus_d, rate - minus_d, spread)
    shipped = {
        name: load_pretrained(name).record["test_elbo"]
        for name in ("mnist-2d", "mnist-20d")
    }
    says("for 80 epochs, reaches # in the", shipped["mnist-2d"])
    says("`mnist-20d` with #", shipped["mnist-20d"])
    says("$\\log N = #$ nats", math.log(10_000))
    says("told apart with # nats", math.log(10_000))


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_a_network_collapses_with_other_seeds_than_the_notebooks_too(seed):
    torch.set_default_dtype(torch.float32)
    digits = load_mnist("train").images
    learned, held_out = digits[:20_000], digits[-10_000:]
    kappa = kappas(digits)[-1].item()

    def trained(beta: float, **network) -> tuple[float, int]:
        torch.manual_seed(seed)
        config = VAEConfig(20, (100,), activation="tanh", **network)
        model = VAE.from_data(config, learned)
        train(model, learned, epochs=2, lr=2e-3, beta=beta, progress=False)
        model.cpu()
        return evaluate_elbo(model, held_out).kl, active_units(model, held_out)

    half = {"likelihood": "gaussian", "noise_std": math.sqrt(0.5)}
    summed, averaged = (trained(beta, **half) for beta in (1.0, 784.0))
    assert summed[0] > 5 and summed[1] >= 15
    assert averaged[0] < 0.001 and averaged[1] == 0
    below, above = (trained(factor * kappa) for factor in (0.5, 2))
    assert below[0] > 0.2 and below[1] > 0
    assert above[0] < 0.01 and above[1] == 0


@pytest.mark.book
def test_what_a_warm_up_loses_and_wakes_falls_with_the_epochs_on_each_seed():
    record, budgets, seeds = load_record("kl-warm-up"), (5, 10, 25), (0, 1, 2)
    runs = {(run["run"], run["seed"]): run for run in record["runs"]}
    assert len(runs) == len(record["runs"]) == 2 * len(budgets) * len(seeds)

    def values(arm: str, key: str) -> Tensor:  # (budgets, seeds)
        names = [f"{arm}, 5 + {n}" for n in budgets]
        return torch.tensor([[runs[name, s][key] for s in seeds] for name in names])

    for (name, _), run in runs.items():
        assert run["recipe"]["epochs"] == 5 + int(name.split("+")[1])
    plain, warmed = (values(arm, "elbo") for arm in ("constant", "warm-up"))
    units = [values(arm, "active_units") for arm in ("constant", "warm-up")]
    lost, surplus = plain - warmed, units[1] - units[0]
    assert (lost > 0).all() and (lost.diff(dim=0) < 0).all()
    assert (surplus > 0).all() and (surplus[2] < surplus[0]).all()
    assert (surplus.float().mean(1).diff() < 0).all()
    for k, n in enumerate(budgets):
        numbers = (plain[k], warmed[k], lost[k])
        means = [x.mean() for x in numbers] + [lost[k].std()]
        ranges = [f"{row[k].min():g} to {row[k].max():g}" for row in units]
        says(f"| 5 + {n} | # | # | $# \\pm #$ | {' | '.join(ranges)} |", *means)
    ten, fifteen, thirty = lost.mean(1)
    says("trains afterwards: # nats after ten", ten)
    says("ten epochs, # after fifteen", fifteen)
    says("# after thirty, smaller each", thirty)
    says("# nats lower after ten epochs, #", ten, thirty)
    says("bound was # nats lower.", thirty)
    for k, words in enumerate(("after ten", "after fifteen", "after thirty")):
        units = " units" if k == 0 else ""
        says(f"{surplus[k].min():g} to #{units} {words}", int(surplus[k].max()))
    says(
        "of thirty epochs # to # units more",
        *(int(x) for x in (surplus[2].min(), surplus[2].max())),
    )


@pytest.mark.book
def test_what_the_page_says_of_a_warm_up_at_ten_epochs_of_weight_one():
    runs = {(run["run"], run["seed"]): run for run in load_record("kl-warm-up")["runs"]}

    def bounds(name: str) -> Tensor:  # (seeds,)
        return torch.tensor([runs[name, seed]["elbo"] for seed in (0, 1, 2)])

    plain, warmed = bounds("constant, 5 + 5"), bounds("warm-up, 5 + 10")
    assert (warmed > plain).all()
    says("warm-up 5 + 10 ends at $#$", warmed.mean())
    says("weight 1 throughout at $#$", plain.mean())
    says("end # to # nats higher", *(warmed - plain).aminmax())
    more = bounds("constant, 5 + 10") - plain
    says("are worth # nats, a little", more.mean())
    assert 0 < (plain - bounds("warm-up, 5 + 5") - more).mean() < 0.2

    def paid(name: str, *threshold: float) -> tuple[int, int]:
        counts = [
            n_paid(run["kl_per_dimension"], *threshold)
            for (known, _), run in runs.items()
            if known == name
        ]
        return min(counts), max(counts)

    ten = *paid("warm-up, 5 + 5"), *paid("constant, 5 + 5")
    says("# to # units against # to # cost", *ten)
    late = *paid("warm-up, 5 + 25"), paid("constant, 5 + 25")[0]
    says("# to # against # after thirty", *late)
    assert len(set(paid("constant, 5 + 25"))) == 1
    low = *paid("warm-up, 5 + 5", 0.005), *paid("constant, 5 + 5", 0.005)
    says("does, # to # units against # to # after ten", *low)


@pytest.mark.book
def test_a_warm_up_loses_less_or_gains_where_no_dimension_is_surplus():
    found: dict[int, dict] = {}
    for run in load_record("kl-warm-up")["fewer dimensions"]:
        size, arm = run["config"]["latent_dim"], run["run"].split(",")[0]
        assert run["active_units"] == size and run["recipe"]["epochs"] == 10
        found.setdefault(size, {})[run["seed"], arm] = run["elbo"]
    lost = {
        size: [
            bounds[s, "constant"] - bounds[s, "warm-up"]
            for s, arm in bounds
            if arm == "warm-up"
        ]
        for size, bounds in found.items()
    }
    assert [len(lost[size]) for size in (20, 10)] == [1, 2]
    says("same warm-up loses # after ten", lost[20][0])
    gained = [-x for x in lost[10]]
    says("the warm-up gains # and # (two", *gained)
    says("(two seeds) it gains # and #.", *gained)
    says("bound was # and # nats *higher*", *gained)


def n_paid(prices: list[float], threshold: float = 0.1) -> int:
    """Dimensions that cost more than so many nats."""
    return sum(price > threshold for price in prices)


@pytest.mark.book
@pytest.mark.long
def test_the_prior_misses_the_codes_of_new_digits_by_what_the_text_says():
    model = load_pretrained("mnist-20d").requires_grad_(False)
    draws = torch.Generator().manual_seed(0)
    learned, fresh = (
        model(load_mnist(split).images[:n], generator=draws).z.double()
        for split, n in (("train", 20_000), ("test", 10_000))
    )
    log_p = Normal(0, 1).log_prob(fresh).sum(1)
    gains = {}
    for n in (1, 10):
        fitted = GaussianMixture(n, random_state=0).fit(learned.numpy())
        gains[n] = torch.from_numpy(fitted.score_samples(fresh.numpy())) - log_p
    says("prior by $# \\pm #$ nats", gains[10].mean(), gains[10].std() / 100)
    says("and a single Gaussian by $#$", gains[1].mean())
    says("misses the codes by at least # nats", gains[10].mean())
    rate = evaluate_elbo(model, load_mnist("test").images).kl
    says("10,000 answers, is # nats", rate - math.log(10_000))


def test_empty_code_of_the_exercise_is_a_saddle_below_the_variance_only():
    """Minus the bound for x in {-sqrt(lambda), sqrt(lambda)}, by quadrature over z."""
    eps, weights = NODES, WEIGHTS / WEIGHTS.sum()

    def loss(parameters, variance, tau, s=0.7):
        w, a = parameters
        x = math.sqrt(variance) * torch.tensor([[-1.0], [1.0]])
        log_p = Normal(w * (a * x + eps), s).log_prob(x) @ weights
        kl = gaussian_kl(a * x, torch.zeros_like(x))
        return -(log_p - tau / s**2 * kl).mean()

    start = torch.zeros(2)
    for variance, tau in ((2.0, 1.0), (2.0, 1.9), (2.0, 2.1), (1.0, 6.0)):
        at = partial(loss, variance=variance, tau=tau)
        assert_close(torch.autograd.functional.jacobian(at, start), start)
        curvature = torch.autograd.functional.hessian(at, start)
        s2 = 0.49
        expected = torch.tensor(
            [[1 / s2, -variance / s2], [-variance / s2, tau / s2 * variance]]
        )
        assert_close(curvature, expected)
        assert (torch.linalg.eigvalsh(curvature)[0] < 0) == (variance > tau)


@pytest.mark.parametrize("variance", [4.0, 0.25])
def test_draws_of_the_code_push_a_program_off_the_saddle_only(variance):
    """Started at exactly zero, with s = beta = 1."""
    w = torch.zeros((), requires_grad=True)
    a = torch.zeros((), requires_grad=True)
    for _ in range(1000):
        x = math.sqrt(variance) * torch.randn(128)
        z = a * x + torch.randn(128)
        loss = ((x - w * z).square() + (a * x).square()).mean() / 2
        for parameter, slope in zip(
            (w, a), torch.autograd.grad(loss, (w, a)), strict=True
        ):
            parameter.data -= 0.01 * slope
    # where both slopes vanish, 1 - aw is 1 / std and a = w / std, or both are zero
    std = math.sqrt(variance)
    expected = math.sqrt(max(std - 1, 0))
    assert abs(abs(w.item()) - expected) < 0.2
    assert abs(abs(a.item()) - expected / std) < 0.1


def test_factors_of_the_exercise_with_an_averaged_error():
    low, scale, high = says("means $# \\le #\\,c < #$")
    assert scale == 784 * 0.5  # c is beta over s^2, averaged: with s^2 = 1/2
    says("which is $# \\le c < #$", low / scale, high / scale)


def test_codes_of_gaussian_data_together_are_the_prior():
    """Moments of the linear optimum's codes, as the exercise on the rate finds them."""
    tau, J = 1.5, 4
    top = SPECTRUM[:J].clamp(min=tau)
    w = (SPECTRUM[:J] - tau).clamp(min=0).sqrt()
    axes, _ = torch.linalg.qr(torch.randn(5, 5))
    covariance = axes @ SPECTRUM.diag() @ axes.T
    encoder = (w / top)[:, None] * axes.T[:J]
    together = encoder @ covariance @ encoder.T + (tau / top).diag()
    assert_close(together, torch.eye(J))


@pytest.mark.book
def test_what_the_page_says_of_the_animals_is_in_the_record():
    record = load_record("animals")

    def rows(part: str, run: str, key: str) -> Tensor:
        """Of each seed, with its standard error if it has one."""
        return torch.tensor([r[key] for r in record[part] if r["run"] == run])

    for dim in (2, 5, 10, 50, 200):
        bound, lead = (rows("dimensions", f"J{dim}", key) for key in ("elbo", "lead"))
        words = f"| {dim} | # \\pm # | # \\pm # | {dim} |"
        says(words, bound[:, 0].mean(), bound[:, 0].std(), *lead.mean(0))
        assert (rows("dimensions", f"J{dim}", "active_units") == dim).all()
        assert (lead[:, 0] < 0).all()  # twenty are best with every seed
    bound = rows("dimensions", "J20", "elbo")[:, 0]
    says("| 20 | # \\pm # | – |", bound.mean(), bound.std())
    behind, sums, rates = [], [-bound.mean()], [rows("dimensions", "J20", "kl").mean()]
    for beta in (0.1, 0.3, 3.0, 10.0):
        lead, error = rows("beta", f"beta{beta}", "lead").T
        assert (lead < -10 * error).all()  # weight 1 is best with every seed
        behind.append(-lead.mean())
        sums.append(-rows("beta", f"beta{beta}", "elbo")[:, 0].mean())
        rates.append(rows("beta", f"beta{beta}", "kl").mean())
    says("lower by #, #, # and # nats", *behind)
    order = [1, 2, 0, 3, 4]  # by beta
    R, total = (torch.stack(values)[order] for values in (rates, sums))
    prices = -(total - R).diff() / R.diff()
    says("between neighbours, #, #, # and #, lie", *prices)
    betas = torch.tensor([0.1, 0.3, 1, 3, 10])
    assert (betas[:-1] < prices).all() and (prices < betas[1:]).all()
    assert (rows("beta", "beta3.0", "active_units") == 20).all()
    says("keeps # to # of 200", *rows("few-digits", "J200", "active_units").aminmax())
    ((bound, _),) = rows("long", "J200", "elbo")
    says("# of 200 are left", *rows("long", "J200", "active_units"))
    says("training animals are # nats", rows("long", "J200", "seen")[0] - bound)
    short = (
        rows("dimensions", "J200", "seen") - rows("dimensions", "J200", "elbo")[:, 0]
    )
    says("after twenty epochs #.", short[0])
    costs = [-lead for lead, _ in rows("few-digits", "J200", "lead").tolist()]
    says("surplus costs more: # to # nats", min(costs), max(costs))
    says("the same # \\pm # nats above", *rows("long", "J200", "lead")[0])


@pytest.mark.book
def test_what_few_steps_leave_of_200_dimensions_does_not_depend_on_the_pictures():
    runs = load_record("few-steps")["runs"]

    def short(kind: str) -> list[dict]:
        name = f"{kind}, J200"
        return [r for r in runs if r["run"] == name and r["steps"] < 2000]

    known = {
        (kind, run["seed"]): run
        for kind, part in (("animals", "dimensions"), ("digits", "few-digits"))
        for run in load_record("animals")[part]
        if run["run"] == "J200"
    }
    for kind in ("animals", "digits"):  # the same runs as in the other record
        for run in short(kind):
            other = known[kind, run["seed"]]
            assert abs(run["elbo"][0] - other["elbo"][0]) < 0.5
            assert abs(run["active_units"] - other["active_units"]) < 10
    assert {run["steps"] for run in short("animals") + short("digits")} == {1220}
    most = short("most-digits")
    assert {run["steps"] for run in most} == {1221} and len(most) == 3
    assert {run["n_images"] for run in most} == {52_096}
    active, costs = (
        torch.tensor([float(value) for value in values])
        for values in (
            [run["active_units"] for run in most],
            [-run["lead"][0] for run in most],
        )
    )
    says("as many steps, # to #", *active.aminmax())
    says("it costs # to # nats", *costs.aminmax())
    says("nats, with # to # of 200 active", *active.aminmax())
    paid = [
        n_paid(run["kl_per_dimension"])
        for kind in ("animals", "digits", "most-digits")
        for run in short(kind)
    ]
    says("1,220 steps # to # of 200", min(paid), max(paid))
    study = load_record("latent-dimensions")["runs"]
    (late,) = {n_paid(r["kl_per_dimension"]) for r in study if r["run"] == "J200"}
    says("the long runs # with digits", late)
    (long_run,) = [run for run in runs if run["steps"] == 9394]
    says("and # with animals", n_paid(long_run["kl_per_dimension"]))
    few = [run for kind in ("animals", "digits", "most-digits") for run in short(kind)]
    many = [run for run in study if run["run"] == "J200"] + [long_run]
    prices = [[run["kl_per_dimension"] for run in part] for part in (few, many)]
    above = [[n_paid(run, 0.005) for run in part] for part in prices]
    says("for # to # of 200 after", min(above[0]), max(above[0]))
    says("and for # to # after the long", min(above[1]), max(above[1]))
    below = [[sum(k for k in run if k <= 0.1) for run in part] for part in prices]
    says("cost # to # nats after few", min(below[0]), max(below[0]))
    says("and # to # after many", min(below[1]), max(below[1]))
    twenty, surplus = (
        torch.tensor([run["elbo"] for run in study if run["run"] == name])
        for name in ("J20", "J200")
    )
    says("thus 9,380 steps, it costs #.", (twenty - surplus).mean())
    says("up to # count as active", max(run["active_at_start"] for run in runs))
    starts = [run["active_at_start"] for run in runs if "digits, J200" in run["run"]]
    says("and # to # of digits", min(starts), max(starts))
