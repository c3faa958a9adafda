"""The statements of chapter 9: the evidence as a sum, its error, the parts of a gap."""

import itertools
import math
import re

import numpy as np
import prose
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence
from torch.testing import assert_close

from tools.book import NOTEBOOKS
from vae_lib.distributions import gaussian_log_prob
from vae_lib.evaluation import log_likelihood, log_likelihood_by_quadrature
from vae_lib.linear_gaussian import LinearGaussianModel
from vae_lib.models import VAE
from vae_lib.objectives import importance_weighted_bound
from vae_lib.records import load_record

says = prose.says("09-evaluation")
pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.fixture
def model(make_vae) -> VAE:
    """Six pixels, with a decoder that is not flat."""
    model = make_vae()
    with torch.no_grad():
        for weight in model.decoder.parameters():
            weight.mul_(3.0)
    return model.requires_grad_(False)


def legendre(limit: float, n: int) -> tuple[Tensor, Tensor]:
    """Nodes (n * n, 2) and weights of another rule on the square."""
    nodes, mass = (torch.tensor(a) * limit for a in np.polynomial.legendre.leggauss(n))
    return torch.cartesian_prod(nodes, nodes), torch.cartesian_prod(mass, mass).prod(1)


def hermite(n: int) -> tuple[Tensor, Tensor]:
    """Noise (n * n, 1, 2) and weights of expectations under N(0, I)."""
    nodes, mass = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(n))
    eps = torch.cartesian_prod(nodes, nodes)[:, None]
    return eps, torch.cartesian_prod(mass, mass).prod(1) / (2 * math.pi)


@pytest.mark.equation("eq-evidence-quadrature")
def test_sum_over_the_grid_agrees_with_another_rule(model, batch):
    z, mass = legendre(8.0, 120)
    log_p = Bernoulli(logits=model.decode(z)[:, None]).log_prob(batch.round()).sum(-1)
    log_joint = log_p + Normal(0.0, 1.0).log_prob(z).sum(-1, keepdim=True)
    expected = torch.logsumexp(log_joint + mass.log()[:, None], dim=0)
    found = log_likelihood_by_quadrature(model, batch.round(), n_nodes=101)
    assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.equation("eq-evidence-quadrature")
def test_probabilities_of_all_images_sum_to_one(model):
    images = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)))
    log_p = log_likelihood_by_quadrature(model, images, n_nodes=61)
    assert_close(log_p.exp().sum(), torch.tensor(1.0), rtol=0, atol=1e-8)
    assert log_p.exp().max() > 2 / 64  # not the uniform distribution


@pytest.mark.equation("eq-evidence-quadrature")
def test_grid_and_chunk_do_not_matter_once_fine_enough(model, batch):
    found = log_likelihood_by_quadrature(model, batch, n_nodes=101, chunk=7000)
    for options in ({"n_nodes": 161}, {"chunk": 123}, {"limit": 7.0, "n_nodes": 141}):
        other = log_likelihood_by_quadrature(model, batch, **{"n_nodes": 101} | options)
        assert_close(other, found, rtol=0, atol=1e-7)


@pytest.mark.equation("eq-evidence-quadrature")
def test_importance_weights_lead_to_the_same_number(model, batch):
    exact = log_likelihood_by_quadrature(model, batch, n_nodes=101)
    repeated = batch.repeat(200, 1)
    estimate = log_likelihood(model, repeated, n_samples=100).view(200, -1)
    error = estimate.std(0) / math.sqrt(200)
    assert (exact - estimate.mean(0) > -4 * error).all()  # lower in expectation
    assert (exact - estimate.mean(0) < 4 * error + 0.02).all()


@pytest.mark.equation("eq-evidence-quadrature")
def test_sum_over_the_grid_is_the_evidence_of_the_linear_gaussian_model():
    weight = torch.tensor([[1.0, 0.4], [-0.3, 1.1], [0.8, 0.2]])
    exact = LinearGaussianModel(weight, torch.tensor([0.2, 0.0, -1.0]), 0.6)
    x, side = exact.sample(4), torch.linspace(-8, 8, 161)
    z = torch.cartesian_prod(side, side)[:, None]
    log_joint = exact.log_p_x_given_z(x, z) + Normal(0.0, 1.0).log_prob(z).sum(-1)
    found = torch.logsumexp(log_joint, dim=0) + 2 * math.log(0.1)
    assert_close(found, exact.log_evidence(x), rtol=0, atol=1e-8)


