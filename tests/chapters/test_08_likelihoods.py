"""Likelihoods of pixels, grey ones above all, and the scale of the loss's two terms."""

import itertools
import math
from fractions import Fraction
from statistics import mean

import numpy as np
import prose
import pytest
import torch
from torch import Tensor
from torch import distributions as td
from torch.autograd import grad
from torch.testing import assert_close

from tools.records.measures import level_log_prob
from vae_lib.animals import load_animals
from vae_lib.data import load_mnist
from vae_lib.distributions import bernoulli_log_prob, gaussian_kl, gaussian_log_prob
from vae_lib.models import VAE, VAEConfig
from vae_lib.objectives import effective_beta, elbo, importance_weighted_bound
from vae_lib.records import load_record
from vae_lib.training import train

says = prose.says("08-likelihoods")
says_scale = prose.says("loss-scale")
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def entropy(x: Tensor) -> Tensor:
    """Of bits that are lit with probability x (..., D), in nats, (...)."""
    return td.Bernoulli(x).entropy().sum(-1)


def all_bits(n: int) -> Tensor:
    bits = list(itertools.product((0.0, 1.0), repeat=n))
    return torch.tensor(bits, dtype=torch.float64)


class OneCode:
    """A Bernoulli model with one latent dimension, whose integrals are sums."""

    def __init__(self, slope: Tensor, bias: Tensor):
        self.slope, self.bias = slope, bias
        self.z = torch.linspace(-9, 9, 4001, dtype=torch.float64)
        self.log_p_z = td.Normal(0.0, 1.0).log_prob(self.z) + math.log(18 / 4000)

    def score(self, x: Tensor, z: Tensor) -> Tensor:
        """The grey log p(x|z) for z of any shape."""
        return bernoulli_log_prob(x, z[..., None] * self.slope + self.bias)

    def log_evidence(self, x: Tensor) -> Tensor:
        return torch.logsumexp(self.log_p_z + self.score(x, self.z), 0)

    def mean_over_bits(self, x: Tensor) -> Tensor:
        bits = all_bits(len(x))
        probability = torch.where(bits == 1, x, 1 - x).prod(-1)
        return sum(
            p * self.log_evidence(b) for p, b in zip(probability, bits, strict=True)
        )

    def bound(self, x: Tensor, mu: float, std: float, k: int) -> Tensor:
        """The importance-weighted bound of k = 1 or 2 samples, by quadrature."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        z = mu + std * torch.from_numpy(nodes)
        weights = torch.from_numpy(weights / weights.sum())
        log_ratio = td.Normal(0.0, 1.0).log_prob(z) - td.Normal(mu, std).log_prob(z)
        log_w = self.score(x, z) + log_ratio  # (60,)
        pairs = torch.cartesian_prod(*k * [log_w]).reshape(-1, k).T
        mass = torch.cartesian_prod(*k * [weights]).reshape(-1, k).prod(-1)
        return (mass * importance_weighted_bound(pairs)).sum()


@pytest.mark.equation("eq-grey-bound")
@pytest.mark.parametrize("mu, std", [(0.0, 1.0), (0.6, 0.5), (-1.0, 0.9)])
def test_grey_bounds_lie_below_the_mean_log_probability_of_the_bits(mu, std):
    slope, bias = 2 * torch.randn(2, 3, dtype=torch.float64)
    model, x = OneCode(slope, bias), torch.rand(3, dtype=torch.float64)
    chain = [
        model.bound(x, mu, std, 1),
        model.bound(x, mu, std, 2),
        model.log_evidence(x),
        model.mean_over_bits(x),
        -entropy(x),
    ]
    for lower, upper in itertools.pairwise(chain):
        assert lower < upper - 1e-6


@pytest.mark.equation("eq-grey-bound")
def test_grey_bounds_are_all_equal_where_the_code_says_nothing():
    x = torch.tensor([0.2, 0.9], dtype=torch.float64)
    model = OneCode(torch.zeros_like(x), torch.logit(x))
    for value in (
        model.bound(x, 0.0, 1.0, 1),
        model.bound(x, 0.0, 1.0, 2),
        model.log_evidence(x),
        model.mean_over_bits(x),
    ):
        assert_close(value, -entropy(x), **EXACT)


@pytest.mark.equation("eq-grey-bound")
def test_every_image_of_bits_may_use_the_code_distribution_of_the_grey_one():
    """The average over b of its ELBO with that q is the grey ELBO."""
    model = OneCode(*torch.randn(2, 3, dtype=torch.float64))
    x, bits = torch.rand(3, dtype=torch.float64), all_bits(3)
    probability = torch.where(bits == 1, x, 1 - x).prod(-1)
    bounds = torch.stack([model.bound(b, 0.3, 0.7, 1) for b in bits])
    assert_close((probability * bounds).sum(), model.bound(x, 0.3, 0.7, 1), **EXACT)
    evidences = torch.stack([model.log_evidence(b) for b in bits])
    assert (bounds < evidences).all()


@pytest.mark.equation("eq-grey-entropy")
def test_cross_entropy_is_entropy_plus_divergence():
    x, x_logits = torch.rand(5, 4, dtype=torch.float64), torch.randn(5, 4).double()
    divergence = td.kl_divergence(td.Bernoulli(x), td.Bernoulli(logits=x_logits))
    bce = -bernoulli_log_prob(x, x_logits)
    assert_close(bce, entropy(x) + divergence.sum(-1), **EXACT)
    assert_close(-bernoulli_log_prob(x, torch.logit(x)), entropy(x), **EXACT)


@pytest.mark.equation("eq-grey-entropy")
@pytest.mark.parametrize("split, floor", [("test", 45.53), ("train", 45.76)])
def test_entropy_of_the_pixels_of_mnist(split, floor):
    images = load_mnist(split).images
    n_of_level = torch.bincount((255 * images).round().long().flatten(), minlength=256)
    levels = torch.arange(256, dtype=torch.float64)[:, None] / 255
    assert (
        round((n_of_level.double() @ entropy(levels)).item() / len(images), 2) == floor
    )


def loss_terms(model: VAE, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Squared error, KL and log p(x|z), each (B,), for fixed noise."""
    eps = torch.randn(len(x), model.config.latent_dim, dtype=x.dtype)
    output = model(x, eps=eps)
    squared_error = (x - output.x_params).square().sum(-1)
    return squared_error, output.kl, output.log_p_x_given_z


