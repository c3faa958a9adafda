"""The layers of flows against their Jacobians, and what makes each one-to-one."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap
from torch.testing import assert_close

from vae_lib.flows import Coupling, InverseAutoregressive, Planar

pytestmark = pytest.mark.usefixtures("double_precision")
N_CONTEXT, WIDTH = 3, 16
LAYERS = {
    "coupling": lambda J: Coupling(J, WIDTH),
    "coupling, flipped": lambda J: Coupling(J, WIDTH, flip=True),
    "planar": lambda J: Planar(J, N_CONTEXT, WIDTH),
    "autoregressive": lambda J: InverseAutoregressive(J, N_CONTEXT, WIDTH),
    "in reverse": lambda J: InverseAutoregressive(J, N_CONTEXT, WIDTH, reverse=True),
}
TOLD = [name for name in LAYERS if "coupling" not in name]
EACH_LAYER = pytest.mark.parametrize("name", LAYERS)


def odd(layer: nn.Module) -> nn.Module:
    """The layer with other weights than those it starts with."""
    for parameter in layer.parameters():
        parameter.data.add_(torch.randn_like(parameter))
    return layer


def call(name: str, layer: nn.Module, z: Tensor, context: Tensor):
    return layer(z, context) if name in TOLD else layer(z)


@pytest.mark.parametrize(
    "name, J",
    [(name, J) for name in LAYERS for J in (1, 2, 5) if J > 1 or name in TOLD],
)
def test_log_determinants_are_those_of_the_jacobian(name, J):
    layer, z, context = odd(LAYERS[name](J)), torch.randn(40, J), torch.randn(40, 3)
    out, log_det = call(name, layer, z, context)
    assert out.shape == z.shape and log_det.shape == (40,)
    jacobian = vmap(jacrev(lambda *at: call(name, layer, *at)[0]))(z, context)
    sign, expected = torch.linalg.slogdet(jacobian)
    assert (sign > 0).all() and expected.abs().max() > 0.1
    assert_close(log_det, expected, rtol=1e-12, atol=1e-12)


@EACH_LAYER
def test_a_sample_axis_before_the_batch_changes_nothing(name):
    layer, z, context = odd(LAYERS[name](5)), torch.randn(4, 7, 5), torch.randn(7, 3)
    out, log_det = call(name, layer, z, context)
    for k in range(4):
        expected = call(name, layer, z[k], context)
        assert_close((out[k], log_det[k]), expected, rtol=1e-12, atol=1e-12)


@EACH_LAYER
def test_a_new_layer_is_the_identity_and_can_become_another(name):
    layer, z, context = LAYERS[name](5), torch.randn(7, 5), torch.randn(7, 3)
    out, log_det = call(name, layer, z, context)
    assert_close(out, z, rtol=0, atol=1e-14)
    assert_close(log_det, torch.zeros(7), rtol=0, atol=1e-14)
    (out.square().sum() - log_det.sum()).backward()
    last = [*layer.modules()][-1]
    assert last.bias.grad.any() and last.weight.grad.any()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("J", [2, 5])
def test_a_coupling_layer_moves_one_half_and_knows_the_way_back(flip, J):
    layer, z = odd(Coupling(J, WIDTH, flip=flip)), torch.randn(3, 50, J)
    out, log_det = layer(z)
    assert_close(layer.inverse(out), z, rtol=1e-10, atol=1e-10)
    moved = (out != z).any(0).any(0)
    assert moved.tolist() == [flip] * (J // 2) + [not flip] * (J - J // 2)
    assert (log_det.abs() <= 2 * moved.sum()).all()


@pytest.mark.parametrize("J", [1, 2, 5])
@pytest.mark.parametrize("reverse", [False, True])
def test_an_autoregressive_layer_is_undone_one_dimension_after_the_other(reverse, J):
    layer = odd(InverseAutoregressive(J, N_CONTEXT, WIDTH, reverse=reverse))
    z, context = torch.randn(50, J), torch.randn(50, 3)
    out, _ = layer(z, context)
    found = torch.zeros_like(z)
    for place in reversed(range(J)) if reverse else range(J):
        shift, _ = layer(found.index_fill(1, torch.tensor(place), 0.0), context)
        unit, _ = layer(found.index_fill(1, torch.tensor(place), 1.0), context)
        slope = (unit - shift)[:, place]
        found[:, place] = (out - shift)[:, place] / slope
    assert_close(found, z, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("J", [2, 5])
def test_each_dimension_knows_all_before_it_none_behind_and_the_context(reverse, J):
    layer = odd(InverseAutoregressive(J, N_CONTEXT, WIDTH, reverse=reverse))
    z, context = torch.randn(J), torch.randn(3)
    by_z, by_context = jacrev(lambda *at: layer(*at)[0], argnums=(0, 1))(z, context)
    by_z = by_z.flip(0, 1) if reverse else by_z
    assert torch.equal(by_z, by_z.tril()) and by_z[torch.ones(J, J).tril() > 0].all()
    assert by_context.all()


def test_no_planar_layer_folds_the_plane():
    """The slope along w, at the crease where it is least, of thousands of layers."""
    layer, context = odd(Planar(6, N_CONTEXT, WIDTH)), 3 * torch.randn(5000, 3)
    u, w, b = layer.network(context).split([6, 6, 1], dim=-1)
    assert ((u * w).sum(-1) < -1).sum() > 500  # which alone would fold it
    steps = torch.tensor([-1e-4, 1e-4])[:, None, None]
    crease = -b * w / w.square().sum(-1, keepdim=True)
    out, _ = layer(crease + steps * w, context)  # (2, 5000, 6)
    along = ((out[1] - out[0]) * w).sum(-1) / (2e-4 * w.square().sum(-1))
    assert (along > 0).all()


@EACH_LAYER
def test_nothing_a_network_may_say_overflows(name):
    layer = odd(LAYERS[name](4)).float()
    for size in (1e-6, 1.0, 1e6):
        z, context = size * torch.randn(2, 50, 4).float()
        out, log_det = call(name, layer, z, context[:, :3])
        layer.zero_grad()
        (out.sum() + log_det.sum()).backward()
        grads = [parameter.grad for parameter in layer.parameters()]
        for value in (out, log_det, *grads):
            assert value.isfinite().all()


@EACH_LAYER
def test_shorter_numbers_round_the_map_and_its_determinant_alike(name):
    """Under autocast out and log_det still belong together, in the type of z."""
    layer, z = odd(LAYERS[name](5)).float(), torch.randn(40, 5).float()
    context = torch.randn(40, 3).float()
    with torch.autocast("cpu", torch.bfloat16):
        out, log_det = call(name, layer, z, context)
    expected = call(name, layer, z, context)
    assert out.dtype == log_det.dtype == torch.float32
    assert_close((out, log_det), expected, rtol=0.2, atol=0.2)


def test_one_dimension_has_no_halves(refuses):
    with refuses(ValueError, "at least 2 dimensions for a coupling layer, got 1"):
        Coupling(1, WIDTH)
