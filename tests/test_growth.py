"""The room to grow: a new part of a model is one class and one line in a table.

Each is trained by the command line, saved, loaded and judged, with no other change.
"""

import json
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from vae_lib import __main__ as command_line
from vae_lib.checkpoints import CheckpointError, load, save
from vae_lib.data import ImageSet, check_images
from vae_lib.distributions import gaussian_kl, gaussian_log_prob, reparameterize
from vae_lib.evaluation import evaluate_elbo, log_likelihood
from vae_lib.kinds import KINDS
from vae_lib.latent import LatentVariableModel, VAEOutput
from vae_lib.likelihoods import LIKELIHOODS, Likelihood
from vae_lib.models import VAE
from vae_lib.networks import NETWORKS, Network, Shift
from vae_lib.priors import PRIORS, Prior
from vae_lib.training import train


class Laplace(Likelihood):
    """Pixels with two-sided exponential noise of scale 1 about what is decoded."""

    def log_prob(self, x, x_params):
        return torch.distributions.Laplace(x_params, 1.0).log_prob(x).sum(-1)

    def mean(self, x_params):
        return x_params.clamp(0, 1)

    def start(self, mean, n_images):
        return mean


class Wide(Prior):
    """N(m, I) with a learned mean."""

    def __init__(self, config):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(config.latent_dim))

    def log_prob(self, z):
        return torch.distributions.Normal(self.mean, 1.0).log_prob(z).sum(-1)

    def sample(self, n, generator=None):
        return self.mean.detach() + torch.randn(n, len(self.mean), generator=generator)


@dataclass(frozen=True)
class Pair:
    """The configuration of Linear."""

    n_pixels: int = 784


class Linear(LatentVariableModel):
    """One code, a linear encoder and decoder, pixels with Gaussian noise."""

    config_class = Pair
    noise_dim = 1

    def __init__(self, config):
        super().__init__(config)
        self.encoder = nn.Linear(config.n_pixels, 1)
        self.decoder = nn.Linear(1, config.n_pixels)

    def check(self, x):
        check_images(x, self.config.n_pixels)

    def forward(self, x, *, n_samples=None, eps=None, generator=None, weights=False):
        mu = self.encoder(x)
        logvar = torch.zeros_like(mu)
        z = reparameterize(
            mu, logvar, n_samples=n_samples, eps=eps, generator=generator
        )
        x_params = self.decoder(z)
        fit = gaussian_log_prob(x, x_params, torch.zeros_like(x))
        kl, log_w = gaussian_kl(mu, logvar), None
        if weights:
            zero = torch.zeros_like(z)
            log_q = gaussian_log_prob(z, mu, logvar)
            log_w = fit + gaussian_log_prob(z, zero, zero) - log_q
        return VAEOutput(mu, logvar, z, x_params, fit, kl, log_w)


def affine(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, n_out), Shift(n_out))


AFFINE = Network(
    lambda config: affine(config.n_pixels, 2 * config.latent_dim),
    lambda config: affine(config.latent_dim, config.n_pixels),
)
NEW = {
    "likelihood": (LIKELIHOODS, "laplace", Laplace),
    "prior": (PRIORS, "wide", Wide),
    "network": (NETWORKS, "affine", AFFINE),
}


@pytest.mark.parametrize("part", NEW)
def test_a_new_part_is_one_class_and_one_line(part, tmp_path, monkeypatch, capsys):
    table, name, value = NEW[part]
    monkeypatch.setitem(table, name, value)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    few = ImageSet(torch.rand(60, 784).pow(8), torch.arange(60) % 10)
    monkeypatch.setattr(command_line, "load_mnist", lambda split: few)
    run = str(tmp_path / "run")
    words = ["train", "--out", run, f"--{part}", name, "--epochs", "30"]
    sizes = ["--latent-dim", "3", "--hidden-dims", "8", "--batch-size", "20"]
    assert command_line.main([*words, *sizes, "--json"]) == 0
    assert command_line.main([*words, *sizes, "--json", "--resume"]) == 0
    assert command_line.main(["evaluate", run, "--json", "--limit", "9"]) == 0
    *_, trained, found = map(json.loads, capsys.readouterr().out.splitlines())
    assert found["log_p_x"] > found["elbo"] - 5 and trained["epoch"] == 30
    model = command_line.load(tmp_path / "run" / command_line.MODEL)
    assert type(model) is VAE and getattr(model.config, part) == name
    first, last = model.record["rows"][0], model.record["rows"][-1]
    assert last["elbo"] > first["elbo"]


@pytest.mark.parametrize("part", NEW)
def test_where_there_is_no_such_line_the_names_are_told(part, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["train", "--out", str(tmp_path), f"--{part}", NEW[part][1]])
    table, name, _ = NEW[part]
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and f"got '{name}'" in said
    assert ", ".join(table) in said


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_a_new_model_is_one_class_and_one_line(
    objective, tmp_path, monkeypatch, refuses
):
    images, path = torch.rand(60, 6), tmp_path / "model"
    model = Linear(Pair(6))
    options = {"objective": objective, "device": "cpu", "progress": False}
    history = train(model, images, epochs=20, lr=0.05, batch_size=20, **options)
    assert history.rows[-1]["elbo"] > history.rows[0]["elbo"] + 0.05
    bound = evaluate_elbo(model, images).elbo
    assert log_likelihood(model, images, n_samples=50).mean() > bound
    save(path, model)
    with refuses(CheckpointError, "a model of class VAE or AutoEncoder, got 'Linear'"):
        load(path)
    monkeypatch.setitem(KINDS, "Linear", Linear)
    found = load(path)
    assert type(found) is Linear and found.config == Pair(6)
    assert evaluate_elbo(found, images).elbo == bound