def gradient(loss: Tensor, model: VAE) -> Tensor:
    parameters = list(model.parameters())
    parts = grad(loss, parameters, retain_graph=True, allow_unused=True)
    return torch.cat([part.flatten() for part in parts if part is not None])


@pytest.mark.equation("eq-gaussian-beta")
@pytest.mark.parametrize("noise_std", [0.1, math.sqrt(0.5), 2.0])
def test_weight_on_the_kl_beside_squared_errors_is_a_noise_level(
    make_vae, batch, noise_std
):
    model = make_vae(likelihood="gaussian", noise_std=noise_std)
    squared_error, kl, log_p = loss_terms(model, batch)
    weight = 2 * noise_std**2
    constant = 6 / 2 * math.log(2 * math.pi * noise_std**2)
    bound = elbo(log_p, kl)
    assert_close(squared_error + weight * kl, -weight * (bound + constant), **EXACT)
    printed = gradient((squared_error + kl).mean(), model)  # the slides' equation 2
    exact = gradient(-bound.mean(), model)
    agrees = torch.allclose(printed, exact, rtol=1e-9)
    assert agrees == math.isclose(noise_std**2, 0.5)


@pytest.mark.equation("eq-gaussian-beta")
def test_squared_error_averaged_over_pixels_is_a_huge_noise_level(make_vae, batch):
    model = make_vae(likelihood="gaussian", noise_std=math.sqrt(6 / 2))  # D / 2
    squared_error, kl, log_p = loss_terms(model, batch)
    averaged = gradient((squared_error / 6 + kl).mean(), model)
    assert_close(averaged, gradient(-elbo(log_p, kl).mean(), model), **EXACT)


@pytest.mark.equation("eq-learned-noise")
def test_best_single_noise_level_is_the_mean_squared_error(make_vae, batch):
    model = make_vae(likelihood="gaussian", learn_noise=True)
    squared_error, _, _ = loss_terms(model, batch)
    mse = (squared_error / 6).mean().item()

    def mean_log_p(logvar: float) -> Tensor:
        torch.manual_seed(1)
        with torch.no_grad():
            model.likelihood.noise_logvar.fill_(logvar)
        return loss_terms(model, batch)[2].mean()

    torch.manual_seed(1)
    mse = (loss_terms(model, batch)[0] / 6).mean().item()
    best = mean_log_p(math.log(mse))
    assert_close(best.item(), -6 / 2 * (math.log(2 * math.pi * mse) + 1), **EXACT)
    assert abs(grad(best, model.likelihood.noise_logvar)[0]) < 1e-9
    for change in (-1.0, -0.01, 0.01, 1.0):
        assert mean_log_p(math.log(mse) + change) < best


