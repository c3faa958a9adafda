"""A VAE of several layers: exact where all is linear, a VAE if there is one layer."""

import math
import os
import signal
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.nn.utils import parameters_to_vector
from torch.testing import assert_close

from vae_lib.checkpoints import load, save
from vae_lib.evaluation import (
    active_units,
    evaluate_elbo,
    log_likelihood,
    log_likelihood_by_quadrature,
)
from vae_lib.exchange import export_model
from vae_lib.export import export_network
from vae_lib.hierarchical import HierarchicalVAE, kl_by_layer
from vae_lib.layered_configs import ORDERS, HierarchicalConfig
from vae_lib.models import LOGVAR_BOUND, VAE, VAEConfig
from vae_lib.objectives import kl_beyond
from vae_lib.recipes import Recipe
from vae_lib.runs import train_run
from vae_lib.steps import bound_and_sums
from vae_lib.training import set_seed, train

pytestmark = pytest.mark.usefixtures("double_precision")
EACH_ORDER = pytest.mark.parametrize("order", ORDERS)
EXACT = pytest.mark.parametrize(
    "order, n_layers", [("bottom-up", 2), ("bottom-up", 3), ("ladder", 2)]
)
W = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)  # from z1 to x
MIDDLE = torch.tensor([0.3, 0.1, -1.0], dtype=torch.float64)
NOISE = 0.7  # x = W z1 + MIDDLE + NOISE u
STEPS = ((1.3, 0.4, 0.6), (-0.8, 0.2, 0.9))  # a, b, s: z1 = a z2 + b + s u, and so on
QUIET = {"device": "cpu", "progress": False}


def small(order: str, **changes) -> HierarchicalVAE:
    config = {"latent_dims": (3, 2), "hidden_dims": (6, 5), "n_pixels": 8}
    return HierarchicalVAE(HierarchicalConfig(encoder=order, **config | changes))


def images(n: int = 12, n_pixels: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, n_pixels, generator=generator).round()


def before_the_bound(variance: float) -> float:
    return LOGVAR_BOUND * math.atanh(math.log(variance) / LOGVAR_BOUND)


def moments(n_layers: int) -> list[tuple[float, float]]:
    """Mean and variance of z1 and each code above it under p."""
    found = [(0.0, 1.0)]
    for a, b, s in reversed(STEPS[: n_layers - 1]):
        mean, variance = found[0]
        found.insert(0, (a * mean + b, a**2 * variance + s**2))
    return found


def say(layer: torch.nn.Linear, slope, mean: float, variance: float) -> None:
    """Make a linear layer of one code yield this Gaussian."""
    layer.weight[0], layer.bias[0] = torch.as_tensor(slope), mean
    layer.bias[1] = before_the_bound(variance)


def linear(order: str, n_layers: int = 2) -> HierarchicalVAE:
    """A linear hierarchy of one dimension a layer, and its exact posterior for q."""
    ones = (1,) * n_layers
    pixels = {"n_pixels": 3, "likelihood": "gaussian", "noise_std": NOISE}
    model = HierarchicalVAE(HierarchicalConfig(ones, ones, 0, encoder=order, **pixels))
    model.requires_grad_(False)
    for weights in model.parameters():
        weights.zero_()
    model.down[0][0].weight[:, 0], model.down[0][0].bias[:] = W, MIDDLE
    for (a, b, s), network in zip(STEPS, model.down[1:], strict=False):
        say(network[0], a, b, s**2)
    says = (W @ W).item() / NOISE**2  # the precision of what x says of z1
    pull = W / NOISE**2
    mean, variance = moments(n_layers)[0]
    if order == "bottom-up":
        var = 1 / (1 / variance + says)
        say(model.guess[0], var * pull, var * (mean / variance - pull @ MIDDLE), var)
        for n, (a, b, s) in enumerate(STEPS[: n_layers - 1], start=1):
            mean, variance = moments(n_layers)[n]
            var = 1 / (1 / variance + a**2 / s**2)
            slope = var * a / s**2
            say(model.guess[n], slope, var * mean / variance - slope * b, var)
    else:
        say(model.guess[0], pull / says, -(pull @ MIDDLE) / says, 1 / says)
        (a, b, s), _ = STEPS
        covariance = s**2 * torch.outer(W, W) + NOISE**2 * torch.eye(3)
        seen = torch.linalg.solve(covariance, a * W)
        var = 1 / (1 + a * W @ seen).item()
        say(model.guess[1], var * seen, -var * seen @ (MIDDLE + b * W), var)
    return model


