"""q(z|x) of every kind: its density, its draws, and the bounds that it gives.

In the plane everything is exact. A fine grid of first draws z0 is mapped to codes; the
cells that become of its squares are measured by their corners, with no Jacobian.
"""

import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.func import jacrev
from torch.testing import assert_close

from vae_lib import compiled
from vae_lib.checkpoints import CheckpointError, load, save
from vae_lib.configs import VAEConfig
from vae_lib.containers import pack
from vae_lib.distributions import gaussian_kl, gaussian_log_prob
from vae_lib.estimators import AlongThePath
from vae_lib.evaluation import (
    active_units,
    evaluate_elbo,
    log_likelihood,
    log_likelihood_by_quadrature,
)
from vae_lib.exchange import export_model
from vae_lib.export import export_network
from vae_lib.models import VAE
from vae_lib.objectives import elbo
from vae_lib.posteriors import POSTERIORS
from vae_lib.priors import PRIORS
from vae_lib.recipes import Recipe
from vae_lib.runs import train_run
from vae_lib.training import set_seed, train

SMALL = VAEConfig(2, (8,), "tanh", n_pixels=6)
FLOWS = {"planar": {"n_flows": 3, "flow_dim": 8}, "iaf": {"flow_dim": 8}}
NAMES = {"gaussian": {}} | FLOWS
LEARNED = {
    "mixture": {"n_components": 3},
    "vamp": {"n_components": 3},
    "flow": {"n_couplings": 2, "flow_dim": 8},
}
EACH = pytest.mark.parametrize("name", NAMES)
EACH_FLOW = pytest.mark.parametrize("name", FLOWS)
EACH_PRIOR = pytest.mark.parametrize("prior", ["standard", *LEARNED])
QUIET = {"device": "cpu", "progress": False}


def odd(posterior: str, prior: str = "standard") -> VAE:
    """A model in float64 whose q and p(z) are far from what they start as."""
    set_seed(2)
    named = {"posterior": posterior, "prior": prior}
    options = NAMES[posterior] | LEARNED.get(prior, {})
    model = VAE(replace(SMALL, **named, **options)).double().requires_grad_(False)
    for part in (model.posterior, model.prior):
        for parameter in part.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    model.encoder[-1].weight.mul_(2)
    model.decoder[-1].weight.mul_(3)
    model.encoder[-1].bias[2:] += 0.8  # wider than the posterior: weights are bounded
    return model


def images(n: int = 3) -> Tensor:
    return torch.rand(n, 6, generator=torch.Generator().manual_seed(0)).round().double()


def mapped(model: VAE, x: Tensor, n: int = 301, limit: float = 7.0):
    """Codes (n, n, 2) of a grid of z0 for one image (1, D), log q there, and areas."""
    mu, logvar = model.encode(x)
    nodes = torch.linspace(-limit, limit, n, dtype=torch.float64)
    eps = torch.cartesian_prod(nodes, nodes)
    z0 = mu + (logvar / 2).exp() * eps
    z, log_det = model.posterior(z0[:, None], mu, logvar)
    log_q = gaussian_log_prob(z0[:, None], mu, logvar) - log_det
    half = (nodes[1] - nodes[0]) / 2
    corners = []
    for a, b in ((-half, -half), (half, -half), (half, half), (-half, half)):
        corner = z0 + (logvar / 2).exp() * torch.tensor([a, b])
        corners.append(model.posterior(corner[:, None], mu, logvar)[0][:, 0])
    (p, q, r, s) = corners
    one, other = r - p, s - q  # the diagonals of each cell
    area = (one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]) / 2
    return z[:, 0], log_q[:, 0], area


def test_every_posterior_is_tried_here():
    assert NAMES.keys() == POSTERIORS.keys() and ["standard", *LEARNED] == [*PRIORS]


@EACH
def test_densities_add_up_to_one_and_are_those_of_the_draws(name):
    """Two laws for two slips: a wrong constant, and draws of another distribution."""
    model, x = odd(name), images(1)
    z, log_q, area = mapped(model, x)
    mass = log_q.exp() * area
    assert_close(mass.sum().item(), 1.0, rtol=2e-4, atol=0)
    entropy = -(mass * log_q).sum()
    output = model(x, n_samples=40_000, weights=True)
    log_p_z = model.prior.log_prob(output.z)
    surprise = log_p_z + output.log_p_x_given_z - output.log_w  # log q at the draws
    error = surprise.std() / math.sqrt(len(surprise))
    assert abs(-surprise.mean() - entropy) < 4 * error
    for law in (lambda z: z, lambda z: z.square()):
        drawn, exact = law(output.z[:, 0]), mass @ law(z)
        error = drawn.std(0) / math.sqrt(len(drawn))
        assert ((drawn.mean(0) - exact).abs() < 4 * error + 1e-3).all()