@pytest.mark.equation("eq-learned-noise")
def test_training_moves_the_noise_to_the_mean_squared_error():
    torch.manual_seed(0)
    images = 0.5 + 0.1 * torch.randn(200, 6)
    config = {"n_pixels": 6, "hidden_dims": (5,), "likelihood": "gaussian"}
    model = VAE(VAEConfig(**config, noise_std=0.3, learn_noise=True))
    train(model, images, epochs=400, batch_size=100, lr=1e-2, progress=False)
    squared_error, _, _ = loss_terms(model, images)
    mse = (squared_error / 6).mean().item()
    assert math.isclose(model.likelihood.noise_std**2, mse, rel_tol=0.15)
    assert mse < 0.02


def test_a_variance_of_its_own_makes_a_constant_pixel_infinitely_dense():
    x = torch.zeros(100, 1, dtype=torch.float64)
    stds = torch.tensor([1e-1, 1e-10, 1e-100], dtype=torch.float64)
    logvar = 2 * stds.log()[:, None, None].expand(3, 100, 1)
    density = gaussian_log_prob(x, torch.zeros_like(x), logvar).mean(-1)
    assert (density > torch.tensor([1.0, 20.0, 200.0])).all()
    images = load_mnist("train").images
    assert int((images.amax(0) == images.amin(0)).sum()) == 67


@pytest.mark.equation("eq-density-units")
@pytest.mark.parametrize("unit", [255.0, 0.1])
def test_change_of_unit_shifts_a_log_density_and_no_probability(unit):
    x, mean = torch.rand(2, 4, 6, dtype=torch.float64)
    p = td.Independent(td.Normal(mean, 0.2), 1)
    scaled = td.TransformedDistribution(p, td.AffineTransform(0.0, unit, event_dim=1))
    shift = -6 * math.log(unit)
    assert_close(scaled.log_prob(unit * x), p.log_prob(x) + shift, **EXACT)
    by_library = gaussian_log_prob(
        unit * x, unit * mean, torch.full_like(x, 2 * math.log(0.2 * unit))
    )
    assert_close(by_library, p.log_prob(x) + shift, **EXACT)


LEVELS = torch.arange(256, dtype=torch.float64)[:, None] / 255


@pytest.mark.equation("eq-level-probability")
@pytest.mark.parametrize("mean", [-3.0, 0.0, 0.31, 1.0, 2.0])
@pytest.mark.parametrize("std", [0.002, 0.1, 3.0])
def test_grey_levels_of_a_gaussian_have_the_mass_of_their_cells(mean, std):
    log_p = level_log_prob(LEVELS, torch.full_like(LEVELS, mean), std)
    assert_close(log_p.exp().sum().item(), 1.0, rtol=1e-9, atol=0)
    edges = torch.arange(1, 256, dtype=torch.float64) / 256
    normal = td.Normal(*torch.tensor([mean, std], dtype=torch.float64))
    cdf = torch.cat([torch.zeros(1), normal.cdf(edges), torch.ones(1)])
    assert_close(log_p.exp(), cdf.diff(), rtol=1e-7, atol=1e-12)


@pytest.mark.equation("eq-level-probability")
@pytest.mark.parametrize("logit", [-30.0, -2.0, 0.0, 1e-3, 5.0])
def test_grey_levels_of_a_continuous_bernoulli_have_the_mass_of_their_cells(logit):
    logits = torch.full_like(LEVELS, logit)
    log_p = level_log_prob(LEVELS, logits, None)
    assert_close(log_p.exp().sum().item(), 1.0, rtol=1e-9, atol=0)
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(20))
    inside = (torch.arange(256.0, dtype=torch.float64)[:, None] + (nodes + 1) / 2) / 256
    density = td.ContinuousBernoulli(logits=logits).log_prob(inside).exp()
    assert_close(log_p.exp(), density @ weights / 512, rtol=1e-6, atol=1e-12)