def trapezoid(mean: Tensor, covariance: Tensor, h: float) -> float:
    """h^2 times the sum of a Gaussian density over the grid through the origin."""
    side = h * torch.arange(-400, 401)
    density = MultivariateNormal(mean, covariance)
    return float(density.log_prob(torch.cartesian_prod(side, side)).exp().sum() * h**2)


@pytest.mark.equation("eq-trapezoid-error")
@pytest.mark.parametrize("h", [0.4, 0.7, 1.1])
def test_sum_of_a_gaussian_is_the_series_of_poisson(h):
    mean = torch.tensor([0.13, -0.21])
    covariance = torch.tensor([[0.3, 0.1], [0.1, 0.12]])
    k = torch.cartesian_prod(*2 * [torch.arange(-12.0, 13.0)])
    decay = torch.exp(-2 * (math.pi / h) ** 2 * (k @ covariance * k).sum(1))
    series = decay @ torch.cos(2 * math.pi * (k @ mean) / h)
    assert_close(trapezoid(mean, covariance, h), float(series), rtol=0, atol=1e-12)


@pytest.mark.equation("eq-trapezoid-error")
def test_error_vanishes_once_the_spacing_is_below_the_width():
    errors = []
    for width in (0.5, 0.6, 0.8, 1.0):  # in units of the spacing
        covariance = torch.diag(torch.tensor([width**2, 4.0]))
        off = trapezoid(torch.zeros(2), covariance, 1.0) - 1
        assert 0 < off < 2.1 * math.exp(-2 * (math.pi * width) ** 2)
        errors.append(off)
    assert errors[0] > 0.01 and errors[-1] < 1e-8


def toy(z: Tensor) -> Tensor:
    """A smooth log p(x, z) (..., 1, 2) -> (..., 1) that is not quadratic."""
    return (
        -0.5 * z.square().sum(-1) - (1.5 + z[..., 0] * 0.7 - torch.sin(z[..., 1])) ** 2
    )


def bound(mu: Tensor, logvar: Tensor) -> Tensor:
    """ELBO of N(mu, diag(exp(logvar))) under toy, by quadrature."""
    eps, mass = hermite(30)
    entropy = 0.5 * (logvar + math.log(2 * math.pi * math.e)).sum(-1)
    return mass @ toy(mu + torch.exp(0.5 * logvar) * eps) + entropy


@pytest.mark.equation("eq-best-gaussian")
def test_slope_and_curvature_are_the_gradient_of_the_bound():
    mu = torch.tensor([[-0.4, 0.3]], requires_grad=True)
    logvar = torch.tensor([[-1.0, -0.3]], requires_grad=True)
    by_mu, by_logvar = torch.autograd.grad(bound(mu, logvar).sum(), (mu, logvar))
    (eps, mass), std = hermite(30), torch.exp(0.5 * logvar.detach())
    z = (mu.detach() + std * eps).requires_grad_()
    (slope,) = torch.autograd.grad(toy(z).sum(), z, create_graph=True)
    assert_close(by_mu, torch.tensordot(mass, slope.detach(), dims=1))
    second = [
        torch.autograd.grad(slope[..., j].sum(), z, retain_graph=True)[0][..., j]
        for j in (0, 1)
    ]
    curvature = -torch.tensordot(mass, torch.stack(second, -1), dims=1)
    by_noise = -torch.tensordot(mass, slope.detach() * eps, dims=1) / std
    assert_close(by_noise, curvature, rtol=0, atol=1e-6)
    assert_close(by_logvar, 0.5 * (1 - std**2 * curvature), rtol=0, atol=1e-6)


