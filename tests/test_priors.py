"""Each prior is a density, draws from it, and knows the divergence to it."""

import math

import pytest
import torch
import torch.distributions as td
from torch.testing import assert_close

from vae_lib.evaluation import log_likelihood, log_likelihood_by_quadrature
from vae_lib.models import VAE, VAEConfig
from vae_lib.objectives import importance_weighted_bound
from vae_lib.priors import PRIORS
from vae_lib.training import set_seed, train

CONFIGS = {
    "standard": VAEConfig(2, (8,), n_pixels=6),
    "mixture": VAEConfig(2, (8,), n_pixels=6, prior="mixture", n_components=3),
}


def odd(name: str) -> VAE:
    """A model whose prior has parameters other than those it starts with."""
    set_seed(1)
    model = VAE(CONFIGS[name]).double()
    for parameter in model.prior.parameters():
        parameter.data.add_(0.5 * torch.randn_like(parameter))
    return model


def as_torch(prior) -> td.Distribution:
    """The same distribution by torch."""
    if not list(prior.parameters()):
        return td.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    parts = td.Independent(td.Normal(prior.mu, (prior.logvar / 2).exp()), 1)
    return td.MixtureSameFamily(td.Categorical(logits=prior.logits), parts)


def test_every_prior_is_tried_here():
    assert CONFIGS.keys() == PRIORS.keys()


@pytest.mark.parametrize("name", CONFIGS)
def test_densities_are_those_of_torch_and_add_up_to_one(name):
    prior, z = odd(name).prior, torch.randn(4, 5, 2).double()
    assert_close(prior.log_prob(z), as_torch(prior).log_prob(z))
    nodes = torch.linspace(-12, 12, 481, dtype=torch.float64)
    plane = torch.cartesian_prod(nodes, nodes)
    total = prior.log_prob(plane).exp().sum() * (nodes[1] - nodes[0]) ** 2
    assert_close(total.item(), 1.0, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", CONFIGS)
def test_draws_have_the_mean_and_the_spread_of_the_density(name):
    prior = odd(name).prior
    z, same = (prior.sample(20_000, torch.Generator().manual_seed(3)) for _ in "ab")
    expected = as_torch(prior)
    mean, std = expected.mean, expected.variance.sqrt()
    assert z.equal(same) and not z.requires_grad and z.dtype == torch.float64
    assert ((z.mean(0) - mean).abs() < 4 * std / math.sqrt(20_000)).all()
    assert_close(z.std(0), std, rtol=0.03, atol=0)


@pytest.mark.parametrize("name", CONFIGS)
def test_divergences_are_those_of_an_integral_over_the_plane(name):
    prior = odd(name).prior
    mu, logvar = torch.tensor([[0.3, -0.5], [1.0, 2.0]]).double(), torch.tensor(-1.0)
    logvar = logvar.double().expand(2, 2)
    nodes = torch.linspace(-6, 6, 401, dtype=torch.float64)
    plane = torch.cartesian_prod(nodes, nodes)
    q = td.Independent(td.Normal(mu, (logvar / 2).exp()), 1)
    log_q = q.log_prob(plane[:, None])  # (nodes, 2)
    integrand = log_q.exp() * (log_q - prior.log_prob(plane)[:, None])
    exact = integrand.sum(0) * (nodes[1] - nodes[0]) ** 2
    z = q.sample((40_000,))
    found = prior.kl(mu, logvar, z)
    assert found.shape == (2,)
    assert_close(found, exact, rtol=0, atol=0.03)
    assert prior.kl(mu, logvar, z[0]).shape == (2,)


@pytest.mark.parametrize("name", CONFIGS)
def test_weights_estimate_the_evidence_of_the_models_own_prior(name):
    """Against quadrature, which needs no encoder and no weights."""
    model, x = odd(name).float().requires_grad_(False), torch.rand(3, 6).round()
    if name == "mixture":  # within q's reach: else a few weights would be all
        model.prior.mu.mul_(0.3)
        model.prior.logvar.sub_(1.0)
    exact = log_likelihood_by_quadrature(model, x, limit=9.0, n_nodes=361)
    found = log_likelihood(model, x, n_samples=20_000).double()
    assert_close(found, exact, rtol=0, atol=0.02)


def test_a_mixture_learns_where_the_codes_are():
    """Images of two kinds: a better bound than with N(0, I), from the same start."""
    set_seed(0)
    kinds = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])
    images = kinds[torch.arange(200) % 2]
    last = {}
    for name, config in CONFIGS.items():
        set_seed(0)
        history = train(
            VAE(config), images, epochs=60, lr=0.02, device="cpu", progress=False
        )
        last[name] = history.rows[-1]["elbo"]
    assert last["mixture"] > last["standard"] + 0.05


def test_weights_that_were_not_asked_for_are_not_there(refuses):
    output = odd("mixture")(torch.rand(3, 6).double())
    assert output.log_w is None
    with refuses(ValueError, "log_w"):
        importance_weighted_bound(output.log_w)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"prior": "flow"}, "prior among 'standard', 'mixture', got 'flow'"),
        ({"n_components": 3}, "prior 'mixture' for n_components, got 'standard'"),
        ({"prior": "mixture", "n_components": 0}, "n_components >= 1, got 0"),
    ],
    ids=str,
)
def test_what_is_no_prior_is_refused(changes, said, refuses):
    with refuses(ValueError, said):
        VAEConfig(**changes)