@pytest.mark.equation("eq-level-probability")
def test_smooth_density_and_level_probability_differ_by_the_width_of_a_cell():
    x = LEVELS[100:110].T  # (1, 10)
    x_params = torch.full_like(x, 0.4)
    density = gaussian_log_prob(x, x_params, torch.full_like(x, 2 * math.log(0.3)))
    levels = level_log_prob(x, x_params, 0.3)
    assert_close(levels, density - 10 * math.log(256), rtol=0, atol=0.02)


def reduced(terms: Tensor, how: str) -> Tensor:
    """terms (B, width), reduced as the names in effective_beta say."""
    return {"sum": terms.sum(), "mean": terms.mean()}.get(how, terms.sum(1).mean())


@pytest.mark.equation("eq-effective-beta")
@pytest.mark.parametrize("how_x", ["sum", "batchmean", "mean"])
@pytest.mark.parametrize("how_kl", ["sum", "batchmean", "mean"])
@pytest.mark.parametrize("weight", [1.0, 0.1])
def test_oddly_scaled_loss_has_the_gradient_of_the_elbo_with_that_beta(
    make_vae, batch, how_x, how_kl, weight
):
    model = make_vae()
    output = model(batch, eps=torch.randn(7, 2, dtype=torch.float64))
    pixels = torch.nn.functional.binary_cross_entropy_with_logits(
        output.x_params, batch, reduction="none"
    )
    latents = 0.5 * (output.mu**2 + output.logvar.exp() - 1 - output.logvar)  # (B, J)
    odd = reduced(pixels, how_x) + weight * reduced(latents, how_kl)
    sizes = {"batch_size": 7, "n_pixels": 6, "latent_dim": 2}
    beta = effective_beta(how_x, how_kl, **sizes, kl_weight=weight)
    bound = elbo(output.log_p_x_given_z, output.kl, beta=beta)
    factor = {"sum": 7, "batchmean": 1, "mean": 1 / 6}[how_x]
    proper = -factor * bound.mean()
    assert_close(odd, proper, **EXACT)
    assert_close(gradient(odd, model), gradient(proper, model), **EXACT)


@pytest.mark.equation("eq-effective-beta")
@pytest.mark.parametrize(
    "log_likelihood, kl, sizes, weight, beta",
    [
        ("sum", "sum", (128, 784, 20), 1.0, 1.0),
        ("batchmean", "batchmean", (128, 784, 20), 1.0, 1.0),
        ("sum", "batchmean", (128, 784, 2), 1.0, 1 / 128),
        ("mean", "mean", (16, 784, 2), 1.0, 392.0),
        ("mean", "sum", (128, 784, 20), 1 / (128 * 784), 1.0),
        ("mean", "batchmean", (64, 12288, 128), 0.00025, 3.072),
        ("mean", "batchmean", (100, 12288, 32), 1.0, 12288.0),
        ("mean", "mean", (128, 49152, 512), 0.1, 9.6),
        ("sum", "sum", (128, 784, 2), 2.0, 2.0),
    ],
)
def test_effective_beta_of_known_code(log_likelihood, kl, sizes, weight, beta):
    names = dict(zip(("batch_size", "n_pixels", "latent_dim"), sizes, strict=True))
    found = effective_beta(log_likelihood, kl, **names, kl_weight=weight)
    assert math.isclose(found, beta, rel_tol=1e-12)


def weights_after(make_vae, batch, factor: float, beta: float, optimizer) -> Tensor:
    """All weights after ten steps on factor times the loss."""
    model = make_vae()
    steps = optimizer(model.parameters())
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        eps = torch.randn(7, 2, dtype=torch.float64, generator=generator)
        output = model(batch, eps=eps)
        loss = -factor * elbo(output.log_p_x_given_z, output.kl, beta=beta).mean()
        steps.zero_grad()
        loss.backward()
        steps.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_adam_hardly_notices_a_common_factor_and_does_notice_the_ratio(make_vae, batch):
    def adam(parameters):
        return torch.optim.Adam(parameters, lr=1e-2)

    def sgd(parameters):
        return torch.optim.SGD(parameters, lr=1e-2)

    start = weights_after(make_vae, batch, 1.0, 1.0, lambda p: torch.optim.SGD(p, 0.0))
    for optimizer, notices in ((adam, False), (sgd, True)):
        plain = weights_after(make_vae, batch, 1.0, 1.0, optimizer)
        moved = (plain - start).norm()
        scaled = weights_after(make_vae, batch, 128.0, 1.0, optimizer)
        assert ((scaled - plain).norm() > 0.1 * moved) == notices
        other = weights_after(make_vae, batch, 1.0, 1 / 128, optimizer)
        assert (other - plain).norm() > 0.02 * moved