@pytest.mark.equation("eq-best-gaussian", "eq-gap-parts")
def test_best_gaussian_of_a_gaussian_posterior_and_what_it_loses():
    mean, precision = torch.tensor([0.4, -1.0]), torch.tensor([[3.0, 1.2], [1.2, 2.0]])
    posterior = MultivariateNormal(mean, precision_matrix=precision)
    mu, logvar = torch.zeros(1, 2), torch.zeros(1, 2)
    eps, mass = hermite(5)
    for _ in range(60):  # the fixed point as the notebook runs it
        std = torch.exp(0.5 * logvar)
        z = (mu + std * eps).requires_grad_()
        (slope,) = torch.autograd.grad(posterior.log_prob(z).sum(), z)
        curvature = -torch.tensordot(mass, slope * eps, dims=1) / std
        mu = mu + 0.5 * torch.tensordot(mass, slope, dims=1) / curvature
        logvar = logvar - 0.5 * (logvar + curvature.log())
    assert_close(mu[0], mean)
    assert_close(logvar[0], -precision.diagonal().log())
    best = kl_divergence(diagonal_normal(mu[0], logvar[0]), posterior)
    expected = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    assert_close(best, expected)
    for _ in range(20):  # every other diagonal Gaussian loses more
        other = diagonal_normal(
            mean + 0.3 * torch.randn(2), logvar[0] + 0.3 * torch.randn(2)
        )
        assert kl_divergence(other, posterior) - best > 0


def diagonal_normal(mu: Tensor, logvar: Tensor) -> MultivariateNormal:
    return MultivariateNormal(mu, torch.diag(logvar.exp()))


@pytest.mark.equation("eq-gap-parts")
def test_parts_are_not_negative_and_add_up_to_the_gap(model, batch):
    """q* by brute force over a lattice of Gaussians that holds the encoder's."""
    x = batch[:1]
    mu, logvar = model.encode(x)
    eps, mass = hermite(20)

    def elbo(mu, logvar):
        z = mu + torch.exp(0.5 * logvar) * eps
        log_p = Bernoulli(logits=model.decode(z), validate_args=False).log_prob(x)
        log_p_z = Normal(0.0, 1.0).log_prob(z).sum(-1)
        entropy = 0.5 * (logvar + math.log(2 * math.pi * math.e)).sum(-1)
        return float(mass @ (log_p.sum(-1) + log_p_z) + entropy)

    shifts = torch.linspace(-1.5, 1.5, 7).tolist()
    options = itertools.product(shifts, repeat=4)
    moved = (torch.tensor(option)[None] for option in options)
    best = max(elbo(mu + m[:, :2], logvar + m[:, 2:]) for m in moved)
    log_p_x = float(log_likelihood_by_quadrature(model, x, n_nodes=101))
    approximation, amortisation = log_p_x - best, best - elbo(mu, logvar)
    assert approximation > 0 and amortisation > 0.01
    gap = log_p_x - elbo(mu, logvar)
    assert math.isclose(approximation + amortisation, gap)


@pytest.mark.equation("eq-log-estimate")
def test_bias_is_minus_half_the_variance_of_the_estimate():
    """Two values of the weight: the number of large ones is binomial, so exact."""
    low, high, p = 0.5, 2.0, 1 / 3  # the mean weight is one
    v = p * (1 - p) * (high - low) ** 2
    off = []
    for k in (100, 1000, 10_000):
        n = torch.arange(k + 1.0)
        probability = torch.distributions.Binomial(k, torch.tensor(p)).log_prob(n).exp()
        estimate = (low + (high - low) * n / k).log()
        mean = float(probability @ estimate)
        variance = float(probability @ (estimate - mean) ** 2)
        off.append(max(abs(mean / (-v / (2 * k)) - 1), abs(variance / (v / k) - 1)))
    assert off[0] < 0.05 and off[1] < off[0] / 5 and off[2] < off[1] / 5


def effective_sample_size(log_w: Tensor) -> Tensor:
    return torch.exp(2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0))


@pytest.mark.equation("eq-ess")
def test_effective_sample_size_lies_between_one_and_k():
    log_w = 3 * torch.randn(50, 1000)
    ess = effective_sample_size(log_w)
    assert (ess > 1).all() and (ess < 50).all()
    assert_close(effective_sample_size(log_w - 700), ess)  # blind to a common factor
    assert_close(effective_sample_size(torch.zeros(50, 1)), torch.tensor([50.0]))
    one = torch.full((50, 1), -1e4)
    one[7] = 0
    assert_close(effective_sample_size(one), torch.tensor([1.0]))
    w = log_w.exp()
    assert_close(50 / ess - 1, w.var(0, correction=0) / w.mean(0) ** 2)


