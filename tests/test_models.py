"""The VAE's terms, shapes, gradients and starting point."""

import itertools
import math

import pytest
import torch
from torch import distributions as td
from torch.testing import assert_close

from vae_lib import distributions
from vae_lib.models import ACTIVATIONS, LIKELIHOODS, VAE, VAEConfig
from vae_lib.objectives import elbo

EXTREMES = [10.0, -10.0, 100.0, -100.0, 1e4, -1e4]


@pytest.mark.parametrize("n_samples, lead", [(None, ()), (1, (1,)), (3, (3,))])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_output_has_the_promised_shapes(make_vae, batch, likelihood, n_samples, lead):
    output = make_vae(likelihood=likelihood)(batch, n_samples=n_samples)
    shapes = {name: tuple(value.shape) for name, value in output._asdict().items()}
    assert shapes == {
        "mu": (7, 2),
        "logvar": (7, 2),
        "z": (*lead, 7, 2),
        "x_params": (*lead, 7, 6),
        "log_p_x_given_z": (*lead, 7),
        "kl": (7,),
    }
    assert output.log_w.shape == (*lead, 7)
    assert {value.dtype for value in output} == {torch.float64}


@pytest.mark.parametrize("n_samples", [None, 3])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_terms_equal_torch_distributions(make_vae, batch, likelihood, n_samples):
    model = make_vae(likelihood=likelihood, noise_std=0.3)
    output = model(batch, n_samples=n_samples)
    p_x = {
        "bernoulli": lambda p: td.Bernoulli(logits=p, validate_args=False),
        "continuous_bernoulli": lambda p: td.ContinuousBernoulli(logits=p),
        "gaussian": lambda p: td.Normal(p, 0.3),
    }[likelihood](model.decode(output.z))
    q, p_z = td.Normal(output.mu, torch.exp(output.logvar / 2)), td.Normal(0.0, 1.0)
    log_p_x = p_x.log_prob(batch).sum(-1)
    log_w = log_p_x + (p_z.log_prob(output.z) - q.log_prob(output.z)).sum(-1)
    assert_close(output.log_p_x_given_z, log_p_x, rtol=1e-9, atol=0)
    assert_close(output.kl, td.kl_divergence(q, p_z).sum(-1), rtol=1e-12, atol=1e-12)
    assert_close(output.log_w, log_w, rtol=1e-9, atol=1e-9)


def test_z_is_the_reparameterized_sample(make_vae, batch):
    eps = torch.randn(3, 7, 2, dtype=torch.float64)
    output = make_vae()(batch, eps=eps)
    assert_close(output.z, output.mu + (output.logvar / 2).exp() * eps)
    drawn = [make_vae()(batch, generator=torch.Generator()).z for _ in range(2)]
    assert torch.equal(*drawn)


def test_mean_log_weight_is_the_elbo(make_vae, batch):
    output = make_vae()(batch, n_samples=20_000)
    difference = output.log_w - (output.log_p_x_given_z - output.kl)
    error = difference.std(0) / math.sqrt(20_000)
    assert (difference.mean(0).abs() < 4 * error).all()


def test_logvar_is_bent_into_its_interval(make_vae, batch):
    model = make_vae()
    raw = model.encoder(batch - model.input_mean)
    mu, logvar = model.encode(batch)
    assert_close(mu, raw[:, :2])
    assert_close(logvar, 20 * torch.tanh(raw[:, 2:] / 20))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_extreme_encoders_have_finite_terms_and_gradients(likelihood):
    model = VAE(VAEConfig(n_pixels=6, hidden_dims=(5,), likelihood=likelihood))
    x, last = torch.rand(4, 6), model.encoder[-1]
    for mu, raw in itertools.product(EXTREMES, EXTREMES):
        with torch.no_grad():
            last.weight.mul_(0)
            last.bias.copy_(torch.tensor([mu, mu, raw, raw]))
        output = model(x, n_samples=2)
        for bound in (elbo(output.log_p_x_given_z, output.kl), output.log_w):
            grads = torch.autograd.grad(
                bound.mean(), model.parameters(), retain_graph=True
            )
            for value in (bound, output.kl, output.logvar, *grads):
                assert value.isfinite().all(), (mu, raw)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_reach_every_parameter(make_vae, batch, activation):
    model = make_vae(activation=activation, hidden_dims=(8, 5))
    output = model(batch)
    elbo(output.log_p_x_given_z, output.kl).mean().backward()
    assert len(list(model.parameters())) == 12
    for name, parameter in model.named_parameters():
        assert parameter.grad.any(), name