@pytest.mark.parametrize("beta", [1 / 16, 1.0, 4.0])
def test_best_code_distribution_is_the_posterior_of_copies_of_the_image(beta):
    """With weight beta, as if the image had been seen 1 / beta times."""
    log_p_x, log_p_z = torch.randn(2, 40, dtype=torch.float64)
    log_p_z = log_p_z - torch.logsumexp(log_p_z, 0)
    best = torch.softmax(log_p_z + log_p_x / beta, 0)

    def bound(q: Tensor) -> Tensor:
        return (q * log_p_x).sum() - beta * (q * (q.log() - log_p_z)).sum()

    value = beta * torch.logsumexp(log_p_z + log_p_x / beta, 0)
    assert_close(bound(best), value, **EXACT)
    for _ in range(20):
        other = torch.softmax(best.log() + 0.1 * torch.randn(40), 0)
        assert bound(other) < bound(best)


def test_bound_with_a_small_beta_is_no_bound():
    """On a model whose evidence is a sum."""
    model = OneCode(torch.tensor([1.0, -2.0]).double(), torch.zeros(2).double())
    x = torch.tensor([1.0, 0.0], dtype=torch.float64)
    kl = gaussian_kl(torch.tensor([3.0]), torch.tensor([2 * math.log(0.1)]))
    bound = model.bound(x, 3.0, 0.1, 1)
    assert bound < model.log_evidence(x) < bound + (1 - 1 / 128) * kl


def gaussian_masses(std: float) -> Tensor:
    """Of a pixel of mean 0.8, below 0 and above 1."""
    pixel = td.Normal(torch.tensor(0.8), std)
    return torch.stack([pixel.cdf(torch.tensor(0.0)), 1 - pixel.cdf(torch.tensor(1.0))])


@pytest.mark.book
def test_four_beliefs_about_a_pixel_of_mean_0_8():
    outside = gaussian_masses(math.sqrt(0.5)).sum()
    assert 0.5 < outside < 0.55 and gaussian_masses(0.12).sum() < 0.05
    low, high = 1.0, 10.0
    for _ in range(60):  # the mean rises with the logit
        logit = (low + high) / 2
        pixel = td.ContinuousBernoulli(logits=torch.tensor(logit).double())
        low, high = (logit, high) if pixel.mean < 0.8 else (low, logit)
    says("mean is 0.8 and $\\pi = #$", 1 / (1 + math.exp(-logit)))
    density = pixel.log_prob(torch.linspace(0, 1, 101).double())
    assert (density.diff() > 0).all()  # it likes full black best


@pytest.mark.book
def test_a_grey_pixel_costs_at_least_what_its_outline_says():
    levels = torch.linspace(0, 1, 1001).double()[:, None]
    says("costs up to $\\log 2 = #$", entropy(levels).max())
    images = load_mnist("test").images
    cost = td.Bernoulli(images.double()).entropy()
    plain = (images < 0.02) | (images > 0.98)
    assert cost[plain].sum() < 0.1 * cost.sum() and plain.double().mean() > 0.8


@pytest.mark.book
def test_terms_by_epoch_are_those_that_the_picture_shows():
    rows = [row for row in load_record("loss-scale")["runs"] if row["seed"] == 0]
    runs = {row["beta"]: row["by_epoch"] for row in rows}
    proper, weak = (torch.tensor(runs[beta]) for beta in (1.0, 1 / 128))
    bound, log_p, kl = (weak - proper).T
    assert (bound < -15).all() and (log_p[1:] > 0).all() and log_p[-1] < 5
    assert abs(kl[-1] - says_scale("divergence some # nats larger")) < 1


def rows_of(record: str, run: str) -> list[dict]:
    return [row for row in load_record(record)["runs"] if row["run"] == run]


@pytest.mark.book
@pytest.mark.parametrize("kind", ["grey", "threshold", "static", "dynamic"])
def test_table_of_binarizations_is_what_the_record_says(kind):
    rows = rows_of("binarizations", kind)
    means = [
        sum(row["test"][on]["elbo"] for row in rows) / len(rows)
        for on in ("grey", "threshold", "static")
    ]
    says(f"| {kind} | # | # | # |", *means)
    for row, on in itertools.product(rows, ("grey", "threshold", "static")):
        others = [r["test"][on]["elbo"] for r in rows]
        assert abs(row["test"][on]["elbo"] - others[0]) < 0.5


