"""Encoders and decoders of each kind fit their configuration, whatever its sizes."""

import math

import pytest
import torch
from torch.testing import assert_close

from vae_lib.models import VAE, VAEConfig
from vae_lib.networks import NETWORKS
from vae_lib.training import set_seed, train

SHAPES = [(1, 7, 6), (3, 4, 4), (2, 1, 5), (1, 28, 28)]


def convolutional(shape=(1, 7, 6), hidden_dims=(4, 8), **changes) -> VAEConfig:
    sizes = {"n_pixels": math.prod(shape), "shape": shape, "network": "conv"}
    return VAEConfig(3, hidden_dims, **sizes | changes)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("hidden_dims", [(), (4,), (4, 8, 2)], ids=str)
def test_pictures_of_any_size_are_halved_and_doubled(shape, hidden_dims):
    model = VAE(convolutional(shape, hidden_dims))
    x = torch.rand(5, model.config.n_pixels)
    output = model(x, n_samples=2, weights=True)
    assert output.mu.shape == (5, 3) and output.x_params.shape == (2, 5, x.shape[1])
    assert output.log_w.shape == (2, 5) and model.sample(4).shape == (4, x.shape[1])


def test_each_code_is_decoded_by_itself_whatever_axes_lead():
    model, z = VAE(convolutional()), torch.randn(2, 5, 3)
    alone = torch.stack([torch.stack([model.decode(c) for c in row]) for row in z])
    assert_close(model.decode(z), alone)


def test_a_convolution_sees_neighbours_and_no_more():
    """One pixel of the picture reaches the 3 by 3 places of the first layer, halved."""
    model = VAE(convolutional((1, 8, 8), (1, 4), activation="tanh"))
    first = model.encoder[:2]
    x = torch.zeros(2, 64)
    x[1, 8 * 4 + 3] = 1.0
    seen = (first(x)[0] != first(x)[1]).reshape(4, 4).nonzero()
    assert {tuple(place) for place in seen.tolist()} <= {(2, 1), (2, 2)}


@pytest.mark.parametrize("network", NETWORKS)
def test_a_decoder_starts_at_the_mean_image_of_the_data(network):
    configs = {"conv": convolutional(), "mlp": VAEConfig(3, (8,), n_pixels=42)}
    config = configs[network]
    images = torch.rand(50, 42) ** 2
    model = VAE.from_data(config, images)
    for layer in model.decoder[:-1]:
        for parameter in layer.parameters():
            parameter.data.zero_()
    if network == "mlp":
        model.decoder[-1].weight.data.zero_()
    shown = model.mean_image(torch.zeros(1, 3))[0]
    assert_close(shown, images.mean(0), rtol=0, atol=0.02)


def test_every_layer_of_a_convolutional_vae_learns():
    set_seed(0)
    images = torch.rand(20, 1, 7, 6).round().flatten(1)
    model = VAE(convolutional())
    before = {k: v.clone() for k, v in model.named_parameters()}
    train(model, images, epochs=2, device="cpu", progress=False)
    for name, weight in model.named_parameters():
        assert not weight.equal(before[name]), name


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"shape": None}, "a shape for 'conv', got None"),
        ({"shape": (1, 6, 6)}, "shape (C, H, W) of 42 pixels"),
        ({"shape": (7, 6)}, "shape (C, H, W)"),
        ({"shape": (-1, -7, 6)}, "shape (C, H, W)"),
        ({"shape": "1x7x6"}, "shape"),
        ({"network": "mlp", "shape": (1, 6, 6)}, "shape (C, H, W) of 42 pixels"),
        ({"network": "dense"}, "network among 'mlp', 'conv', got 'dense'"),
    ],
    ids=str,
)
def test_what_no_network_can_be_made_of_is_refused(changes, said, refuses):
    with refuses(ValueError, said):
        VAEConfig(**{"network": "conv", "n_pixels": 42, "shape": (1, 7, 6)} | changes)