def exact_p_x(n_layers: int = 2) -> MultivariateNormal:
    mean, variance = moments(n_layers)[0]
    covariance = variance * torch.outer(W, W) + NOISE**2 * torch.eye(3)
    return MultivariateNormal(MIDDLE + mean * W, covariance)


@EXACT
def test_where_q_is_the_posterior_each_draw_has_the_evidence(order, n_layers):
    x, eps = 2 * torch.randn(6, 3), torch.randn(9, 6, n_layers)
    output = linear(order, n_layers)(x, eps=eps, weights=True)
    expected = exact_p_x(n_layers).log_prob(x).expand(9, 6)
    assert_close(output.log_w, expected, rtol=0, atol=1e-10)


@EXACT
def test_estimates_of_log_p_rise_to_the_evidence_from_below(order, n_layers):
    model = linear(order, n_layers)
    model.guess[0].bias[0] += 0.3
    model.guess[1].bias[1] += 0.4
    exact = exact_p_x(n_layers)
    x = exact.sample((300,))
    truth = exact.log_prob(x)
    found = [log_likelihood(model, x, n_samples=k) for k in (1, 10, 1000)]
    means = [estimate.mean() for estimate in found]
    assert means[0] < means[1] - 0.05 < means[2] < truth.mean() + 0.01
    assert_close(found[2], truth, atol=0.5, rtol=0)
    assert_close(means[2], truth.mean(), atol=0.01, rtol=0)
    assert evaluate_elbo(model, x).elbo < truth.mean() - 0.1


@pytest.mark.parametrize("n_layers", [2, 3])
def test_draws_have_the_moments_of_the_linear_hierarchy(n_layers):
    model, n = linear("bottom-up", n_layers), 100_000
    mean, variance = moments(n_layers)[0]
    drawn = model.draw_below(n_layers, torch.randn(n, 1))
    error = 4 / math.sqrt(n)
    assert abs(drawn.mean() - mean) < error * variance**0.5
    assert abs(drawn.var() / variance - 1) < error * 2**0.5
    a, b, s = STEPS[0]
    held = model.draw_below(2, torch.full((n, 1), 0.5))
    assert abs(held.mean() - (a * 0.5 + b)) < error * s
    assert abs(held.std() / s - 1) < error
    assert torch.equal(model.draw_below(1, drawn), drawn)


@EACH_ORDER
def test_new_images_are_drawn_from_the_top_down(order):
    model = small(order, latent_dims=(4, 3, 2), hidden_dims=(6, 5, 4))
    one, other = (torch.Generator().manual_seed(0) for _ in "ab")
    z = model.draw_below(3, torch.randn(7, 2, generator=one), one)
    drawn = model.sample(7, generator=other)
    assert drawn.equal(model.mean_image(z)) and not drawn.requires_grad
    assert drawn.shape == (7, 8) and 0 < drawn.min() and drawn.max() < 1


@EACH_ORDER
def test_one_layer_is_a_vae(order):
    model = small(order, latent_dims=(3,), hidden_dims=(6,), n_hidden=1)
    vae = VAE(VAEConfig(3, (6,), n_pixels=8))
    if order == "ladder":
        del model.up[0][-1]  # the VAE has no layer that normalises
    layers = [model.up[0][0], model.guess[0], model.down[0][0], model.down[0][2]]
    same = [vae.encoder[0], vae.encoder[2], vae.decoder[0], vae.decoder[2]]
    for layer, other in zip(layers, same, strict=True):
        other.load_state_dict(layer.state_dict())
    x = images()
    for eps in (torch.randn(12, 3), torch.randn(4, 12, 3)):
        found, expected = (m(x, eps=eps, weights=True) for m in (model, vae))
        for name in expected._fields:
            assert_close(getattr(found, name), getattr(expected, name))
    assert model.q_is_gaussian and active_units(model, x) == active_units(vae, x)
    assert not small(order).q_is_gaussian


