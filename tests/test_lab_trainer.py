"""The VAE that learns in the page computes what torch computes."""

import numpy as np
import pytest
import torch
from live_figure import BOOK
from torch.distributions import Normal

from vae_lib.models import VAE, VAEConfig
from vae_lib.objectives import elbo, importance_weighted_bound

pytestmark = pytest.mark.book

D, J, B = 12, 3, 5
LIKELIHOODS = {
    "bernoulli": {"likelihood": "bernoulli"},
    "gaussian": {"likelihood": "gaussian", "noise_std": 0.7},
    "learned noise": {"likelihood": "gaussian", "noise_std": 0.7, "learn_noise": True},
}
OBJECTIVES = {
    "elbo": {"beta": 1.0},
    "beta": {"beta": 3.5},
    "several draws": {"beta": 1.0, "K": 4},
    "weighted": {"objective": "iwae", "K": 4},
}
MISTAKES = {"kl-averaged": 1 / B, "kl-forgotten": 0.0}


@pytest.fixture(scope="module")
def page(open_page):
    """A page of the book with the trainer at hand, and with what tests ask of it."""
    page = open_page(BOOK / "03-elbo.html")
    page.evaluate(
        """async () => {
          await live.load("tools");
          const trainer = window.trainer = await live.load("trainer");
          window.made = (shape, mean, weights) => {
            const model = trainer.create(shape, mean, 100, 1);
            if (weights) model.weights.set(weights);
            return model;
          };
          window.floats = values => Float32Array.from(values);
        }"""
    )
    yield page
    assert page.problems == []


def shape_of(config: VAEConfig) -> dict:
    """The same for the page."""
    return {
        "n_pixels": config.n_pixels,
        "hidden": list(config.hidden_dims),
        "latent_dim": config.latent_dim,
        "activation": config.activation,
        "likelihood": config.likelihood,
        "noise_std": config.noise_std,
        "learn_noise": config.learn_noise,
    }


def made(activation="tanh", likelihood="bernoulli", hidden=(7, 6), J=J, D=D) -> VAE:
    """A model in float64 with weights away from the start, and a mean to subtract."""
    config = VAEConfig(J, hidden, activation, n_pixels=D, **LIKELIHOODS[likelihood])
    model = VAE.from_data(config, torch.rand(30, D)).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
            weight.copy_(weight.float())  # as the page has it
    return model


def flat(tensors) -> torch.Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def given(model: VAE, **more) -> dict:
    """What the page needs to have the same model, and more arguments as lists."""
    lists = {
        key: value.reshape(-1).tolist() if isinstance(value, torch.Tensor) else value
        for key, value in more.items()
    }
    return lists | {
        "shape": shape_of(model.config),
        "mean": model.input_mean.tolist(),
        "weights": flat(model.parameters()).tolist(),
    }


def loss_of(model: VAE, x, eps, beta=1.0, objective="elbo"):
    """The loss as torch has it, and the terms that a report has."""
    output = model(x, eps=eps, weights=objective == "iwae")
    fit, kl = output.log_p_x_given_z.mean(), output.kl.mean()
    if objective == "iwae":
        return -importance_weighted_bound(output.log_w).mean(), fit, kl
    return -elbo(output.log_p_x_given_z.mean(0), output.kl, beta=beta).mean(), fit, kl


STEP = """({ shape, mean, weights, x, eps, options }) => {
  const model = made(shape, mean, weights);
  const found = trainer.slopes(model, floats(x), floats(eps), options);
  return { ...found, gradient: [...model.gradient] };
}"""


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("activation", ["relu", "silu", "softplus", "tanh"])
def test_loss_and_every_derivative_are_torchs(page, activation, likelihood, objective):
    model = made(activation, likelihood)
    options = dict(OBJECTIVES[objective])
    x = torch.rand(B, D, dtype=torch.float64).float().double()
    eps = torch.randn(options.pop("K", 1), B, J).double()
    loss, fit, kl = loss_of(model, x, eps, **options)
    loss.backward()
    found = page.evaluate(STEP, given(model, x=x, eps=eps, options=options))
    close = {"rel": 1e-4, "abs": 1e-5}
    assert found["loss"] == pytest.approx(loss.item(), **close)
    assert found["log_p_x_given_z"] == pytest.approx(fit.item(), **close)
    assert sum(found["kl"]) == pytest.approx(kl.item(), **close)
    assert found["elbo"] == pytest.approx((fit - kl).item(), **close)
    expected = flat(weight.grad for weight in model.parameters())
    apart = (torch.tensor(found["gradient"]) - expected).abs().max()
    assert apart < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_price_of_the_kl_is_that_beta(page, mistake):
    model, x = made(), torch.rand(B, D).double()
    eps = torch.randn(1, B, J).double()
    loss, *_ = loss_of(model, x, eps, beta=MISTAKES[mistake])
    loss.backward()
    options = {"mistake": mistake}
    found = page.evaluate(STEP, given(model, x=x, eps=eps, options=options))
    expected = flat(weight.grad for weight in model.parameters())
    assert (torch.tensor(found["gradient"]) - expected).abs().max() < 1e-4
    assert found["elbo"] < found["bound"]  # what is shown stays the bound itself


