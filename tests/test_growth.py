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
from vae_lib.compiled import compile_step
from vae_lib.configs import VAEConfig
from vae_lib.data import ImageSet, check_images
from vae_lib.distributions import gaussian_kl, gaussian_log_prob, reparameterize
from vae_lib.evaluation import evaluate_elbo, log_likelihood
from vae_lib.kinds import KINDS
from vae_lib.latent import LatentVariableModel, VAEOutput
from vae_lib.likelihoods import LIKELIHOODS, Likelihood
from vae_lib.models import VAE
from vae_lib.networks import NETWORKS, Network, Shift
from vae_lib.posteriors import POSTERIORS, Posterior
from vae_lib.priors import PRIORS, Prior
from vae_lib.recipes import Recipe
from vae_lib.runs import train_run
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

    def __init__(self, config, encode):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(config.latent_dim))

    def log_prob(self, z):
        return torch.distributions.Normal(self.mean, 1.0).log_prob(z).sum(-1)

    def sample(self, n, generator=None):
        return self.mean.detach() + torch.randn(n, len(self.mean), generator=generator)


class Stretched(Posterior):
    """z0 with each dimension scaled by a learned number."""

    def __init__(self, config):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(config.latent_dim))

    def forward(self, z0, mu, logvar):
        return z0 * self.log_scale.exp(), self.log_scale.sum().expand(z0.shape[:-1])


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

    @classmethod
    def check_data(cls, config, x):
        check_images(x, config.n_pixels)

    def known(self, y):
        """What is known of x without its code."""
        return 0

    def forward(
        self, x, y=None, *, n_samples=None, eps=None, generator=None, weights=False
    ):
        mu = self.encoder(x)
        logvar = torch.zeros_like(mu)
        z = reparameterize(
            mu, logvar, n_samples=n_samples, eps=eps, generator=generator
        )
        x_params = self.decoder(z) + self.known(y)
        fit = gaussian_log_prob(x, x_params, torch.zeros_like(x))
        kl, log_w = gaussian_kl(mu, logvar), None
        if weights:
            zero = torch.zeros_like(z)
            log_q = gaussian_log_prob(z, mu, logvar)
            log_w = fit + gaussian_log_prob(z, zero, zero) - log_q
        return VAEOutput(mu, logvar, z, x_params, fit, kl, log_w)


class Conditional(Linear):
    """The same, with a mean image of each of three labels."""

    n_labels = 3

    def __init__(self, config):
        super().__init__(config)
        self.means = nn.Embedding(self.n_labels, config.n_pixels)

    def known(self, y):
        return self.means(y)


def affine(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, n_out), Shift(n_out))


AFFINE = Network(
    lambda config: affine(config.n_pixels, 2 * config.latent_dim),
    lambda config: affine(config.latent_dim, config.n_pixels),
)
NEW = {
    "likelihood": (LIKELIHOODS, "laplace", Laplace),
    "prior": (PRIORS, "wide", Wide),
    "posterior": (POSTERIORS, "stretched", Stretched),
    "network": (NETWORKS, "affine", AFFINE),
}


@pytest.mark.parametrize("part", NEW)
def test_a_new_part_is_one_class_and_one_line(
    part, tmp_path, monkeypatch, capsys, mnist_is
):
    table, name, value = NEW[part]
    monkeypatch.setitem(table, name, value)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    few = ImageSet(torch.rand(60, 784).pow(8), torch.arange(60) % 10)
    mnist_is(lambda split: few)
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
    with refuses(CheckpointError, "HierarchicalVAE or Diffusion, got 'Linear'"):
        load(path)
    monkeypatch.setitem(KINDS, "Linear", Linear)
    found = load(path)
    assert type(found) is Linear and found.config == Pair(6)
    assert evaluate_elbo(found, images).elbo == bound