@EACH_ORDER
def test_terms_and_weights_estimate_the_same_bound(order):
    model = small(order).requires_grad_(False)
    x, eps = images(2), torch.randn(40_000, 2, 5)
    output = model(x, eps=eps, weights=True)
    terms = output.log_p_x_given_z.mean(0) - output.kl
    spread = (output.log_w - output.log_p_x_given_z).std(0)
    assert ((output.log_w.mean(0) - terms).abs() < 4 * spread / 200).all()


@EACH_ORDER
def test_divergences_of_the_layers_add_up_to_that_of_the_bound(order):
    model, x = small(order), images(1500)
    by_layer = kl_by_layer(model, x)
    assert by_layer.shape == (2,) and by_layer.dtype == torch.float64
    assert by_layer.sum().item() == pytest.approx(evaluate_elbo(model, x).kl)
    output = model(
        x, eps=torch.randn(1500, 5, generator=torch.Generator().manual_seed(0))
    )
    assert by_layer[0].item() == pytest.approx(output.kl_below.mean().item())
    other = kl_by_layer(model, x, generator=torch.Generator().manual_seed(1))
    assert not torch.equal(other, by_layer)


@EACH_ORDER
def test_shapes_are_those_of_a_vae(order):
    model, x = small(order), images()
    one, some = model(x, weights=True), model(x, n_samples=4, weights=True)
    for output, K in ((one, ()), (some, (4,))):
        assert output.z.shape == (*K, 12, 3) and output.x_params.shape == (*K, 12, 8)
        assert output.log_p_x_given_z.shape == output.log_w.shape == (*K, 12)
        assert output.kl.shape == output.kl_below.shape == (12,)
    assert model(x).log_w is None
    assert some.mu.shape == ((4, 12, 2) if order == "bottom-up" else (12, 2))
    generator = torch.Generator()
    a, b = (model(x, generator=generator.manual_seed(3)) for _ in "ab")
    assert torch.equal(a.z, b.z) and not torch.equal(a.z, one.z)


@EACH_ORDER
@pytest.mark.parametrize("n_samples", [None, 3])
def test_free_bits_are_counted_in_the_top_layer_alone(order, n_samples):
    model, x = small(order), images()
    output = model(x, n_samples=n_samples)
    bound, sums = bound_and_sums(output, 1.0, "elbo", 0.5)
    code = [each.reshape(-1, 2) for each in (output.mu, output.logvar)]
    free, top = (kl_beyond(*code, nats).view(-1, 12).mean(0) for nats in (0.5, 0.0))
    expected = output.log_p_x_given_z.view(-1, 12).mean(0) - (output.kl - top + free)
    assert_close(bound, expected.sum())
    assert_close(sums[1], output.kl.sum())
    assert free.mean() > top.mean() + 0.1
    bound.backward()
    assert model.guess[0].weight.grad.any()


def test_free_bits_of_a_vae_are_what_they_were_to_the_bit():
    """The gradient as well: nothing but the KL of each dimension stands in it."""
    vae, x = VAE(VAEConfig(3, (6,), n_pixels=8)).float(), images(200).float()
    found = []
    for plainly in (False, True):
        output = vae(
            x,
            eps=torch.randn(200, 3, generator=torch.Generator().manual_seed(1)).float(),
        )
        bound = bound_and_sums(output, 1.0, "elbo", 0.1)[0]
        if plainly:
            kl = kl_beyond(output.mu, output.logvar, 0.1)
            bound = (output.log_p_x_given_z - 1.0 * kl).sum()
        gradients = torch.autograd.grad(bound, list(vae.parameters()))
        found.append([bound, *gradients])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@EACH_ORDER
def test_each_weight_learns(order):
    for changes in ({}, {"objective": "iwae"}):
        model = small(order)
        output = model(images(), n_samples=3, weights=bool(changes))
        bound_and_sums(output, 1.0, changes.get("objective", "elbo"))[0].backward()
        assert all(w.grad.abs().sum() > 0 for w in model.parameters())