def test_standard_deviation_taken_for_variance_draws_with_sigma_squared(page):
    model, x = made(), torch.rand(B, D).double()
    eps = torch.randn(1, B, J).double()
    mu, logvar = model.encode(x)
    z = mu + logvar.exp() * eps
    fit = model.log_p_x_given_z(x, model.decode(z)).mean()
    kl = (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean() / 2
    (kl - fit).backward()
    options = {"mistake": "std-for-variance"}
    found = page.evaluate(STEP, given(model, x=x, eps=eps, options=options))
    expected = flat(weight.grad for weight in model.parameters())
    assert (torch.tensor(found["gradient"]) - expected).abs().max() < 1e-4


def test_steps_are_those_of_adam(page):
    model, x = made("silu"), torch.rand(B, D).double()
    noise = torch.randn(20, 1, B, J).double()
    told = given(model, x=x, eps=noise)
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    for eps in noise:
        adam.zero_grad()
        loss_of(model, x, eps)[0].backward()
        adam.step()
    weights = page.evaluate(
        """({ shape, mean, weights, x, eps, n }) => {
          const model = made(shape, mean, weights), options = { lr: 0.01, beta: 1 };
          for (let i = 0; i < eps.length; i += n)
            trainer.learn(model, floats(x), floats(eps.slice(i, i + n)), options);
          return [...model.weights];
        }""",
        told | {"n": B * J},
    )
    apart = torch.tensor(weights) - flat(model.parameters())
    assert apart.abs().max() < 1e-4


def test_a_new_model_starts_as_torchs_do(page):
    config = VAEConfig(2, (300,), n_pixels=100)
    mean = torch.rand(100)
    told = {"shape": shape_of(config), "mean": mean.tolist()}
    twice = "({ shape, mean }) => [1, 1, 2].map(seed => "
    twice += "[...trainer.create(shape, mean, 60, seed).weights])"
    first, again, other = page.evaluate(twice, told)
    assert first == again != other
    model = VAE(config)
    parts = torch.tensor(first).split([weight.numel() for weight in model.parameters()])
    *hidden, bias = zip(parts, model.named_parameters(), strict=True)
    for found, (name, weight) in hidden:
        if weight.numel() > 100:
            assert found.std() == pytest.approx(weight.std().item(), rel=0.1), name
            assert found.abs().max() <= weight.abs().max() * 1.1, name
    assert bias[1][0] == "decoder.2.bias"
    start = torch.logit((mean * 60 + 1) / 62)
    assert (bias[0] - start).abs().max() < 1e-5


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_what_is_judged_encoded_and_decoded_is_torchs(page, likelihood):
    model, x = made("silu", likelihood), torch.rand(B, D).double()
    eps = torch.randn(B, J).double()
    told = given(model, x=x, eps=eps)
    found = page.evaluate(
        """({ shape, mean, weights, x, eps }) => {
          const model = made(shape, mean, weights);
          const found = trainer.judge(model, floats(x), floats(eps));
          const { mu, logvar, ...report } = found;
          const again = trainer.encode(model, floats(x));
          return { report, mu: [...mu], logvar: [...logvar], again: [...again.mu],
            image: [...trainer.decode(model, floats(eps))] };
        }""",
        told,
    )
    with torch.no_grad():
        output = model(x, eps=eps)
        params = model.decode(eps)
    fit, kl = output.log_p_x_given_z.mean().item(), output.kl.mean().item()
    assert found["report"]["elbo"] == pytest.approx(fit - kl, rel=1e-5)
    assert found["report"]["log_p_x_given_z"] == pytest.approx(fit, rel=1e-5)
    for key in ("mu", "logvar"):
        expected = getattr(output, key).reshape(-1).tolist()
        assert found[key] == pytest.approx(expected, abs=1e-5)
    assert found["again"] == found["mu"]
    shown = params.sigmoid() if likelihood == "bernoulli" else params
    assert found["image"] == pytest.approx(shown.reshape(-1).tolist(), abs=1e-5)


def log_p_of(model: VAE, x: torch.Tensor) -> torch.Tensor:
    """log p(x) (N,) of a model with one latent dimension, by many more nodes."""
    z = torch.linspace(-8, 8, 20_001, dtype=torch.float64)[:, None]
    with torch.no_grad():
        f, sigma = model.decode(z), model.likelihood.noise_std
    log_joint = Normal(f, sigma).log_prob(x[:, None]).sum(-1)
    log_joint += Normal(0.0, 1.0).log_prob(z[:, 0])
    return log_joint.logsumexp(1) + np.log(16 / 20_000)


def test_evidence_and_density_of_a_curve_are_the_integral(page):
    model = made("tanh", "learned noise", hidden=(8, 8), J=1, D=2)
    x = torch.randn(9, 2).double()
    xs, ys = torch.linspace(-2, 2, 7).double(), torch.linspace(-1, 2, 5).double()
    found = page.evaluate(
        """({ shape, mean, weights, x, xs, ys }) => {
          const model = made(shape, mean, weights);
          return { evidence: [...trainer.evidence(model, floats(x))],
            density: [...trainer.density(model, floats(xs), floats(ys))] };
        }""",
        given(model, x=x, xs=xs, ys=ys),
    )
    assert found["evidence"] == pytest.approx(log_p_of(model, x).tolist(), abs=1e-4)
    grid = torch.stack([xs.repeat(5), ys.repeat_interleave(7)], 1)
    expected = log_p_of(model, grid).exp().tolist()
    assert found["density"] == pytest.approx(expected, rel=1e-3, abs=1e-6)
