"""What q and p say of each code: held against torch's own Gaussians, and on a grid."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.testing import assert_close

from vae_lib.hierarchical import HierarchicalVAE
from vae_lib.layered_configs import ORDERS, HierarchicalConfig
from vae_lib.layers import ENCODERS, bounded, kl_between, log_ratio, merged

pytestmark = pytest.mark.usefixtures("double_precision")
EACH_ORDER = pytest.mark.parametrize("order", ORDERS)


def normal(mu: Tensor, logvar: Tensor) -> Normal:
    return Normal(mu, (logvar / 2).exp())


def of_layers(order: str, n_layers: int) -> HierarchicalVAE:
    """A small one whose codes differ in their dimensions."""
    shape = (4, 3, 2)[:n_layers], (6,) * n_layers
    config = HierarchicalConfig(*shape, n_pixels=5, encoder=order)
    return HierarchicalVAE(config).requires_grad_(False)


def test_there_is_an_encoder_for_every_order():
    assert tuple(ENCODERS) == ORDERS


def test_divergence_of_two_gaussians_is_that_of_torch():
    q, p = torch.randn(2, 5, 3), torch.randn(2, 4, 5, 3)
    expected = kl_divergence(normal(*q), normal(*p)).sum(-1)
    assert_close(kl_between(tuple(q), tuple(p)), expected)
    assert not kl_between(tuple(p), tuple(p)).any()


def test_divergence_of_nearly_equal_gaussians_is_never_negative():
    mu, logvar = torch.randn(2, 20_000, 3).float()
    nearly = (mu + 1e-7 * torch.randn_like(mu), logvar + 1e-7 * torch.randn_like(mu))
    assert (kl_between(nearly, (mu, logvar)) >= 0).all()


def test_a_merged_gaussian_is_the_product_of_two_on_a_grid():
    at = torch.linspace(-12, 12, 24_001)
    guess, p = torch.randn(2, 40, 1), torch.randn(2, 40, 1)
    mu, logvar = merged(tuple(guess), tuple(p))
    log_product = normal(*guess).log_prob(at) + normal(*p).log_prob(at)
    share = log_product.softmax(-1)  # (40, nodes)
    mean = (share * at).sum(-1, keepdim=True)
    assert_close(mu, mean)
    spread = (share * (at - mean).square()).sum(-1, keepdim=True)
    assert_close(logvar.exp(), spread)


def test_samples_of_p_merge_with_one_guess():
    guess, p = torch.randn(2, 5, 3), torch.randn(2, 4, 5, 3)
    found = merged(tuple(guess), tuple(p))
    for k in range(4):
        expected = merged(tuple(guess), tuple(p[:, k]))
        assert_close((found[0][k], found[1][k]), expected)


def test_a_wide_guess_moves_nothing_and_has_no_gradient():
    mean = torch.tensor([5.0], requires_grad=True)
    p = torch.tensor([0.3]), torch.tensor([0.2])
    mu, logvar = merged((mean, torch.tensor([12.0])), p)
    assert_close(mu, p[0], atol=1e-4, rtol=0)
    assert_close(logvar, p[1], atol=1e-4, rtol=0)
    assert torch.autograd.grad(mu.sum(), mean)[0].item() < 1e-5


def test_log_variances_are_bounded_and_means_are_not():
    mu, logvar = bounded(torch.tensor([[-1e9, 1e9, 0.1], [-1e9, 1e9, 0.1]]).flatten())
    assert mu.tolist() == [-1e9, 1e9, 0.1]
    assert_close(logvar, torch.tensor([-20, 20, 0.1]), atol=1e-5, rtol=0)


@EACH_ORDER
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_each_code_is_drawn_by_its_own_noise_from_what_is_said_of_it(order, n_layers):
    model = of_layers(order, n_layers)
    dims = model.config.latent_dims
    x, eps = torch.randn(7, 5), torch.randn(2, 7, sum(dims))
    layers = model.layers(x, eps)
    for layer, noise in zip(layers, eps.split(dims, -1), strict=True):
        mu, logvar = layer.q
        assert_close(layer.z, mu + (logvar / 2).exp() * noise)
        log_q = normal(*layer.q).log_prob(layer.z).sum(-1)
        assert_close(
            log_ratio(layer), log_q - normal(*layer.p).log_prob(layer.z).sum(-1)
        )
        assert layer.kl.shape == (2, 7)
    for n, (lower, upper) in enumerate(itertools.pairwise(layers), start=1):
        for found, expected in zip(
            lower.p, bounded(model.down[n](upper.z)), strict=True
        ):
            assert_close(found, expected)
    assert not any(part.any() for part in layers[-1].p)
    first = layers[0] if order == "bottom-up" else layers[-1]
    for found, expected in zip(first.q, model.encode(x), strict=True):
        assert_close(found, expected)


def test_bottom_up_a_code_is_read_from_the_one_below_it_alone():
    model, x, eps = of_layers("bottom-up", 3), torch.randn(7, 5), torch.randn(7, 9)
    below = x
    for layer, up, guess in zip(
        model.layers(x, eps), model.up, model.guess, strict=True
    ):
        assert_close(torch.cat(layer.q, -1), torch.cat(bounded(guess(up(below))), -1))
        below = layer.z


def test_in_a_ladder_what_is_read_is_merged_with_what_is_expected():
    """By sums of precisions, each written out."""
    model, x, eps = of_layers("ladder", 3), torch.randn(7, 5), torch.randn(7, 9)
    h, layers = x, model.layers(x, eps)
    for n, (up, guess) in enumerate(zip(model.up, model.guess, strict=True)):
        h = up(h)
        mu, logvar = bounded(guess(h))
        if n < 2:
            mu_p, logvar_p = bounded(model.down[n + 1](layers[n + 1].z))
            a, b = (-logvar).exp(), (-logvar_p).exp()
            mu, logvar = (a * mu + b * mu_p) / (a + b), -(a + b).log()
        assert_close(torch.cat(layers[n].q, -1), torch.cat((mu, logvar), -1))


def test_divergences_are_closed_in_a_ladder_and_at_the_top_alone_bottom_up():
    for order, closed in (("ladder", [0, 1, 2]), ("bottom-up", [2])):
        layers = of_layers(order, 3).layers(torch.randn(4, 5), torch.randn(6, 4, 9))
        for n, layer in enumerate(layers):
            exact = kl_divergence(normal(*layer.q), normal(*layer.p)).sum(-1)
            expected = exact.expand(6, 4) if n in closed else log_ratio(layer)
            assert_close(layer.kl, expected)
            assert n in closed or (layer.kl - exact).abs().max() > 0.1


def test_a_ladder_starts_with_open_gates_and_normalises_what_it_reads():
    ladder, other = of_layers("ladder", 2), of_layers("bottom-up", 2)
    assert [encoder.reads_codes for encoder in ENCODERS.values()] == [True, False]
    read = ladder.up[0](torch.randn(9, 5))
    assert_close(read.mean(1), torch.zeros(9), atol=1e-6, rtol=0)
    lower, upper = (
        guess.bias[J:] for guess, J in zip(ladder.guess, (4, 3), strict=True)
    )
    assert lower.max() < -2 and upper.abs().max() < 1
    assert all(guess.bias.abs().max() < 1 for guess in other.guess)


@EACH_ORDER
def test_without_hidden_layers_all_maps_are_linear(order):
    config = HierarchicalConfig((3, 2), (6, 6), 0, n_pixels=5, encoder=order)
    model = HierarchicalVAE(config)
    kinds = {type(m).__name__ for m in model.modules() if not list(m.children())}
    assert kinds <= {"Linear", "Sequential", "Bernoulli"}
    assert model.guess[1].in_features == (3 if order == "bottom-up" else 5)