@pytest.mark.equation("eq-ess")
def test_effective_sample_size_is_blind_to_a_hump_that_was_not_drawn():
    """q is one of two equal humps: every weight is p(x) / 2, and ESS is K."""
    q, other = Normal(-10.0, 0.5), Normal(10.0, 0.5)
    z = q.sample((5000,))
    log_posterior = torch.logaddexp(q.log_prob(z), other.log_prob(z)) - math.log(2)
    log_w = (log_posterior - q.log_prob(z))[:, None]  # with p(x) = 1
    assert effective_sample_size(log_w) > 4999.9
    assert_close(importance_weighted_bound(log_w)[0], torch.tensor(-math.log(2)))


@pytest.mark.equation("eq-samples-needed")
@pytest.mark.parametrize("distance", [2.0, 4.0, 8.0])
def test_too_few_samples_miss_what_the_theorem_says(distance):
    """Posterior N(d, 1) and q = N(0, 1): the log ratio d z - d^2 / 2 is Gaussian."""
    k, t, n_repeats = 100, 20, 4000
    z = torch.randn(k, n_repeats)
    estimate = importance_weighted_bound(distance * z - distance**2 / 2)
    limit = math.log(t * k) / distance + distance / 2  # w <= t k p(x) below this z
    mass = Normal(distance, 1.0).cdf(torch.tensor(limit))
    exceeded = (estimate > math.log(t) + mass.log()).double().mean()
    assert exceeded <= 2 / t
    if distance == 8.0:  # it says something: about e^32 samples would be needed
        assert math.log(t) + mass.log() < -2


def test_narrow_q_has_weights_without_variance():
    """Truncated to |z| < R the mean square stops growing only if q is wide enough."""

    def mean_square(variance: float, radius: float) -> float:
        z = torch.linspace(-radius, radius, 200_001)[:, None]
        log_p_x_given_z = Bernoulli(logits=2 * z + 1).log_prob(torch.tensor(1.0))
        log_p = log_p_x_given_z[:, 0] + Normal(0.0, 1.0).log_prob(z)[:, 0]
        logvar = torch.tensor([math.log(variance)])
        log_q = gaussian_log_prob(z, torch.tensor([0.5]), logvar)
        return float(torch.trapezoid((2 * log_p - log_q).exp(), z[:, 0]))

    wide = [mean_square(0.6, radius) for radius in (20.0, 40.0)]
    narrow = [mean_square(0.4, radius) for radius in (20.0, 40.0)]
    assert math.isclose(*wide, rel_tol=1e-9) and narrow[1] > 1e6 * narrow[0]


def gap_of_sure_q(k: int) -> float:
    """Exact mean of log p(x) minus the estimate from k weights of N(-1.5, 0.35^2).

    log S is the integral over t of (exp(-t) - exp(-t S)) / t; the mean of exp(-t S)
    for the mean S of k independent weights is the k-th power of a mean over one z.
    """
    q, posterior = Normal(-1.5, 0.35), Normal(0.5, math.sqrt(0.5))
    z = torch.linspace(-7.0, 17.0, 20_001)
    log_w = posterior.log_prob(z) - q.log_prob(z)  # of weights with mean one
    mass = q.log_prob(z).exp() * (z[1] - z[0])
    log_t = torch.linspace(-45.0, 15.0, 601)
    power = torch.stack([(log_w + u - math.log(k)).exp() for u in log_t])
    one = (-torch.expm1(-power)) @ mass  # one minus the mean over one z
    return -float(
        torch.trapezoid((-log_t.exp()).exp() - (k * torch.log1p(-one)).exp(), log_t)
    )