@pytest.fixture(scope="module")
def labelled():
    """Images of three labels, which are told apart by their first three pixels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (90,), generator=generator)
    images = 0.1 * torch.rand(90, 6, generator=generator)
    images[torch.arange(90), labels] += 0.9
    return ImageSet(images, labels)


def conditional() -> Conditional:
    torch.manual_seed(0)
    return Conditional(Pair(6))


QUIET = {"epochs": 40, "lr": 0.1, "batch_size": 20, "device": "cpu", "progress": False}


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_a_model_that_is_told_labels_learns_what_they_say(objective, labelled):
    images, labels = labelled
    model, shuffled = conditional(), labels.roll(1)
    options = QUIET | {"objective": objective, "validation": (images, labels)}
    (*_, row) = train(model, images, labels=labels, **options).rows
    found = evaluate_elbo(model, images, labels)
    assert row["valid_elbo"] == found.elbo
    in_parts = evaluate_elbo(model, images, labels, batch_size=7)
    assert in_parts == pytest.approx(found, abs=1e-6)
    assert evaluate_elbo(model, images, shuffled).elbo < found.elbo - 0.3
    told = log_likelihood(model, images, labels, n_samples=20, chunk=3)
    assert told.mean() > found.elbo - 1e-3
    mistold = log_likelihood(model, images, shuffled, n_samples=20)
    same = labels == shuffled
    assert (told[same] - mistold[same]).abs().max() < 1e-4
    assert (told[~same] - mistold[~same]).mean() > 0.3


def test_a_run_of_such_a_model_is_told_its_labels(
    labelled, tmp_path, monkeypatch, refuses
):
    monkeypatch.setitem(KINDS, "Conditional", Conditional)
    images, labels = labelled
    recipe, calm = Recipe(epochs=2), {"device": "cpu", "progress": False}
    for epochs in (1, 2):
        options = calm | {"labels": labels, "resume": True}
        model = train_run(tmp_path, images, Pair(6), Recipe(epochs), **options)
    assert len(model.history.rows) == 2 and model.means.weight.grad.abs().sum() > 0
    for other, said in (
        (None, "labels (90,) from 0 to 2"),
        (labels.roll(1), "the labels of this run, got 'others'"),
    ):
        with refuses(ValueError, said):
            train_run(tmp_path, images, recipe=recipe, labels=other, resume=True)


@pytest.mark.long
def test_a_compiled_step_is_told_the_labels_too(labelled):
    try:
        compile_step(1)
    except ValueError as reason:  # no compiler
        pytest.skip(str(reason))
    images, labels = labelled
    options = QUIET | {"epochs": 2}
    plain, compiled = (
        train(conditional(), images, labels=labels, step=how, **options).rows
        for how in ("autograd", "compiled")
    )
    assert plain[-1]["elbo"] == pytest.approx(compiled[-1]["elbo"], rel=1e-5)


NO_LABELS = {
    "none": (None, "labels (90,) from 0 to 2, int64, for Conditional, got None"),
    "too few": (torch.zeros(89).long(), "labels (90,)"),
    "a row for each": (torch.zeros(90, 1).long(), "labels (90,)"),
    "floats": (torch.zeros(90), "int64"),
    "a list": ([0] * 90, "int64"),
    "a fourth": (torch.full((90,), 3), "from 0 to 2"),
    "below zero": (torch.full((90,), -1), "from 0 to 2"),
}


@pytest.mark.parametrize("labels, said", NO_LABELS.values(), ids=NO_LABELS)
def test_labels_that_a_model_cannot_take_are_refused(labels, said, labelled, refuses):
    model, images = conditional(), labelled.images
    calls = [
        lambda: train(model, images, labels=labels, **QUIET),
        lambda: train(
            model,
            images,
            labels=labelled.labels,
            validation=images if labels is None else (images, labels),
            **QUIET,
        ),
        lambda: evaluate_elbo(model, images, labels),
        lambda: log_likelihood(model, images, labels, n_samples=2),
    ]
    for call in calls:
        with refuses(ValueError, "expected ", said):
            call()
    assert model.history is None


@pytest.mark.parametrize("kind", [VAE, Linear])
def test_labels_of_a_model_that_is_told_none_are_refused(kind, labelled, refuses):
    model = VAE(VAEConfig(2, (4,), n_pixels=6)) if kind is VAE else Linear(Pair(6))
    expected = f"no labels, for {kind.__name__} is told none, got Tensor of shape (90,)"

    def told(model, images, labels):
        train(model, images, labels=labels, **QUIET)

    for call in (evaluate_elbo, told):
        with refuses(ValueError, expected):
            call(model, *labelled)
