"""Each prior is a density, draws from it, and knows the divergence to it.

Two laws for two slips: a density that adds up to one may be another than that of the
draws, as a product of mixtures is; and draws say nothing of a wrong constant.
"""

import math
from copy import deepcopy

import pytest
import torch
import torch.distributions as td
from torch import Tensor
from torch.testing import assert_close

from vae_lib.checkpoints import load, save
from vae_lib.evaluation import log_likelihood, log_likelihood_by_quadrature
from vae_lib.exchange import export_model
from vae_lib.export import export_network
from vae_lib.models import VAE, VAEConfig
from vae_lib.objectives import importance_weighted_bound
from vae_lib.priors import PRIORS, Mixture
from vae_lib.training import set_seed, train

CONFIGS = {
    "standard": VAEConfig(2, (8,), n_pixels=6),
    "mixture": VAEConfig(2, (8,), n_pixels=6, prior="mixture", n_components=3),
    "vamp": VAEConfig(2, (8,), "tanh", n_pixels=6, prior="vamp", n_components=3),
    "flow": VAEConfig(2, (8,), n_pixels=6, prior="flow", flow_dim=8),
}
EACH = pytest.mark.parametrize("name", CONFIGS)
LEARNED = pytest.mark.parametrize("name", list(CONFIGS)[1:])


def odd(name: str) -> VAE:
    """A model whose prior has parameters other than those it starts with."""
    set_seed(1)
    model = VAE(CONFIGS[name]).double()
    size = 0.3 if name == "flow" else 0.5
    for parameter in model.prior.parameters():
        parameter.data.add_(size * torch.randn_like(parameter))
    if name == "vamp":  # a new encoder hardly tells its pseudo-inputs apart
        model.encoder[-1].weight.data.mul_(6)
    return model


def as_torch(prior) -> td.Distribution | None:
    """The same distribution by torch, where it has it."""
    if not list(prior.parameters()):
        return td.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    if not hasattr(prior, "components"):
        return None
    mu, logvar, logits = prior.components()
    parts = td.Independent(td.Normal(mu, (logvar / 2).exp()), 1)
    return td.MixtureSameFamily(td.Categorical(logits=logits), parts)


def plane(limit: float = 12.0, n: int = 481) -> tuple[Tensor, Tensor]:
    """Nodes (n * n, 2) of a square about the origin, and the area of each's cell."""
    nodes = torch.linspace(-limit, limit, n, dtype=torch.float64)
    return torch.cartesian_prod(nodes, nodes), (nodes[1] - nodes[0]) ** 2


def test_every_prior_is_tried_here():
    assert CONFIGS.keys() == PRIORS.keys()


@EACH
def test_densities_are_those_of_torch_and_add_up_to_one(name):
    prior, z = odd(name).prior, torch.randn(4, 5, 2).double()
    expected = as_torch(prior)
    if expected is not None:
        assert_close(prior.log_prob(z), expected.log_prob(z), rtol=1e-12, atol=1e-12)
    nodes, area = plane()
    total = prior.log_prob(nodes).exp().sum() * area
    assert_close(total.item(), 1.0, rtol=1e-6, atol=0)


@EACH
def test_draws_are_those_of_the_density(name):
    """By their moments, and by their surprise against the entropy over the plane."""
    prior = odd(name).prior
    z, same = (prior.sample(20_000, torch.Generator().manual_seed(3)) for _ in "ab")
    assert z.equal(same) and not z.requires_grad and z.dtype == torch.float64
    nodes, area = plane()
    log_p = prior.log_prob(nodes).detach()
    mass = log_p.exp() * area
    laws = (
        lambda z, log_p: z,
        lambda z, log_p: z.square(),
        lambda z, log_p: z.prod(-1, keepdim=True),
        lambda z, log_p: -log_p[:, None],
    )
    for law in laws:
        drawn, exact = law(z, prior.log_prob(z).detach()), mass @ law(nodes, log_p)
        error = drawn.std(0) / math.sqrt(20_000)
        assert ((drawn.mean(0) - exact).abs() < 4 * error).all()