@pytest.mark.equation("eq-samples-needed")
def test_ten_million_weights_do_not_repair_a_q_that_is_sure_of_the_wrong_place():
    posterior, q = Normal(0.5, math.sqrt(0.5)), Normal(-1.5, 0.35)
    elbo_gap = float(kl_divergence(q, posterior))
    assert gap_of_sure_q(1) == pytest.approx(elbo_gap, rel=1e-4)
    noise = torch.randn(4000, 1000)
    log_w = posterior.log_prob(q.loc + q.scale * noise)
    log_w -= q.log_prob(q.loc + q.scale * noise)
    found = -importance_weighted_bound(log_w.T)
    error = 4 * float(found.std()) / math.sqrt(len(found))
    assert gap_of_sure_q(1000) == pytest.approx(float(found.mean()), abs=error)
    says("Its ELBO is $#$ nats too low", elbo_gap)
    says("a thousand weights leave $#$", gap_of_sure_q(1000))
    says("and ten million still $#$", gap_of_sure_q(10**7))


@pytest.mark.book
def test_numbers_in_the_text_are_right():
    one, two = (4 * math.exp(-2 * (math.pi / k) ** 2) for k in (1, 2))  # h = k sigma
    says("together: about # for $h = \\sigma$", one)
    assert two == pytest.approx(says("and about # for"), rel=0.05)
    widest = says("standard deviations from $0.01$ to #")
    edge = says("moments with $s > #$ are")  # rounded up
    assert edge - 1e-3 < widest**2 / (1 - widest**2) < edge
    # Of the exercise: the error at the spacing that is found, in widths.
    for error, words in ((0.01, "0.578$ and"), (1e-6, "0.363$ and")):
        spacing = says(f"{words} $h \\le #\\,\\sigma")
        off = trapezoid(torch.zeros(2), torch.eye(2), spacing) - 1
        assert off == pytest.approx(error, rel=0.02)


def gaps(part: str) -> dict[tuple[str, int], dict]:
    """Of each kind of digits and seed, what the record has of this part of the gap."""
    return {(row["run"], row["seed"]): row[part] for row in load_record("gap")["runs"]}


def halves_of_the_test_digits() -> dict[str, dict]:
    """What the record has of all test digits, of the first half and of the last."""
    return {row["run"]: row for row in load_record("gap")["halves"]}


@pytest.mark.book
def test_the_gap_of_a_thousand_digits_is_what_the_record_says():
    gap, *others = (gaps("gap")["test", seed] for seed in range(3))
    all_digits = halves_of_the_test_digits()["all"]["gap"]
    numbers = [gap["mean"], gap["error"]]
    says("the ELBO's gap is # ± # nats", *numbers)
    says("two more seeds have # and #,", *(other["mean"] for other in others))
    says("and # ± # on all 10,000", all_digits["mean"], all_digits["error"])
    says("model is # ± # nats too low", *numbers)
    says("thousand test digits, # ± # on all;", all_digits["mean"], all_digits["error"])
    for name in ("approximation", "amortisation"):
        part = gaps(name)["test", 0]
        numbers = [part[key] for key in ("mean", "error", "median", "largest")]
        says(f"| {name} | # ± # | # | # |", *numbers)
    found = [part["mean"] for part in gaps("approximation").values()]
    assert 0.05 < min(found) and max(found) < 0.15  # "a tenth of a nat everywhere"


@pytest.mark.book
def test_the_encoder_loses_more_on_digits_that_it_has_not_seen_with_every_seed():
    part = gaps("amortisation")
    seeds = sorted({seed for _, seed in part})
    test, train = ([part[run, seed] for seed in seeds] for run in ("test", "train"))
    pairs = list(zip(test, train, strict=True))
    more = [unseen["mean"] - seen["mean"] for unseen, seen in pairs]
    errors = [math.hypot(unseen["error"], seen["error"]) for unseen, seen in pairs]
    for run, found in (("test", test), ("training", train)):
        numbers = [number for cell in found for number in (cell["mean"], cell["error"])]
        says(f"| {run} digits | # ± # | # ± # | # ± # |", *numbers)
    both = [number for pair in zip(more, errors, strict=True) for number in pair]
    says("| difference | # ± # | # ± # | # ± # |", *both)
    for by, error, unseen in zip(more, errors, test, strict=True):
        assert by > 3 * error and 0.35 < by / unseen["mean"] < 0.65  # "about half"
    seen_means = [seen["mean"] for seen in train]
    says("training digits it loses # to # nats", min(seen_means), max(seen_means))
    says("these test digits # to # more", min(more), max(more))


