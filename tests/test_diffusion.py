"""A diffusion: its chain, its bound and its density, each held against another way."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from torch.func import jacrev
from torch.testing import assert_close

from vae_lib.checkpoints import load, save
from vae_lib.diffusion import Diffusion
from vae_lib.evaluation import (
    active_units,
    evaluate_elbo,
    log_likelihood,
    log_likelihood_by_quadrature,
)
from vae_lib.exchange import export_model
from vae_lib.export import export_network
from vae_lib.layered_configs import DiffusionConfig
from vae_lib.training import set_seed, train

pytestmark = pytest.mark.usefixtures("double_precision")
T = 6
QUIET = {"device": "cpu", "progress": False}


def some(n_pixels: int = 2, *, new: bool = False, **changes) -> Diffusion:
    """A small one, with weights that guess something unless it is new."""
    set_seed(0)
    small = {"n_steps": T, "hidden_dims": (8,), "activation": "tanh"}
    config = DiffusionConfig(n_pixels=n_pixels, **small | changes)
    model = Diffusion(config).requires_grad_(False)
    for weights in () if new else model.network.parameters():
        weights.normal_(std=0.6)
    return model


def chain(model: Diffusion) -> list[tuple[Tensor, Tensor]]:
    """Of each step what it keeps of the code below, and the std of what it adds."""
    alpha, sigma = model.signal_and_noise()
    steps = [(alpha[0], sigma[0])]
    for t in range(1, len(alpha)):
        kept = alpha[t] / alpha[t - 1]
        steps.append((kept, (sigma[t] ** 2 - (kept * sigma[t - 1]) ** 2).sqrt()))
    return steps


def backwards(model: Diffusion, t: int, later: Tensor) -> Normal:
    """p(x_t-1|x_t) of codes (..., D)."""
    steps = torch.full(later.shape[:-1], t)
    guess = model.guess(later, steps)
    if t == 1:
        return Normal(guess, (-model.log_snr[0] / 2).exp())
    of_x_t, of_x, logvar = model.step_back(steps)
    return Normal(of_x_t * later + of_x * guess, (logvar / 2).exp())


def joint(model: Diffusion) -> tuple[Tensor, Tensor]:
    """Of x_1 to x_T given x, all of one number: slopes (T,) and covariance (T, T)."""
    noise = torch.zeros(1, len(model.log_snr), 1)
    slopes, factors = jacrev(
        lambda x, eps: model.noised(x, eps).flatten(), argnums=(0, 1)
    )(torch.zeros(1, 1), noise)
    factors = factors.flatten(1)
    return slopes.flatten(), factors @ factors.T


def test_signal_and_noise_share_one_and_their_ratio_falls_evenly():
    alpha, sigma = some(n_steps=7).signal_and_noise()
    assert_close(alpha.square() + sigma.square(), torch.ones(7))
    assert_close((alpha / sigma).square().log(), torch.linspace(6, -6, 7))


def test_codes_have_the_moments_that_the_factors_promise():
    """Also of two together: x_t knows of x_s what the chain has kept."""
    model = some(1)
    alpha, sigma = model.signal_and_noise()
    slopes, covariance = joint(model)
    assert_close(slopes, alpha)
    assert_close(covariance.diag(), sigma.square())
    for s in range(T):
        for t in range(s, T):
            expected = alpha[t] / alpha[s] * sigma[s].square()
            assert_close(covariance[s, t], expected)


def test_each_step_adds_its_own_noise_to_the_code_below():
    model, x, eps = some(), torch.randn(3, 2), torch.randn(4, 3, T, 2)
    codes, below = model.noised(x, eps), x
    for t, (kept, added) in enumerate(chain(model)):
        below = kept * below + added * eps[..., t, :]
        assert_close(codes[..., t, :], below)


def test_one_step_back_is_bayes_rule():
    """By conditioning the joint Gaussian of two codes, given x."""
    model, x, x_t = some(1), 0.7, -0.4
    slopes, covariance = joint(model)
    of_x_t, of_x, logvar = model.step_back(torch.arange(2, T + 1))
    assert of_x_t.shape == of_x.shape == logvar.shape == (T - 1, 1)
    for n, t in enumerate(range(1, T)):
        gain = covariance[t - 1, t] / covariance[t, t]
        mean = slopes[t - 1] * x + gain * (x_t - slopes[t] * x)
        assert_close((of_x_t * x_t + of_x * x)[n, 0], mean)
        variance = covariance[t - 1, t - 1] - gain * covariance[t, t - 1]
        assert_close(logvar[n, 0].exp(), variance)


@pytest.mark.parametrize("n_steps", [2, 1000])
def test_shorter_numbers_lose_no_small_step(n_steps):
    """A step of a thousand adds so little that differences of squares would round."""
    exact, model = some(1, n_steps=n_steps), some(1, n_steps=n_steps).float()
    exact.log_snr = model.log_snr.double()  # the steps as they are
    steps = torch.arange(2, n_steps + 1)
    for found, expected in zip(
        model.step_back(steps), exact.step_back(steps), strict=True
    ):
        assert_close(found.double(), expected, rtol=1e-4, atol=0)
    eps = torch.ones(1, n_steps, 1)
    codes = model.noised(torch.ones(1, 1).float(), eps.float())
    expected = exact.noised(torch.ones(1, 1), eps)
    assert_close(codes.double(), expected, rtol=1e-4, atol=1e-4)


def test_a_network_says_how_much_noise_there_is_and_is_told_the_step():
    """In units of the noise: where there is hardly any, it has hardly a say."""
    model, t = some(new=True, hidden_dims=()), torch.arange(1, T + 1)
    model.network[-1].bias[:] = torch.tensor([0.3, -2.0])
    model.network[-1].weight[0, 2] = 0.5  # of the step's level
    alpha, sigma = (factor[:, None] for factor in model.signal_and_noise())
    says = torch.tensor([0.3, -2.0]) + torch.stack((model.log_snr / 8, 0 * t), -1)
    codes = torch.randn(5, T, 2)
    expected = alpha * codes - sigma * says
    assert_close(model.guess(codes, t.expand(5, T)), expected)


def test_weights_are_p_over_q_of_the_chain_step_by_step_forwards():
    model, x, eps = some(), torch.randn(3, 2), torch.randn(4, 3, T * 2)
    codes = model.noised(x, eps.view(4, 3, T, 2))
    below, log_q, log_p = x.expand(4, 3, 2), 0, 0
    for t, (kept, added) in enumerate(chain(model), start=1):
        code = codes[..., t - 1, :]
        log_q = log_q + Normal(kept * below, added).log_prob(code).sum(-1)
        log_p = log_p + backwards(model, t, code).log_prob(below).sum(-1)
        below = code
    log_p = log_p + Normal(0.0, 1.0).log_prob(below).sum(-1)
    output = model(x, eps=eps, weights=True)
    assert_close(output.log_w, log_p - log_q)
    assert torch.equal(output.z, codes.flatten(-2)) and model(x).log_w is None


def test_the_divergence_is_the_sum_of_those_of_torch():
    model, x, eps = some(), torch.randn(3, 2), torch.randn(4, 3, T * 2)
    output = model(x, eps=eps)
    codes = output.z.view(4, 3, T, 2)
    alpha, sigma = model.signal_and_noise()
    total = kl_divergence(Normal(alpha[-1] * x, sigma[-1]), Normal(0.0, 1.0)).sum(-1)
    for t in range(2, T + 1):
        code = codes[..., t - 1, :]
        of_x_t, of_x, logvar = model.step_back(torch.full((4, 3), t))
        q = Normal(of_x_t * code + of_x * x, (logvar / 2).exp())
        total = total + kl_divergence(q, backwards(model, t, code)).sum(-1).mean(0)
    assert_close(output.kl, total)
    first = backwards(model, 1, codes[..., 0, :])
    assert_close(output.log_p_x_given_z, first.log_prob(x).sum(-1))
    assert_close(output.x_params, first.mean)
    assert_close(output.mu, alpha[-1] * x)
    assert_close((output.logvar / 2).exp(), sigma[-1].expand(3, 2))


def test_terms_and_weights_estimate_the_same_bound():
    model, x = some(), torch.randn(2, 2)
    output = model(x, eps=torch.randn(40_000, 2, T * 2), weights=True)
    terms = output.log_p_x_given_z.mean(0) - output.kl
    spread = output.log_w.std(0)
    assert ((output.log_w.mean(0) - terms).abs() < 4 * spread / 200).all()


def test_shapes_are_those_of_a_vae():
    model, x = some(), torch.randn(5, 2)
    one, more = model(x, weights=True), model(x, n_samples=4, weights=True)
    for output, K in ((one, ()), (more, (4,))):
        assert output.z.shape == (*K, 5, T * 2) and output.x_params.shape == (*K, 5, 2)
        assert output.log_p_x_given_z.shape == output.log_w.shape == (*K, 5)
        assert output.kl.shape == (5,) and output.mu.shape == output.logvar.shape
    generator = torch.Generator()
    a, b = (model(x, generator=generator.manual_seed(3)) for _ in "ab")
    assert torch.equal(a.z, b.z) and not torch.equal(a.z, one.z)


def grid(model: Diffusion, limit: float = 8.0, n: int = 801) -> tuple[Tensor, Tensor]:
    """Nodes (n, 1), and log p(x) there of a model of one number: by T integrals."""
    nodes = torch.linspace(-limit, limit, n)[:, None]
    log_p = Normal(0.0, 1.0).log_prob(nodes[:, 0])
    for t in range(len(model.log_snr), 0, -1):
        p = backwards(model, t, nodes)
        onwards = p.log_prob(nodes[:, 0])  # (n, n): from rows to columns
        log_p = (log_p[:, None] + onwards).logsumexp(0) + math.log(2 * limit / (n - 1))
    return nodes, log_p


@pytest.fixture(scope="module")
def odd() -> tuple[Diffusion, Tensor, Tensor]:
    """A model of one number that is far from Gaussian, and its density on a grid."""
    torch.set_default_dtype(torch.float64)
    model = some(1, log_snr_first=3.0, log_snr_last=-5.0)
    for weights in model.network.parameters():
        weights.mul_(2)
    return model, *grid(model)


def test_a_density_by_integrals_adds_up_to_one(odd):
    _, nodes, log_p = odd
    total = log_p.exp().sum() * (nodes[1] - nodes[0])
    assert total.item() == pytest.approx(1.0, abs=1e-6)
    mean = (log_p.softmax(0) * nodes[:, 0]).sum()
    narrow = (log_p.softmax(0) * (nodes[:, 0] - mean).square()).sum().log()
    normal = Normal(mean, (narrow / 2).exp()).log_prob(nodes[:, 0])
    assert (log_p.softmax(0) * (log_p - normal)).sum() > 0.02  # no Gaussian


def test_the_density_lies_above_the_bound_and_the_weights_estimate_it(odd):
    model, nodes, log_p = odd
    places = slice(300, 501, 20)  # from -2 to 2
    x, exact = nodes[places], log_p[places]
    output = model(x, n_samples=4000, weights=True)
    bound = output.log_p_x_given_z.mean(0) - output.kl
    assert (bound < exact).all()
    found = log_likelihood(model, x, n_samples=20_000, chunk=2000)
    assert (found > bound).all()
    likely = exact > -5
    assert likely.sum() > 4
    assert_close(found[likely], exact[likely], atol=0.1, rtol=0)


def test_draws_are_those_of_the_density(odd):
    model, nodes, log_p = odd
    n, edges = 40_000, torch.linspace(-2, 2, 13)
    drawn, same = (
        model.sample(n, generator=torch.Generator().manual_seed(1)) for _ in "ab"
    )
    assert drawn.equal(same) and drawn.shape == (n, 1) and not drawn.requires_grad
    below = (drawn[:, 0, None] < edges).double().mean(0)  # (13,)
    width = nodes[1] - nodes[0]  # of a node's cell, which an edge may cut
    share = ((edges - nodes) / width + 0.5).clamp(0, 1)  # (n, 13)
    expected = width * log_p.exp() @ share
    error = (expected * (1 - expected) / n).sqrt()
    assert ((below - expected).abs() < 4 * error + 1e-4).all()


def test_a_new_model_has_the_gaussian_density_of_a_linear_chain():
    model, x = some(new=True, n_steps=12), torch.randn(300, 2)
    variance = torch.ones(1)
    for t in range(12, 0, -1):
        step = backwards(model, t, torch.ones(1, 2))
        variance = step.mean[0, :1] ** 2 * variance + step.stddev.max() ** 2
    exact = MultivariateNormal(torch.zeros(2), variance * torch.eye(2)).log_prob(x)
    found = log_likelihood(model, x, n_samples=2000)
    assert_close(found.mean(), exact.mean(), atol=0.03, rtol=0)
    assert evaluate_elbo(model, x).elbo < exact.mean()
    one = some(1, new=True, n_steps=12)
    nodes, log_p = grid(one)
    near = nodes[:, 0].abs() < 4
    normal = Normal(0.0, variance.sqrt()).log_prob(nodes[:, 0])
    assert_close(log_p[near], normal[near], atol=1e-6, rtol=0)
    draws = model.sample(50_000)
    assert_close(draws.std(0), variance.sqrt().expand(2), atol=0.02, rtol=0)


def bound_on_gaussian_data(n_steps: int) -> float:
    """The mean bound of a new model for x of N(0, 1), with nothing drawn.

    The terms are quadratic in x and the noise, whose mean over N(0, I) is that over so
    many points on the axes.
    """
    model, n = some(1, new=True, n_steps=n_steps), n_steps + 1
    points = math.sqrt(n) * torch.cat((torch.eye(n), -torch.eye(n)))
    output = model(points[:, :1], eps=points[:, 1:])
    return (output.log_p_x_given_z - output.kl).mean().item()


def test_the_gap_of_gaussian_data_falls_as_one_over_the_number_of_steps():
    truth = -0.5 * math.log(2 * math.pi * math.e)
    gaps = {n: truth - bound_on_gaussian_data(n) for n in (25, 50, 100, 200, 400)}
    assert min(gaps.values()) > 0
    for n in (50, 100, 200):
        assert gaps[n] / gaps[2 * n] == pytest.approx(2.0, rel=0.05)
    for n, gap in gaps.items():  # by hand: its guess is off by the posterior's width
        snr = torch.linspace(6, -6, n).exp()
        noise = 1 / (1 + snr)
        first = -0.5 * (math.log(2 * math.pi) - snr[0].log() + snr[0] * noise[0])
        kls = ((snr[:-1] - snr[1:]) / 2 * noise[1:]).sum() - 0.5 * noise[-1].log()
        assert truth - (first - kls).item() == pytest.approx(gap, rel=1e-9)


@pytest.mark.parametrize(
    "changes",
    [{}, {"objective": "iwae", "n_samples": 3}, {"n_samples": 2, "beta": 0.9}],
    ids=str,
)
def test_it_learns_data_of_two_kinds(changes):
    x = torch.where(torch.rand(400, 1) < 0.5, -1.0, 1.0) + 0.1 * torch.randn(400, 1)
    set_seed(0)
    model = Diffusion.from_data(DiffusionConfig(1, 20, (32, 32)), x)
    before = evaluate_elbo(model, x).elbo
    options = QUIET | {"epochs": 30, "batch_size": 50, "lr": 0.01, "validation": x}
    found = train(model, x, **options, **changes).rows[-1]["valid_elbo"]
    assert evaluate_elbo(model, x).elbo == found > before + 0.5
    drawn = model.sample(500).abs()
    assert 0.8 < drawn.mean() < 1.2 and drawn.std() < 0.4


def test_each_weight_learns_though_the_last_layer_starts_at_zero():
    model = Diffusion(DiffusionConfig(n_steps=T, hidden_dims=(8, 8)))
    assert not any(weights.any() for weights in model.network[-1].parameters())
    for _ in range(2):
        output = model(torch.randn(50, 2))
        (output.kl - output.log_p_x_given_z).mean().backward()
        for weights in model.parameters():
            weights.data -= 0.1 * weights.grad
    assert all(weights.grad.any() for weights in model.parameters())


def test_a_file_brings_the_same_model_back(tmp_path):
    model, x = some().float(), torch.randn(4, 2).float()
    save(tmp_path / "model", model)
    again = load(tmp_path / "model")
    assert type(again) is Diffusion and again.config == model.config
    assert evaluate_elbo(again, x) == evaluate_elbo(model, x)
    generator = torch.Generator()
    a, b = (m.sample(9, generator=generator.manual_seed(0)) for m in (model, again))
    assert torch.equal(a, b)


X = torch.zeros(3, 2)
REFUSED = {
    "a file of one network": (
        lambda path: export_network(some().float(), path),
        "expected a VAE of images, which a page can read, got Diffusion",
    ),
    "a file of both": (
        lambda path: export_model(some().float(), path),
        "expected a VAE and no other class, got Diffusion",
    ),
    "active units": (
        lambda path: active_units(some(), X.double()),
        "for active units, which are counted at its means, got 'Diffusion'",
    ),
    "quadrature": (
        lambda path: log_likelihood_by_quadrature(some(1, n_steps=2), X[:, :1]),
        "expected a VAE with 2 latent dimensions and Bernoulli pixels, got 'Diffusion",
    ),
    "the gradient along the path": (
        lambda path: train(learner(), X.double(), epochs=1, gradient="path", **QUIET),
        "for the gradient 'path', got 'Diffusion'",
    ),
    "free bits of codes that have no weights": (
        lambda path: train(learner(), X.double(), epochs=1, free_bits=0.1, **QUIET),
        "expected the prior 'standard' for free bits, got 'Diffusion'",
    ),
    "a step by hand": (
        lambda path: train(learner(), X.double(), epochs=1, step="by hand", **QUIET),
        "for step='by hand', got Diffusion",
    ),
    "bits of what is no picture": (
        lambda path: train(
            learner(), X.double() - 1, epochs=1, binarization="sample", **QUIET
        ),
        "expected pixels in [0, 1], got",
    ),
}


def learner() -> Diffusion:
    return some().requires_grad_(True)


@pytest.mark.parametrize("case", REFUSED)
def test_what_asks_for_another_model_refuses_in_one_line(case, tmp_path, refuses):
    call, said = REFUSED[case]
    with refuses(ValueError, said):
        call(tmp_path / "file")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"log_snr_first": -7.0}, "got (-7.0, -6.0)"),
        ({"log_snr_first": 20.5}, "20 >= log_snr_first > log_snr_last >= -20, got"),
        ({"log_snr_last": -21.0}, "20 >= log_snr_first > log_snr_last >= -20, got"),
        ({"n_steps": 1}, "n_steps >= 2, got 1"),
        ({"n_steps": 10_001}, "n_steps < 10001, got 10001"),
        ({"hidden_dims": (0,)}, "widths >= 1, got (0,)"),
    ],
    ids=str,
)
def test_shapes_that_are_none_are_refused(changes, said, refuses):
    with refuses(ValueError, "expected ", said):
        replace(DiffusionConfig(), **changes)


@pytest.mark.parametrize("ends", [(20.0, -20.0), (20.0, 19.0), (-19.0, -20.0)])
def test_terms_are_finite_at_the_ends_of_what_a_ratio_may_be(ends):
    changes = {"log_snr_first": ends[0], "log_snr_last": ends[1]}
    model = some(**changes).float().requires_grad_(True)
    output = model(torch.randn(5, 2).float(), n_samples=2, weights=True)
    (output.log_w.mean() - output.kl.mean()).backward()
    grads = [weights.grad for weights in model.parameters()]
    for value in (output.log_w, output.kl, model.sample(5), *grads):
        assert value.isfinite().all()