@EACH
def test_divergences_are_those_of_an_integral_over_the_plane(name):
    model, x = odd(name), torch.rand(2, 6).double()
    mu, logvar = model.encode(x)
    nodes, area = plane(limit=8.0, n=321)
    q = td.Independent(td.Normal(mu, (logvar / 2).exp()), 1)
    log_q = q.log_prob(nodes[:, None])  # (nodes, 2)
    integrand = log_q.exp() * (log_q - model.prior.log_prob(nodes)[:, None])
    exact = integrand.sum(0) * area
    output = model(x, n_samples=40_000)
    found = output.kl
    assert found.shape == (2,) and model(x).kl.shape == (2,)
    log_ratio = q.log_prob(output.z) - model.prior.log_prob(output.z)
    assert ((found - exact).abs() < 4 * log_ratio.std(0) / 200).all()
    closed = model.prior.kl(mu, logvar)
    assert (closed is None) == bool(list(model.prior.parameters()))
    if closed is not None:
        assert closed.equal(found)


def test_a_mixture_in_many_dimensions_is_that_of_torch():
    """By products of matrices: the same but for rounding, which float32 has more of."""
    set_seed(0)
    prior = Mixture(VAEConfig(40, prior="mixture", n_components=30), None).double()
    for parameter in prior.parameters():
        parameter.data.add_(torch.randn_like(parameter))
    z = 2 * torch.randn(3, 20, 40).double()
    both = prior.log_prob(z), as_torch(prior).log_prob(z)
    assert_close(*both, rtol=1e-12, atol=1e-12)
    grads = (torch.autograd.grad(p.sum(), list(prior.parameters())) for p in both)
    assert_close(*grads, rtol=1e-9, atol=1e-9)
    prior.float().logvar.data.fill_(-3.0)
    z = prior.sample(500)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = prior.log_prob(z)
    exact = prior.double().log_prob(z.double())
    assert_close(rounded.double(), exact, rtol=0, atol=2e-3)


def test_a_flow_moves_every_dimension_by_each_other():
    prior = odd("flow").prior

    def through(z: Tensor) -> Tensor:
        for layer in prior.layers:
            z, _ = layer(z)
        return z

    assert torch.func.jacrev(through)(torch.randn(2).double()).all()


def test_every_pixel_of_every_pseudo_input_is_learned():
    """Also far outside of what pixels start as: nothing is cut off."""
    model = odd("vamp")
    model.prior.pixels.data.normal_().mul_(4)
    model.prior.log_prob(torch.randn(50, 2).double()).sum().backward()
    assert model.prior.pixels.grad.shape == (3, 6) and model.prior.pixels.grad.all()
    assert all(weight.grad.any() for weight in model.encoder.parameters())


def test_pseudo_inputs_start_at_different_images_of_the_data(refuses):
    images, config = torch.rand(20, 6), CONFIGS["vamp"]
    images[:, 0], images[:, 1] = 0, 1
    for given in (images, images[:2]):  # more than it has, and fewer
        model = VAE.from_data(config, given)
        started = torch.sigmoid(model.prior.pixels)[: len(given)]
        away = ((started - 0.02) / 0.96)[:, None] - given  # (n, N, 6)
        nearest, which = away.abs().amax(-1).min(1)
        assert nearest.max() < 1e-5 and len(which.unique()) == len(started)
    grey = VAEConfig(2, (8,), "tanh", "gaussian", 6, prior="vamp", n_components=3)
    with refuses(ValueError, "images in [0, 1] for the prior 'vamp', got 'others'"):
        VAE.from_data(grey, 2 * images)


@LEARNED
def test_a_copy_of_a_model_has_a_prior_of_its_own(name, tmp_path):
    model, z = odd(name), torch.randn(5, 2).double()
    save(tmp_path / "model", model)
    before = model.prior.log_prob(z)
    for other in (deepcopy(model), load(tmp_path / "model")):
        assert other.prior.log_prob(z).equal(before)
        other.encoder[-1].bias.data.add_(0.5)
        moved = not other.prior.log_prob(z).equal(before)
        assert moved == (name == "vamp")  # by the copy's encoder
        assert model.prior.log_prob(z).equal(before)
    assert not any("encode" in key for key in model.prior.state_dict())
    assert len([*model.parameters()]) == len({*model.parameters()})


