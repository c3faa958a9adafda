"""Likelihoods as parts of a model."""

import math

import torch
from torch import distributions as td
from torch.testing import assert_close

from vae_lib.models import VAE, VAEConfig


def test_learned_noise_is_one_parameter_that_starts_where_it_is_told():
    options = {"n_pixels": 6, "likelihood": "gaussian", "noise_std": 0.3}
    torch.manual_seed(0)
    fixed = VAE(VAEConfig(**options))
    torch.manual_seed(0)
    learned = VAE(VAEConfig(**options, learn_noise=True))
    extra = set(dict(learned.named_parameters())) - set(dict(fixed.named_parameters()))
    assert extra == {"likelihood.noise_logvar"}
    assert learned.likelihood.noise_logvar.numel() == 1
    x, z = torch.rand(4, 6), torch.randn(4, 2)
    values = [m.log_p_x_given_z(x, m.decode(z)) for m in (fixed, learned)]
    assert_close(*values)
    with torch.no_grad():
        learned.likelihood.noise_logvar.fill_(2 * math.log(0.7))
    expected = td.Normal(learned.decode(z), 0.7).log_prob(x).sum(-1)
    assert_close(learned.log_p_x_given_z(x, learned.decode(z)), expected)