def test_decoder_mirrors_the_encoder(make_vae):
    model = make_vae(hidden_dims=(8, 5, 4), latent_dim=3)
    layers = [m.weight.shape for m in model.modules() if hasattr(m, "weight")]
    encoder, decoder = [(8, 6), (5, 8), (4, 5), (6, 4)], [(4, 3), (5, 4), (8, 5)]
    assert layers == encoder + decoder + [(6, 8)]


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_from_data_starts_at_the_mean_image(likelihood, batch):
    config = VAEConfig(n_pixels=6, hidden_dims=(5,), likelihood=likelihood)
    images = batch.float()
    images[:, 0], images[:, 1] = 0, 1  # pixels that never change
    model = VAE.from_data(config, images)
    with torch.no_grad():
        model.decoder[-1].weight.zero_()
    mean = images.mean(0)
    assert_close(model.input_mean, mean)
    assert "input_mean" in model.state_dict()
    start = model.mean_image(torch.randn(3, 2))
    smoothing = 0.0 if likelihood == "gaussian" else 1 / (len(images) + 2)
    assert_close(start, mean.expand(3, 6), rtol=0, atol=smoothing + 1e-6)
    assert model.decoder[-1].bias.isfinite().all()


def test_the_encoder_sees_centred_images(make_vae, batch):
    model, centred = make_vae(), make_vae()
    centred.input_mean.copy_(batch.mean(0))
    for a, b in zip(
        centred.encode(batch), model.encode(batch - batch.mean(0)), strict=True
    ):
        assert_close(a, b)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_mean_image_is_the_expectation_of_x(make_vae, likelihood):
    model = make_vae(likelihood=likelihood)
    z = 100 * torch.randn(50, 2, dtype=torch.float64)
    image, logits = model.mean_image(z), model.decode(z)
    assert image.min() >= 0 and image.max() <= 1 and not image.requires_grad
    expected = {
        "bernoulli": lambda p: 1 / (1 + torch.exp(-p)),
        "continuous_bernoulli": lambda p: td.ContinuousBernoulli(logits=p).mean,
        "gaussian": lambda p: p.clamp(0, 1),
    }[likelihood](logits)
    assert_close(image, expected.detach(), rtol=0, atol=1e-6)


def test_sample_decodes_draws_from_the_prior(make_vae):
    model = make_vae()
    first, second = (model.sample(5, generator=torch.Generator()) for _ in range(2))
    z = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator())
    assert torch.equal(first, second) and torch.equal(first, model.mean_image(z))


@pytest.mark.parametrize(
    "change, word",
    [
        ({"likelihood": "poisson"}, "continuous_bernoulli"),
        ({"activation": "gelu"}, "softplus"),
        ({"latent_dim": 0}, "width"),
        ({"hidden_dims": (5, 0)}, "width"),
        ({"n_pixels": -1}, "width"),
        ({"noise_std": 0.0}, "noise_std"),
        ({"noise_std": math.inf}, "noise_std"),
        ({"noise_std": math.nan}, "noise_std"),
    ],
)
def test_bad_configurations_are_refused(change, word, refuses):
    with refuses(ValueError, "expected", "got", word):
        VAEConfig(**change)


def test_configurations_from_lists_and_tuples_are_equal():
    assert VAEConfig(hidden_dims=[3, 2]) == VAEConfig(hidden_dims=(3, 2))


@pytest.mark.parametrize(
    "x",
    [torch.rand(4, 5), torch.rand(6, 4), torch.rand(()), torch.zeros(0, 6)]
    + [torch.zeros(4, 6, dtype=torch.uint8), torch.zeros(4, 6, dtype=torch.int64)],
)
def test_wrong_input_is_refused(make_vae, x, refuses):
    model = make_vae()
    for function in (
        model,
        model.encode,
        lambda x: VAE.from_data(model.config, x),
    ):
        with refuses(ValueError, "expected", "got"):
            function(x)
    with refuses(ValueError, "expected", "got"):
        model.sample(0)


def test_gaussian_noise_is_that_of_the_configuration(make_vae, batch):
    model = make_vae(likelihood="gaussian", noise_std=0.3)
    params = model.decode(torch.zeros(7, 2, dtype=torch.float64))
    logvar = torch.full_like(params, 2 * math.log(0.3))
    expected = distributions.gaussian_log_prob(batch, params, logvar)
    assert_close(model.log_p_x_given_z(batch, params), expected)
