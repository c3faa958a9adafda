"""The VAE's terms, shapes, gradients and starting point."""

import itertools
import math

import pytest
import torch
from torch import distributions as td
from torch.testing import assert_close

from vae_lib.models import ACTIVATIONS, LIKELIHOODS, VAE, VAEConfig
from vae_lib.objectives import elbo

EXTREMES = [10.0, -10.0, 100.0, -100.0, 1e4, -1e4]
EACH_LIKELIHOOD = pytest.mark.parametrize("likelihood", LIKELIHOODS)


P_X = {  # what each likelihood is in torch.distributions
    "bernoulli": lambda logits: td.Bernoulli(logits=logits, validate_args=False),
    "continuous_bernoulli": lambda logits: td.ContinuousBernoulli(logits=logits),
    "gaussian": lambda mean: td.Normal(mean, 0.3),
}
NOISE = {"gaussian": {"noise_std": 0.3}}


@pytest.mark.equation("eq-vae-model", "eq-gaussian-likelihood", "eq-importance-weights")
@EACH_LIKELIHOOD
@pytest.mark.parametrize("n_samples, lead", [(None, ()), (1, (1,)), (3, (3,))])
def test_terms_have_their_shapes_and_equal_torch_distributions(
    make_vae, batch, likelihood, n_samples, lead
):
    model = make_vae(likelihood=likelihood, **NOISE.get(likelihood, {}))
    output = model(batch, n_samples=n_samples, weights=True)
    assert output.mu.shape == output.logvar.shape == (7, 2)
    assert output.z.shape == (*lead, 7, 2) and output.x_params.shape == (*lead, 7, 6)
    q, p_z = td.Normal(output.mu, torch.exp(output.logvar / 2)), td.Normal(0.0, 1.0)
    log_p_x = P_X[likelihood](model.decode(output.z)).log_prob(batch).sum(-1)
    log_w = log_p_x + (p_z.log_prob(output.z) - q.log_prob(output.z)).sum(-1)
    assert_close(output.log_p_x_given_z, log_p_x, rtol=1e-9, atol=0)
    assert_close(output.kl, td.kl_divergence(q, p_z).sum(-1), rtol=1e-12, atol=1e-12)
    assert_close(output.log_w, log_w, rtol=1e-9, atol=1e-9)


@pytest.mark.equation("eq-encoder", "eq-reparameterization")
def test_z_is_the_reparameterized_sample(make_vae, batch):
    eps = torch.randn(3, 7, 2, dtype=torch.float64)
    output = make_vae()(batch, eps=eps)
    assert_close(output.z, output.mu + (output.logvar / 2).exp() * eps)
    a, b = (make_vae()(batch, generator=torch.Generator()).z for _ in range(2))
    assert torch.equal(a, b)


def test_mean_log_weight_is_the_elbo(make_vae, batch):
    output = make_vae()(batch, n_samples=20_000, weights=True)
    difference = output.log_w - (output.log_p_x_given_z - output.kl)
    error = difference.std(0) / math.sqrt(20_000)
    assert (difference.mean(0).abs() < 4 * error).all()


@pytest.mark.equation("eq-encoder")
def test_encoder_sees_centred_images_and_bends_logvar(make_vae, batch):
    model = make_vae()
    model.input_mean.copy_(batch.mean(0))
    with torch.no_grad():
        model.encoder[-1].weight.mul_(100)
    raw = model.encoder(batch - batch.mean(0))
    mu, logvar = model.encode(batch)
    assert_close(mu, raw[:, :2])
    assert_close(logvar, 20 * torch.tanh(raw[:, 2:] / 20))


@pytest.mark.equation("eq-aggregate-kl")
def test_mean_kl_is_the_kl_to_the_cloud_plus_that_of_the_cloud():
    """On a grid in one dimension, against the closed form of each KL."""
    mu, std = torch.tensor([[-1.0, 0.2, 1.5], [0.4, 0.9, 0.3]]).double()[..., None]
    z, p = torch.linspace(-12, 12, 24_001).double(), td.Normal(0.0, 1.0)
    log_q = td.Normal(mu, std).log_prob(z)  # (images, nodes)
    cloud = log_q.exp().mean(0)
    to_cloud = torch.trapezoid(log_q.exp() * (log_q - cloud.log()), z).mean()
    of_cloud = torch.trapezoid(cloud * (cloud.log() - p.log_prob(z)), z)
    expected = td.kl_divergence(td.Normal(mu, std), p).mean()
    assert_close(to_cloud + of_cloud, expected, rtol=1e-9, atol=0)
    assert to_cloud > 0.1 and of_cloud > 0.01