@EACH_PRIOR
@EACH
def test_bounds_and_weights_belong_to_the_exact_evidence(prior, name):
    """The ELBO is the integral over q; below log p(x), to which the weights lead."""
    model, x = odd(name, prior), images(1)
    exact = log_likelihood_by_quadrature(model, x, limit=12.0, n_nodes=241)
    z, log_q, area = mapped(model, x, n=201)
    log_p = model.log_p_x_given_z(x, model.decode(z)[:, None])[:, 0]
    terms = log_p + model.prior.log_prob(z) - log_q
    expected = (log_q.exp() * area * terms).sum()
    output = model(x, n_samples=20_000, weights=True)
    error = output.log_w.std() / math.sqrt(20_000)
    bound = elbo(output.log_p_x_given_z, output.kl)
    closed = prior == "standard" and name == "gaussian"  # else the same draws
    atol = 6 * error if closed else 1e-9
    assert_close(bound.item(), output.log_w.mean().item(), rtol=0, atol=atol)
    assert abs(output.log_w.mean() - expected) < 4 * error + 1e-3
    assert expected < exact - 1e-3
    shares = output.log_w[:, 0].softmax(0)
    error = shares.square().sum().sqrt()  # of the logarithm of the weights' mean
    assert error < 0.03
    found = log_likelihood(model, x, n_samples=20_000)
    assert abs(found - exact) < 4 * error


def test_the_integral_over_a_learned_prior_is_over_all_of_it():
    """The square of the test above holds every prior's mass."""
    nodes = torch.linspace(-12, 12, 481, dtype=torch.float64)
    plane = torch.cartesian_prod(nodes, nodes)
    for prior in LEARNED:
        mass = odd("gaussian", prior).prior.log_prob(plane).exp().sum() * 0.05**2
        assert_close(mass.item(), 1.0, rtol=1e-4, atol=0)


def test_without_a_flow_q_is_the_encoders(double_precision):
    model, x = odd("gaussian"), images()
    output = model(x, n_samples=4, weights=True)
    log_det = model.posterior(output.z, output.mu, output.logvar)[1]
    assert not log_det.any() and log_det.shape == (4, 3)
    assert output.kl.equal(gaussian_kl(output.mu, output.logvar))
    log_q = gaussian_log_prob(output.z, output.mu, output.logvar)
    log_p = output.log_p_x_given_z + model.prior.log_prob(output.z)
    assert output.log_w.equal(log_p - log_q)


@EACH_FLOW
def test_a_flow_begins_as_the_gaussian_before_it(name):
    set_seed(0)
    model, x = VAE(replace(SMALL, posterior=name, **NAMES[name])).double(), images()
    plain = VAE(SMALL).double()
    plain.load_state_dict(model.state_dict(), strict=False)
    eps = torch.randn(5, 3, 2).double()
    found, expected = (m(x, eps=eps, weights=True) for m in (model, plain))
    assert_close(found.z, expected.z) and assert_close(found.log_w, expected.log_w)
    model.zero_grad()
    elbo(found.log_p_x_given_z, found.kl).mean().backward()
    assert all(layer.grad is not None for layer in model.parameters())


@EACH_FLOW
def test_layers_hear_of_mean_and_spread_and_mix_the_dimensions(name):
    model, x = odd(name), images(1)
    q = model.encode(x)
    z0 = torch.randn(1, 2).double()
    parts = jacrev(lambda *at: model.posterior(*at)[0], argnums=(0, 1, 2))(z0, *q)
    assert all(part.shape == (1, 2, 1, 2) and part.all() for part in parts)


def test_a_flow_learns_what_the_gaussian_cannot():
    """Before a fixed decoder, whose evidence is known, each closes some of the gap."""
    x, model, gaps = images(8).float(), odd("gaussian").float(), {}
    model.decoder[-1].weight.mul_(3)
    exact = log_likelihood_by_quadrature(model, x).mean()
    for name, options in NAMES.items():
        set_seed(0)
        one = VAE(replace(SMALL, posterior=name, **options))
        one.load_state_dict(model.state_dict(), strict=False)
        one.decoder.requires_grad_(False)
        train(one, x, epochs=200, lr=0.03, n_samples=4, schedule="cosine", **QUIET)
        gaps[name] = exact.item() - evaluate_elbo(one, x.repeat(2000, 1)).elbo
    for name in FLOWS:
        assert 0 < gaps[name] < 0.85 * gaps["gaussian"], gaps


@pytest.mark.parametrize(
    "prior, name", [("mixture", "iaf"), ("flow", "iaf"), ("vamp", "planar")]
)
def test_a_run_goes_on_with_the_same_bits(prior, name, tmp_path):
    options = LEARNED[prior] | NAMES[name]
    config = replace(SMALL, prior=prior, posterior=name, **options)
    x, calm = torch.rand(20, 6), QUIET | {"resume": True}
    recipe = Recipe(4, 8, objective="iwae", n_samples=2, binarization="sample")
    whole = train_run(tmp_path / "a", x, config, recipe, **calm)
    train_run(tmp_path / "b", x, config, replace(recipe, epochs=2), **calm)
    parts = train_run(tmp_path / "b", x, config, recipe, **calm)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(one, other)
    found = load(tmp_path / "b" / "model.safetensors")
    assert found.config == config and found.sample(3).shape == (3, 6)
    assert evaluate_elbo(found, x) == evaluate_elbo(whole, x)


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_a_compiled_step_knows_flows_and_pseudo_inputs(objective, monkeypatch):
    """The function that is compiled, run as it is written, against the book's step."""
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    monkeypatch.setattr(compiled.shutil, "which", lambda name: name)
    models = []
    for step in ("autograd", "compiled"):
        model = odd("iaf", "vamp").requires_grad_(True)
        recipe = Recipe(3, 3, 0.01, objective=objective, n_samples=2)
        set_seed(0)
        train(model, images(7), recipe, step=step, **QUIET)
        models.append(model.state_dict())
    assert_close(*models, rtol=1e-9, atol=1e-9)