@pytest.mark.book
@pytest.mark.parametrize(
    "name, run",
    [
        ("Gaussian, $s^2 = \\frac12$", "gaussian-half"),
        ("Gaussian, learned $s$", "gaussian-learned"),
        ("continuous Bernoulli", "continuous-bernoulli"),
    ],
)
def test_table_of_likelihoods_is_what_the_record_says(name, run):
    rows = rows_of("likelihoods", run)
    density, levels, kl, error = (
        sum(map(value, rows)) / len(rows)
        for value in (
            lambda row: row["test"]["elbo"],
            lambda row: row["levels"],
            lambda row: row["test"]["kl"],
            lambda row: row["squared_error"],
        )
    )
    says(f"| {name} | # | # | # | # |", density, levels, kl, error)


@pytest.mark.book
def test_table_of_the_experiment_is_what_the_record_says():
    runs = {
        (row["beta"], row["seed"]): row for row in load_record("loss-scale")["runs"]
    }
    betas = (1.0, 1 / 128)
    rows = {
        "x\\mid z)]$, test": "log_p_x_given_z",
        "KL, test": "kl",
        "ELBO, test": "elbo",
    }
    for row, key in rows.items():
        cells = [runs[beta, seed]["test"][key] for beta in betas for seed in (0, 1, 2)]
        says_scale(f"{row} | #, #, # | #, #, # |", *cells)
    sigmas = [runs[beta, seed]["median_std"] for beta in betas for seed in (0, 1, 2)]
    says_scale("| median $\\sigma$ | #, #, # | #, #, # |", *sigmas)
    ends = []
    for beta in betas:
        low, high = torch.tensor(runs[beta, 0]["codes"]).aminmax(dim=0)
        ends += torch.stack([low, high], 1).flatten()
    says_scale("| codes, seed 0 | # to # by # to # | # to # by # to # |", *ends)