@EACH_LIKELIHOOD
def test_extreme_encoders_have_finite_terms_and_gradients(likelihood):
    model = VAE(VAEConfig(n_pixels=6, hidden_dims=(5,), likelihood=likelihood))
    x, last = torch.rand(4, 6), model.encoder[-1]
    for mu, raw in itertools.product(EXTREMES, EXTREMES):
        with torch.no_grad():
            last.weight.zero_()
            last.bias.copy_(torch.tensor([mu, mu, raw, raw]))
        output = model(x, n_samples=2, weights=True)
        for bound in (elbo(output.log_p_x_given_z, output.kl), output.log_w):
            model.zero_grad()
            bound.mean().backward(retain_graph=True)
            grads = [parameter.grad for parameter in model.parameters()]
            terms = [term for term in output if term is not None]
            for value in (bound, *terms, *grads):
                assert value.isfinite().all(), (mu, raw)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_reach_every_parameter(make_vae, batch, activation):
    model = make_vae(activation=activation, hidden_dims=(8, 5))
    output = model(batch)
    elbo(output.log_p_x_given_z, output.kl).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.any(), name


def test_decoder_mirrors_the_encoder(make_vae):
    model = make_vae(hidden_dims=(8, 5), latent_dim=3)
    layers = [tuple(m.weight.shape) for m in model.modules() if hasattr(m, "weight")]
    assert layers == [(8, 6), (5, 8), (6, 5), (5, 3), (8, 5), (6, 8)]


@pytest.mark.parametrize(
    "likelihood, smoothing", [("bernoulli", 1 / 9), ("gaussian", 0.0)]
)
def test_from_data_starts_at_the_mean_image(likelihood, smoothing, batch):
    batch[:, 0], batch[:, 1] = 0, 1  # pixels that never change
    config = VAEConfig(n_pixels=6, hidden_dims=(5,), likelihood=likelihood)
    model, mean = VAE.from_data(config, batch), batch.mean(0).float()
    with torch.no_grad():
        model.decoder[-1].weight.zero_()
    assert_close(model.state_dict()["input_mean"], mean)
    start = model.mean_image(torch.randn(3, 2))
    assert_close(start, mean.expand(3, 6), rtol=0, atol=smoothing + 1e-6)
    assert model.decoder[-1].bias.isfinite().all()


@EACH_LIKELIHOOD
def test_mean_image_is_the_expectation_of_x(make_vae, likelihood):
    model = make_vae(likelihood=likelihood)
    z = 10 * torch.randn(50, 2, dtype=torch.float64)
    image, expected = model.mean_image(z), P_X[likelihood](model.decode(z)).mean
    assert image.min() >= 0 and image.max() <= 1 and not image.requires_grad
    assert_close(image, expected.clamp(0, 1).detach(), rtol=0, atol=1e-6)


def test_sample_decodes_draws_from_the_prior(make_vae):
    model = make_vae()
    z = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator())
    image = model.sample(5, generator=torch.Generator())
    assert image.shape == (5, 6) and torch.equal(image, model.mean_image(z))


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


@pytest.mark.parametrize(
    "x",
    [torch.rand(4, 5), torch.rand(6, 4), torch.rand(()), torch.zeros(0, 6)]
    + [torch.zeros(4, 6, dtype=torch.uint8), torch.zeros(4, 6, dtype=torch.int64)],
)
def test_wrong_input_is_refused(make_vae, x, refuses):
    model = make_vae()
    for function in (model, model.encode, lambda x: VAE.from_data(model.config, x)):
        with refuses(ValueError, "expected", "got"):
            function(x)
    with refuses(ValueError, "expected pixels in [0, 1], got"):
        VAE.from_data(model.config, 255 * torch.rand(4, 6))
    with refuses(ValueError, "expected", "got"):
        model.sample(0)