@pytest.mark.book
def test_on_digits_drawn_at_random_a_third_is_lost_on_new_ones_only():
    study = load_record("gap")
    test, train = study["random"]
    assert (test["run"], train["run"]) == ("test", "train")
    for row, words in ((test, "test digits at random"), (train, "training at random")):
        assert row["seed"] == 0
        part, best = row["amortisation"], row["best"]
        numbers = [part["mean"], part["error"], part["median"]]
        says(f"| {words} | # ± # | # | # ± # |", *numbers, best["mean"], best["error"])
    parts = [row["amortisation"] for row in (train, test)]
    seen, unseen = (part["mean"] for part in parts)
    errors = [part["error"] for part in parts]
    more, error = unseen - seen, math.hypot(*errors)
    says("# ± # and # ± # nats", seen, errors[0], unseen, errors[1])
    says("about a third, # ± # nats", more, error)
    assert more > 3 * error and 0.28 < more / unseen < 0.4  # "about a third"
    medians = [row["amortisation"]["median"] for row in (train, test)]
    assert 0 < medians[1] - medians[0] < 0.2
    # The first thousand: easier training digits, which cost the encoder as much.
    first = {row["run"]: row for row in study["runs"] if row["seed"] == 0}
    best = {
        run: row["log_p_x"]["mean"] - row["approximation"]["mean"]
        for run, row in first.items()
    }
    off = first["train"]["log_p_x"]["error"]
    says("ELBO of # ± # on them", best["train"], off)
    apart = math.hypot(off, train["best"]["error"])
    assert best["train"] > train["best"]["mean"] + 2 * apart
    assert abs(best["test"] - test["best"]["mean"]) < off
    cost = first["train"]["amortisation"]
    assert abs(cost["mean"] - seen) < cost["error"]


@pytest.mark.book
def test_the_first_half_of_the_test_digits_costs_the_encoder_more_than_the_last():
    halves = halves_of_the_test_digits()
    assert [row["digits"] for row in halves.values()] == [10_000, 5000, 5000]
    assert all(row["seed"] == 0 for row in halves.values())
    first, last = (halves[f"{half} half"]["gap"] for half in ("first", "last"))
    says("have a gap of # ± # nats", first["mean"], first["error"])
    says("5,000 one of # ± #, and", last["mean"], last["error"])
    apart = math.hypot(first["error"], last["error"])
    assert first["mean"] - last["mean"] > 5 * apart
    thousands = halves["all"]["gap_by_thousand"]
    assert min(thousands[:5]) > max(thousands[5:])
    thousand = gaps("gap")["test", 0]  # typical of its half, and not of the other
    assert abs(thousand["mean"] - first["mean"]) < thousand["error"]
    assert thousand["mean"] - last["mean"] > 3 * thousand["error"]


@pytest.mark.book
def test_the_probe_does_not_decide_who_is_ahead_in_the_plane_after_twenty_epochs():
    uses = load_record("uses")
    longer = [row for row in uses["runs"] if row["run"] == "digits, longer"]

    def leads(rows: list[dict], which: int) -> list[float]:
        names = "VAE, plane, 5000", "auto-encoder, plane, 5000"
        pairs = [[row["named"][name][which] for name in names] for row in rows]
        return [vae - auto_encoder for vae, auto_encoder in pairs]

    three, four = (leads(rows, 0) for rows in (longer, uses["more planes"]))
    ahead = [lead for lead in four if lead > 0]
    behind = sorted(-lead for lead in four if lead < 0)
    assert (len(three), len(ahead), len(behind)) == (3, 2, 2) and min(three) > 0
    says("behind by # and # points", *behind)
    short = [row for row in uses["runs"] if row["run"] == "digits"]
    votes = leads(short + longer + uses["more planes"], 1)
    assert len(votes) == 10 and max(votes) < 0