@EACH
def test_new_images_are_drawn_of_the_models_own_prior(name):
    model = odd(name)
    one, other = (torch.Generator().manual_seed(0) for _ in "ab")
    z = model.prior.sample(7, one)
    assert model.sample(7, generator=other).equal(model.mean_image(z))


@LEARNED
def test_pages_get_no_decoder_whose_codes_they_would_draw_amiss(
    name, tmp_path, refuses
):
    model, path = odd(name), tmp_path / "file.json"
    with refuses(ValueError, f"the prior 'standard' of a decoder, got '{name}'"):
        export_network(model, path)
    with refuses(ValueError, f"a VAE with the prior 'standard', got '{name}'"):
        export_model(model, path)
    assert not path.exists()
    export_network(model, path, part="encoder")


@EACH
def test_extreme_encoders_have_finite_terms_and_gradients(name):
    model, x = odd(name).float(), torch.rand(4, 6)
    for size in (1e-6, 1.0, 1e6):
        with torch.no_grad():
            model.encoder[-1].bias.copy_(size * torch.tensor([1.0, -1, 1, -1]))
        output = model(x, n_samples=2, weights=True)
        for bound in (output.log_w, output.kl):
            model.zero_grad()
            bound.mean().backward(retain_graph=True)
            grads = [w.grad for w in model.parameters() if w.grad is not None]
            assert all(value.isfinite().all() for value in (bound, *grads)), size


@EACH
def test_weights_estimate_the_evidence_of_the_models_own_prior(name):
    """Against quadrature, which needs no encoder and no weights."""
    model, x = odd(name).float().requires_grad_(False), torch.rand(3, 6).round()
    model.encoder[-1].bias[2:] += 0.8  # else a few weights would be all
    if name == "mixture":  # within q's reach
        model.prior.mu.mul_(0.3)
        model.prior.logvar.sub_(1.0)
    elif name == "vamp":
        model.encoder[-1].weight.mul_(0.4)
    exact = log_likelihood_by_quadrature(model, x, limit=9.0, n_nodes=361)
    found = log_likelihood(model, x, n_samples=20_000).double()
    assert_close(found, exact, rtol=0, atol=0.02)


def test_learned_priors_learn_where_the_codes_are():
    """Images of two kinds: a better bound than with N(0, I), from the same start."""
    kinds = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])
    images, calm = kinds[torch.arange(200) % 2], {"device": "cpu", "progress": False}
    last = {}
    for name, config in CONFIGS.items():
        set_seed(0)
        model = VAE.from_data(config, images)
        history = train(model, images, epochs=60, lr=0.02, **calm)
        last[name] = history.rows[-1]["elbo"]
    plain = last.pop("standard")
    assert min(last.values()) > plain + 0.05, (last, plain)


def test_weights_that_were_not_asked_for_are_not_there(refuses):
    output = odd("mixture")(torch.rand(3, 6).double())
    assert output.log_w is None
    with refuses(ValueError, "log_w"):
        importance_weighted_bound(output.log_w)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"prior": "own"}, "prior among 'standard', 'mixture', 'vamp', 'flow', got"),
        (
            {"n_components": 3},
            "prior 'mixture' or 'vamp' for n_components, got 'standard'",
        ),
        ({"prior": "mixture", "n_components": 0}, "n_components >= 1, got 0"),
        ({"n_couplings": 3}, "prior 'flow' for n_couplings, got 'standard'"),
        ({"prior": "flow", "n_couplings": 101}, "n_couplings < 101, got 101"),
    ],
    ids=str,
)
def test_what_is_no_prior_is_refused(changes, said, refuses):
    with refuses(ValueError, said):
        VAEConfig(**changes)


def test_one_dimension_has_no_flow_as_prior(refuses):
    with refuses(ValueError, "at least 2 dimensions for a coupling layer, got 1"):
        VAE(VAEConfig(1, prior="flow"))