@EACH_ORDER
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_terms_are_finite_for_whatever_the_networks_say(order, size):
    model, x = small(order).float(), images().float()
    last = [*model.guess, *(network[-1] for network in model.down[1:])]
    for number, layer in enumerate(last):
        J = len(layer.bias) // 2
        signs = torch.tensor([(-1.0) ** (number // 2), (-1.0) ** number])
        layer.bias.data = (size * signs).repeat_interleave(J).float()
    output = model(x, n_samples=2, weights=True)
    for terms in (output.log_w, output.log_p_x_given_z.mean(0) - output.kl):
        model.zero_grad()
        terms.mean().backward(retain_graph=True)
        for value in (terms, *(w.grad for w in model.parameters())):
            assert value is None or value.isfinite().all()


@EACH_ORDER
def test_shorter_numbers_under_autocast_change_little(order):
    model, x = small(order).float(), images().float()
    eps = torch.randn(3, 12, 5).float()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(x, eps=eps, weights=True)
    exact = model(x, eps=eps, weights=True)
    assert_close(rounded.log_w.double(), exact.log_w.double(), atol=0.2, rtol=0)
    assert_close(rounded.kl.double(), exact.kl.double(), atol=0.2, rtol=0)


@EACH_ORDER
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_samples": 2, "free_bits": 0.05},
        {"objective": "iwae", "n_samples": 3},
        {"beta": 0.5, "clip_norm": 1.0, "binarization": "sample"},
    ],
    ids=str,
)
def test_three_layers_are_trained_by_every_objective(order, changes):
    kinds = torch.tensor([[0.9] * 4 + [0.1] * 4, [0.1] * 4 + [0.9] * 4])
    x = kinds[torch.arange(100) % 2]
    config = HierarchicalConfig((4, 3, 2), (6, 5, 4), n_pixels=8, encoder=order)
    set_seed(0)
    model = HierarchicalVAE.from_data(config, x)
    before = evaluate_elbo(model, x).elbo
    options = QUIET | {"epochs": 30, "batch_size": 50, "lr": 0.02, "validation": x}
    found = train(model, x, **options, **changes).rows[-1]["valid_elbo"]
    assert evaluate_elbo(model, x).elbo == found > before + 0.3


@EACH_ORDER
def test_a_new_model_of_data_starts_at_the_mean_image(order):
    x = images(100) * torch.linspace(0, 1, 8)
    config = HierarchicalConfig((3, 2), (6, 5), n_pixels=8, encoder=order)
    set_seed(0)
    plain = HierarchicalVAE(config)
    set_seed(0)
    model = HierarchicalVAE.from_data(config, x)
    assert_close(model.input_mean, x.mean(0))
    start = torch.logit((x.mean(0) * 100 + 1) / 102)
    assert_close(model.down[0][-1].bias.data, start)
    assert evaluate_elbo(model, x).elbo > evaluate_elbo(plain, x).elbo
    z = torch.randn(5, 3)
    assert_close(model.decode(z) - start, plain.decode(z) - plain.down[0][-1].bias)


@EACH_ORDER
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_a_file_brings_the_same_model_back(order, likelihood, tmp_path):
    noise = {"noise_std": 0.5, "learn_noise": True} if likelihood == "gaussian" else {}
    model, x = small(order, likelihood=likelihood, **noise).float(), images().float()
    save(tmp_path / "model", model)
    again = load(tmp_path / "model")
    assert type(again) is HierarchicalVAE and again.config == model.config
    assert evaluate_elbo(again, x) == evaluate_elbo(model, x)
    assert log_likelihood(again, x, n_samples=3).equal(
        log_likelihood(model, x, n_samples=3)
    )


@EACH_ORDER
def test_a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not(
    order, tmp_path, monkeypatch
):
    x, draw, calls = images(50).float(), HierarchicalVAE.layers, []
    torch.set_default_dtype(torch.float32)
    config = HierarchicalConfig((3, 2), (6, 5), n_pixels=8, encoder=order)
    given = x, config, Recipe(epochs=3, batch_size=16, lr=1e-2, schedule="cosine")
    whole = train_run(tmp_path / "whole", *given, **QUIET)

    def pressed(self, x, eps):
        calls.append(x)
        if len(calls) == 6:  # of four in each epoch
            os.kill(os.getpid(), signal.SIGINT)
        return draw(self, x, eps)

    monkeypatch.setattr(HierarchicalVAE, "layers", pressed)
    with pytest.raises(KeyboardInterrupt):
        train_run(tmp_path / "parts", *given, **QUIET)
    again = train_run(tmp_path / "parts", *given, resume=True, **QUIET)
    assert len(calls) == 12
    assert torch.equal(
        *map(parameters_to_vector, (m.parameters() for m in (whole, again)))
    )


REFUSED = {
    "a file of one network": (
        lambda model, x, path: export_network(model, path),
        "expected a VAE of images, which a page can read, got HierarchicalVAE",
    ),
    "a file of both": (
        lambda model, x, path: export_model(model, path),
        "expected a VAE and no other class, got ",
    ),
    "active units": (
        lambda model, x, path: active_units(model, x),
        "expected the posterior 'gaussian' for active units",
    ),
    "quadrature": (
        lambda model, x, path: log_likelihood_by_quadrature(model, x),
        "expected a VAE with 2 latent dimensions and Bernoulli pixels, got",
    ),
    "the gradient along the path": (
        lambda model, x, path: train(model, x, epochs=1, gradient="path", **QUIET),
        "for the gradient 'path', got 'HierarchicalVAE'",
    ),
    "a step by hand": (
        lambda model, x, path: train(model, x, epochs=1, step="by hand", **QUIET),
        "a VAE of linear layers with the prior 'standard' for step='by hand', got",
    ),
    "labels": (
        lambda model, x, path: train(model, x, labels=torch.zeros(12), epochs=1),
        "no labels, for HierarchicalVAE is told none",
    ),
    "a configuration of a VAE": (
        lambda model, x, path: HierarchicalVAE(VAEConfig()),
        "expected config to be a HierarchicalConfig, got VAEConfig",
    ),
    "a file's other class": (
        lambda model, x, path: load(path, cls=VAE),
        "expected a model of class VAE, got 'HierarchicalVAE'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_asks_for_another_model_refuses_in_one_line(case, tmp_path, refuses):
    call, said = REFUSED[case]
    model, path = small("ladder", latent_dims=(1, 1)), tmp_path / "file"
    kind = ValueError
    if case == "a file's other class":
        kind = OSError
        save(path, model)
    with refuses(kind, said):
        call(model, images(), path)
    assert path.exists() == (kind is OSError)


@pytest.mark.parametrize("n_samples", [None, 1])
def test_one_layer_takes_the_gradient_along_the_path(n_samples):
    x, model = images(40), small("bottom-up", latent_dims=(2,), hidden_dims=(6,))
    options = {"gradient": "path", "n_samples": n_samples or 1, "epochs": 2}
    assert len(train(model, x, **options, **QUIET).rows) == 2


def test_as_many_layers_as_there_may_be_are_one_model():
    """A hundred, and no more hidden ones, so that no file asks for an hour of them."""
    config = HierarchicalConfig((1,) * 100, (2,) * 100, 1, n_pixels=3)
    output = HierarchicalVAE(config)(images(2, 3), weights=True)
    assert output.log_w.isfinite().all() and config.latent_dim == 100


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"latent_dims": ()}, "a width >= 1 for each layer's latents >= 1, got"),
        ({"latent_dims": (3,)}, "a width >= 1 for each layer's latents >= 1, got"),
        ({"latent_dims": (3, 0)}, "got ((3, 0), (6, 5))"),
        ({"hidden_dims": (4, -1)}, "got ((3, 2), (4, -1))"),
        ({"latent_dims": (1,) * 101, "hidden_dims": (1,) * 101}, "at most 100 layers"),
        ({"n_hidden": 51}, "at most 100 layers, got 102"),
        ({"noise_std": 2.0}, "likelihood 'gaussian' for noise_std"),
        ({"shape": (1, 2, 3)}, "shape (C, H, W) of 784 pixels"),
    ],
    ids=str,
)
def test_shapes_that_are_none_are_refused(changes, said, refuses):
    sound = HierarchicalConfig((3, 2), (6, 5))
    with refuses(ValueError, "expected ", said):
        replace(sound, **changes)
