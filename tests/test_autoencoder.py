"""The plain auto-encoder: the VAE's layers, trained on the mean code alone."""

import pytest
import torch
from torch.distributions import Bernoulli
from torch.testing import assert_close

from vae_lib.autoencoder import AutoEncoder
from vae_lib.evaluation import evaluate_elbo
from vae_lib.models import VAE, VAEConfig
from vae_lib.training import train

SMALL = {"n_pixels": 6, "hidden_dims": (5,), "activation": "tanh"}

pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.fixture
def model() -> AutoEncoder:
    return AutoEncoder(VAEConfig(**SMALL))


@pytest.mark.equation("eq-autoencoder")
def test_loss_is_the_likelihood_at_the_mean_code_and_noise_changes_nothing(model):
    x = torch.rand(7, 6).round()
    mu = model.encoder(x)[:, :2]
    expected = Bernoulli(logits=model.decoder(mu)).log_prob(x).sum(-1)
    for noise in (torch.zeros(7, 2), torch.full((7, 2), 1e9)):
        output = model(x, eps=noise)
        assert_close(output.log_p_x_given_z, expected)
        assert_close(output.z, mu)
        assert not output.kl.any() and output.kl.shape == (7,)


@pytest.mark.equation("eq-autoencoder")
def test_auto_encoder_has_the_layers_of_the_vae_of_its_config():
    torch.manual_seed(3)
    plain = AutoEncoder(VAEConfig(**SMALL)).state_dict()
    torch.manual_seed(3)
    full = VAE(VAEConfig(**SMALL)).state_dict()
    assert plain.keys() == full.keys()
    assert all(torch.equal(plain[name], full[name]) for name in plain)


@pytest.mark.equation("eq-autoencoder")
def test_no_gradient_reaches_the_log_variances(model):
    (-model(torch.rand(7, 6)).log_p_x_given_z.mean()).backward()
    last = model.encoder[-1]
    assert not last.weight.grad[2:].any() and not last.bias.grad[2:].any()
    assert last.weight.grad[:2].any() and model.decoder[0].weight.grad.any()


@pytest.mark.equation("eq-autoencoder")
def test_training_improves_the_likelihood_and_reports_no_divergence(model):
    x = (torch.rand(40, 1) < 0.5) * torch.ones(40, 6)  # all black or all white
    before = evaluate_elbo(model, x)
    history = train(model, x, epochs=60, batch_size=20, lr=0.03, device="cpu")
    after = evaluate_elbo(model, x)
    assert after.elbo > before.elbo / 10 and after.kl == 0  # both are negative
    assert all(row["kl"] == 0 for row in history.rows)