REFUSED = {
    "the gradient along the path": (
        lambda model, path: train(model, images(), Recipe(1, gradient="path"), **QUIET),
        "expected the posterior 'gaussian' for the gradient 'path', got",
    ),
    "the same without train": (
        lambda model, path: AlongThePath(model),
        "expected a Gaussian q(z|x) for the gradient along the path, got 'a flow'",
    ),
    "free bits": (
        lambda model, path: train(model, images(), Recipe(1, free_bits=0.1), **QUIET),
        "expected the posterior 'gaussian' for free bits, got",
    ),
    "the gradient by its formulas": (
        lambda model, path: train(model, images(), epochs=1, step="by hand", **QUIET),
        "expected the posterior 'gaussian' for step='by hand', got",
    ),
    "active units": (
        lambda model, path: active_units(model, images()),
        "expected the posterior 'gaussian' for active units, which are counted at its",
    ),
    "a model for pages": (
        lambda model, path: export_model(model, path),
        "expected a VAE with the posterior 'gaussian', got",
    ),
    "an encoder for pages": (
        lambda model, path: export_network(model, path, part="encoder"),
        "expected the posterior 'gaussian' of an encoder, got",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
@EACH_FLOW
def test_what_needs_a_gaussian_is_refused_before_anything_is_done(
    name, what, tmp_path, refuses
):
    model, path = odd(name).requires_grad_(True), tmp_path / "new" / "file.json"
    before, (call, said) = deepcopy(model.state_dict()), REFUSED[what]
    with refuses(ValueError, said):
        call(model, path)
    assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert not path.parent.exists()


@EACH_FLOW
def test_a_decoder_behind_a_flow_is_a_decoder(name, tmp_path):
    export_network(odd(name), tmp_path / "decoder.json")
    assert (tmp_path / "decoder.json").exists()


@EACH_FLOW
def test_a_file_with_other_shapes_than_its_flow_is_refused(name, tmp_path, refuses):
    path, model = tmp_path / "model", odd(name)
    sha256 = save(path, model)
    assert load(path).record["sha256"] == sha256
    assert_close(load(path).state_dict(), model.state_dict(), rtol=0, atol=0)
    text = '{"latent_dim": 2, "hidden_dims": [8], "activation": "tanh", "n_pixels": 6'
    options = {"n_flows": 1, "flow_dim": 8}
    for key, value in (("flow_dim", 9), ("n_flows", 4)):
        other = options | {key: value}
        told = "".join(f', "{key}": {value}' for key, value in other.items())
        config = f'{text}, "posterior": "{name}"{told}}}'
        path.write_bytes(pack(config, "{}", model.state_dict())[0])
        with refuses(CheckpointError, "posterior.layers"):
            load(path)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"posterior": "maf"}, "posterior among 'gaussian', 'planar', 'iaf', got"),
        ({"n_flows": 3}, "posterior 'planar' or 'iaf' for n_flows, got 'gaussian'"),
        (
            {"flow_dim": 9},
            "prior 'flow' or posterior 'planar' or 'iaf' for flow_dim, got",
        ),
        ({"posterior": "iaf", "n_flows": 0}, "n_flows >= 1, got 0"),
        ({"posterior": "iaf", "n_flows": 10**6}, "n_flows < 101, got 1000000"),
    ],
    ids=str,
)
def test_what_is_no_posterior_is_refused(changes, said, refuses):
    with refuses(ValueError, said):
        VAEConfig(**changes)


def test_the_width_of_layers_is_the_priors_or_the_posteriors():
    for changes in ({"prior": "flow"}, {"posterior": "iaf"}):
        assert VAEConfig(flow_dim=9, **changes).flow_dim == 9


@pytest.mark.parametrize("name", [*FLOWS])
def test_one_dimension_is_enough_for_a_flow(name):
    model = VAE(replace(SMALL, latent_dim=1, posterior=name)).double()
    assert log_likelihood(model, images(), n_samples=9).isfinite().all()


@EACH_FLOW
@EACH_PRIOR
def test_a_model_under_autocast_is_trained_and_judged(name, prior):
    model = odd(name, prior).float().requires_grad_(True)
    x = images(8).float()
    apart = log_likelihood(model, x, n_samples=9)
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(log_likelihood(model, x, n_samples=9), apart, rtol=0, atol=1.0)
        train(model, x, epochs=2, **QUIET)
        assert math.isfinite(evaluate_elbo(model, x).elbo)
        assert model.sample(3).isfinite().all()