@pytest.mark.book
def test_gradient_steps_end_where_the_record_says():
    shorter, longer, in_z = load_record("gap")["refined"].values()
    says("answer, leaves # of the hundred", shorter["stuck"])
    says("and # of the hundred best codes", shorter["far"])
    says("with a thousand steps # digits", longer["stuck"])
    says("below, and # with a thousand steps", in_z["stuck"])
    most = says("by more than # of its")
    assert max(way["moved"] for way in (shorter, longer, in_z)) <= most


@pytest.mark.book
def test_the_order_by_a_linear_probe_depends_on_the_seed():
    correct = {
        (model, run["seed"], run["run"]): run["named"][f"{model}, plane, 5000"][0]
        for run in load_record("uses")["runs"]
        for model in ("auto-encoder", "VAE")
    }
    leads = []
    for seed in range(3):
        plain, vae = (correct[m, seed, "digits"] for m in ("auto-encoder", "VAE"))
        longer = "digits, longer"
        assert correct["VAE", seed, longer] > correct["auto-encoder", seed, longer]
        says(f"| {seed} | # % | # % |", plain, vae)
        leads.append(vae - plain)
    assert leads[0] > 0 > max(leads[1:]) and min(leads) == leads[2]
    assert 6 < -leads[2] < 7  # "by almost seven points"
    share = correct["VAE", 0, "digits"] / 100
    of_difference = 100 * math.sqrt(2 * share * (1 - share) / 10_000)
    assert leads[0] == pytest.approx(of_difference, rel=0.2)  # "about one"
    simple = [
        run["named"]["PCA, plane, 5000"][0] for run in load_record("uses")["runs"]
    ]
    low, high = says("the simple opponent, has # to # %")
    assert low < min(simple[:3]) and max(simple[:3]) < high
    worst = min(correct.values(), key=lambda share: abs(share - 50))
    error = math.sqrt(worst * (100 - worst) / 10_000)
    assert 0.4 < error < 0.6  # "half a percent"


@pytest.mark.book
def test_the_row_of_the_priors_draws_is_what_the_notebook_printed():
    found = printed(r"prior: gap (\S+) \+- (\S+)")
    bound = -126.065 - found[0]  # the notebook asserts the first number
    says("draws from the prior | # | # ± # |", bound, *found)


def printed(pattern: str) -> list[float]:
    """The numbers that the notebook prints in these words."""
    found = re.search(pattern, prose.shown(NOTEBOOKS / "09-evaluation.ipynb"))
    return [float(number) for number in found.groups()]


@pytest.mark.book
def test_the_rows_of_bound_and_estimate_are_what_the_notebook_printed():
    says("| ELBO | # | # ± # |", *printed(r"\n1 +(\S+) +(\S+) +(\S+)"))
    says("$K = 5000$ | # | # ± # |", *printed(r"\n5000 +(\S+) +(\S+) +(\S+)"))
    says("two others it is # and # nats", *printed(r"other draws: (\S+), (\S+)"))


@pytest.mark.book
@pytest.mark.equation("eq-ess")
def test_the_warning_light_sees_what_the_notebook_printed():
    table = r"misses a nat\s+False +(\d+) +(\d+) *\s+True +(\d+) +(\d+)"
    _, _, healthy, warned = map(int, printed(table))
    says("of the # digits that miss", healthy + warned)
    says("it warns of #.", warned)
    assert healthy == 9  # "the other nine"


@pytest.mark.book
def test_pixels_and_the_kind_of_bound_move_a_number_as_the_records_say():
    spreads = []
    for run in load_record("binarizations")["runs"]:
        found = [kind["elbo"] for kind in run["test"].values()]
        spreads.append(max(found) - min(found))
    says("network differs by up to # nats", max(spreads))
    burda = load_record("ledger-burda-vae")
    says(
        "and $\\hat\\ell_{5000}$ differ by # nats", burda["value"] - burda["test_elbo"]
    )


@pytest.mark.book
def test_the_bound_moves_by_nats_from_seed_to_seed():
    rows = [row for row in load_record("gap")["runs"] if row["run"] == "test"]
    elbos = [row["log_p_x"]["mean"] - row["gap"]["mean"] for row in rows]
    says("are #, # and #.", *elbos)