@pytest.mark.book
def test_numbers_in_the_text_of_both_pages_are_right():
    says("a noise of $s = #$", math.sqrt(784 / 2))
    says("1 cost $784\\log 255 = #$", 784 * math.log(255))
    says("by $-784\\log 255 = #$", -784 * math.log(255))
    says("has to travel #", 2 * math.log(10))
    says("ten epochs of # steps", math.ceil(60_000 / 128))
    says("$\\sqrt{128} \\approx #$", math.sqrt(128))
    says("$20^2/2 = #$ nats more", 20**2 // 2)
    says("of which $\\mathcal L_\\beta$ sees #", 200 / 128)
    says_scale("and there $\\beta = #$", Fraction(60_000 % 128, 128))
    printed = {"3.07": 12288 * 0.00025, "12288": 12288, "9.6": 0.1 * 49152 / 512}
    for beta, value in (printed | {"2": 2, "1": 1}).items():
        says_scale(f"| {beta}, $s = #$ |", math.sqrt(value / 2))
    says_scale("times 0.00025 | #,", printed["3.07"])
    says_scale("times 0.1 | #,", printed["9.6"])
    says_scale("| $784/2 = #$ |", 784 // 2)
    says_scale("it means $\\beta = #$", printed["3.07"])
    cost = -bernoulli_log_prob(torch.rand(1, 784), torch.zeros(1, 784)).item()
    says_scale("$784\\log 2 = #$ nats", cost)
    assert gaussian_kl(torch.ones(6), torch.zeros(6)) == 3  # J / 2


@pytest.mark.book
def test_what_the_pages_say_about_the_records_is_so():
    runs = {
        (row["run"], row["seed"]): row for row in load_record("binarizations")["runs"]
    }
    leads = {"grey": [], "dynamic": []}
    for seed in {seed for _, seed in runs}:
        grey, threshold, static, dynamic = (
            runs[kind, seed] for kind in ("grey", "threshold", "static", "dynamic")
        )
        for row in (grey, threshold, static, dynamic):
            on = {kind: terms["elbo"] for kind, terms in row["test"].items()}
            assert 14 < on["threshold"] - on["grey"] < 21
            assert 2 < on["static"] - on["grey"] < 5
        by_bits = [row["test"]["static"]["elbo"] for row in (grey, dynamic, static)]
        assert min(by_bits[:2]) > by_bits[2]
        for kind, found in zip(leads, by_bits, strict=False):
            leads[kind].append(found - by_bits[2])
        assert (
            threshold["test"]["threshold"]["elbo"] > grey["test"]["threshold"]["elbo"]
        )
        assert threshold["test"]["static"]["elbo"] < min(by_bits)
        gaps = [row["train"]["elbo"] for row in (static, dynamic)]
        gaps = [
            gap - on for gap, on in zip(gaps, (by_bits[2], by_bits[1]), strict=True)
        ]
        assert 0.4 < gaps[0] < 1 and gaps[1] < 0.1
    says("bits, by # to # nats", min(leads["grey"]), max(leads["grey"]))
    says("a lead of # to # nats", min(leads["dynamic"]), max(leads["dynamic"]))
    spread = {(r["beta"], r["seed"]): r for r in load_record("loss-scale")["runs"]}
    for seed in {seed for _, seed in spread}:
        proper, weak = spread[1.0, seed], spread[1 / 128, seed]
        assert proper["median_std"] > 5 * weak["median_std"]
        assert 22 < proper["test"]["elbo"] - weak["test"]["elbo"] < 24


@pytest.mark.book
def test_what_the_page_says_of_the_animals_is_in_the_record():
    record = load_record("animals")

    def rows(part: str, run: str, *keys: str) -> Tensor:
        """Of each seed, with its standard error if it has one."""
        found = [row for row in record[part] if row["run"] == run]
        for key in keys:
            found = [row[key] for row in found]
        return torch.tensor(found, dtype=torch.float64)

    on, leads = ("grey", "threshold", "static"), {}
    for kind in ("grey", "threshold", "static", "dynamic"):
        bounds = [rows("binarizations", kind, "test", k)[:, 0].mean() for k in on]
        lead = leads[kind] = rows("binarizations", kind, "lead", "static")
        says(f"| animals, {kind} | # | # | # |", *bounds)
        if kind != "static":
            words = f"| animals, {kind} | # | # | # | # \\pm #"
            says(words, *bounds, *lead.mean(0))
    says("by #, # and # nats", *leads["dynamic"][:, 0].sort().values)
    assert (leads["dynamic"][:, 0] > 3 * leads["dynamic"][:, 1]).all()
    for pixels in on:  # the order down a column, with every seed
        grey, threshold, dynamic = (
            rows("binarizations", kind, "lead", pixels)[:, 0]
            for kind in ("grey", "threshold", "dynamic")
        )
        assert (grey > dynamic).all() and (dynamic > 0).all()
        assert ((threshold > grey) if pixels == "threshold" else threshold < 0).all()
    digits = {
        kind: mean(
            row["test"]["static"]["elbo"] for row in rows_of("binarizations", kind)
        )
        for kind in leads
    }
    for kind in ("grey", "threshold", "dynamic"):
        lead = digits[kind] - digits["static"]
        assert 3 < leads[kind][:, 0].mean() / lead < 6.5
    seen = rows("binarizations", "static", "seen")
    unseen = rows("binarizations", "static", "test", "static")[:, 0]
    says("bits is # nats better", (seen - unseen).mean())
    for run, name in (
        ("gaussian-half", "Gaussian, $s^2 = \\frac12$"),
        ("gaussian-learned", "Gaussian, learned $s$"),
        ("continuous-bernoulli", "continuous Bernoulli"),
    ):
        density, levels = (
            rows("likelihoods", run, key)[:, 0].mean() for key in ("density", "levels")
        )
        lead = rows("likelihoods", run, "lead").mean(0)
        kl, error = (
            rows("likelihoods", run, key).mean() for key in ("kl", "squared_error")
        )
        if run == "gaussian-half":
            says(f"| {name} | # | # | – | # | #", density, levels, kl, error)
        else:
            words = f"| {name} | # | # | # \\pm # | # | #"
            says(words, density, levels, *lead, kl, error)
    says("Bernoulli is # nats behind", -lead[0])
    test, digits = load_animals("test").images, load_mnist("test").images
    shares = [100 * ((x >= 0.1) & (x <= 0.9)).double().mean() for x in (test, digits)]
    says("# % of their pixels lie between", shares[0])
    says("0.1 and 0.9, against # %", shares[1])
    entropy = -(torch.xlogy(test, test) + torch.xlogy(1 - test, 1 - test)).sum(1)
    says("is higher, # nats against", entropy.double().mean())
    seen = load_animals().images
    assert not (seen.amax(0) == seen.amin(0)).any()
