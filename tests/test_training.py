"""The training loop against hand-written steps, exact sums and an exact optimum."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch import distributions as td
from torch.nn.utils import parameters_to_vector
from torch.testing import assert_close

from vae_lib import training
from vae_lib.evaluation import evaluate_elbo
from vae_lib.guards import NonFiniteLossError
from vae_lib.linear_gaussian import LinearGaussianModel
from vae_lib.models import VAE, VAEConfig
from vae_lib.recipes import Recipe
from vae_lib.steps import Epoch, forget_negligible, take_step, train_epoch
from vae_lib.training import set_seed


def train(model: VAE, images: Tensor, **arguments) -> list[dict]:
    arguments = {"device": "cpu", "progress": False} | arguments
    return training.train(model, images, **arguments).rows


def sgd_epoch(
    model: VAE, images: Tensor, lr: float = 0.1, generator=None, **knobs
) -> Tensor:
    optimizer = torch.optim.SGD(model.parameters(), lr=math.nan)
    order = torch.randperm(len(images), generator=generator)
    how = {"latent_dim": model.config.latent_dim, "generator": generator}
    recipe = Recipe(epochs=1, lr=lr, **knobs)
    return train_epoch(model, images, optimizer, recipe, Epoch(order), **how)


def weights(model: VAE) -> Tensor:
    return parameters_to_vector(model.parameters()).detach().clone()


def ordered(images: Tensor) -> Tensor:
    return images[images[:, 0].argsort()]


@pytest.fixture
def seen(monkeypatch) -> list[Tensor]:
    """The batches that reach the encoder of any VAE."""
    batches, encode = [], VAE.encode
    monkeypatch.setattr(
        VAE, "encode", lambda self, x: batches.append(x) or encode(self, x)
    )
    return batches


def literal_loss(model: VAE, x: Tensor, eps: Tensor, objective: str, beta: float):
    """eq-minibatch, or minus the importance-weighted bound, spelt out."""
    mu, raw = model.encoder(x - model.input_mean).chunk(2, dim=-1)
    logvar = 20 * torch.tanh(raw / 20)
    z = mu + torch.exp(logvar / 2) * eps  # (K, B, J)
    pi = torch.sigmoid(model.decoder(z))
    log_p = (x * torch.log(pi) + (1 - x) * torch.log(1 - pi)).sum(-1)  # (K, B)
    kl = -0.5 * (1 + logvar - mu**2 - torch.exp(logvar)).sum(-1)  # (B,)
    if objective == "elbo":
        return (beta * kl - log_p.sum(0) / len(z)).sum() / len(x)
    q = td.Normal(mu, torch.exp(logvar / 2))
    log_w = log_p + (td.Normal(0.0, 1.0).log_prob(z) - q.log_prob(z)).sum(-1)
    return -log_w.exp().mean(0).log().sum() / len(x)


@pytest.mark.equation("eq-minibatch")
@pytest.mark.parametrize(
    "objective, k, beta",
    [("elbo", None, 1.0), ("elbo", 3, 0.3), ("iwae", 1, 1.0), ("iwae", 3, 1.0)],
)
def test_a_step_follows_the_gradient_of_the_bound(make_vae, batch, objective, k, beta):
    model, noise = make_vae(), torch.Generator().manual_seed(3)
    x = batch[torch.randperm(7, generator=noise)]
    eps = torch.randn(k or 1, 7, 2, dtype=torch.float64, generator=noise)
    loss = literal_loss(model, x, eps, objective, beta)
    grads = torch.autograd.grad(loss, model.parameters())
    expected = weights(model) - 0.1 * parameters_to_vector(grads)
    options = {"objective": objective, "n_samples": k or 1, "beta": beta}
    sums = sgd_epoch(model, batch, generator=noise.manual_seed(3), **options)
    assert_close(weights(model), expected, rtol=1e-10, atol=1e-12)
    assert_close(sums[:, 2], -7 * loss.detach()[None])


def test_training_raises_the_bound(make_vae):
    images = (torch.arange(8.0, dtype=torch.float64) % 2)[:, None].expand(8, 6)
    rows = train(make_vae(), images, epochs=150, batch_size=4, lr=0.02)
    first, last = (sum(r["elbo"] for r in part) / 5 for part in (rows[:5], rows[-5:]))
    assert -5 < first < -3.5 and last > -2.5  # 6 log 2 = 4.16 without learning


@pytest.mark.parametrize("binarization", ["none", "sample"])
def test_the_same_seed_gives_the_same_bits(make_vae, batch, binarization):
    results = []
    for seed in (5, 5, 6):
        model = make_vae()
        set_seed(seed)
        train(model, batch, epochs=2, batch_size=3, binarization=binarization)
        results.append(weights(model))
    assert torch.equal(*results[:2]) and not torch.equal(*results[1:])


def test_a_second_call_goes_on_where_the_first_stopped(make_vae, batch):
    model, split = make_vae(), make_vae()
    set_seed(5)
    rows = train(model, batch, epochs=3, batch_size=3)
    set_seed(5)
    train(split, batch, epochs=2, batch_size=3)
    split_rows = train(split, batch, epochs=1, batch_size=3)
    assert [row["epoch"] for row in split_rows] == [1, 2, 3]
    assert [row["kl"] for row in split_rows] == [row["kl"] for row in rows]
    assert torch.equal(weights(model), weights(split))


@pytest.mark.parametrize(
    "schedule, epochs, warmup, values",
    [
        ("constant", 4, 0, {0.1: 1, 4: 1}),
        ("constant", 4, 0.5, {0.25: 0.5, 0.5: 1, 4: 1}),
        ("cosine", 4, 0, {1e-9: 1, 2: 0.5, 4: 0}),
        ("cosine", 4, 2, {0.5: 0.25, 2: 1, 3: 0.5, 4: 0}),
        ("cosine", 1, 1, {0.5: 0.5, 1: 1}),
        ("cosine", 1, 2, {1: 0.5}),
    ],
)
def test_schedule_values(schedule, epochs, warmup, values):
    recipe = Recipe(epochs=epochs, lr=3.0, schedule=schedule, warmup=warmup)
    for position, expected in values.items():
        assert recipe.step_size(position) == pytest.approx(3 * expected, abs=1e-12)


@pytest.mark.parametrize("n_done", [0, 4])
def test_each_step_takes_the_scheduled_step_size(n_done, make_vae, batch, monkeypatch):
    asked, model = [], make_vae()
    monkeypatch.setattr(Recipe, "step_size", lambda _, done: asked.append(done) or 0.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=math.nan)
    epoch, recipe = Epoch(torch.arange(7)), Recipe(epochs=9, batch_size=3)
    train_epoch(model, batch, optimizer, recipe, epoch, n_done, latent_dim=2)
    assert asked == pytest.approx([n_done + 1 / 3, n_done + 2 / 3, n_done + 1])
    assert torch.equal(weights(model), weights(make_vae()))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_every_image_is_seen_once_an_epoch(make_vae, batch, seen, batch_size):
    train(make_vae(), batch, epochs=2, batch_size=batch_size)
    first, second = torch.cat(seen).split(7)
    assert [len(x) for x in seen] == 2 * [len(x) for x in batch.split(batch_size)]
    assert torch.equal(ordered(first), ordered(batch))
    assert torch.equal(ordered(second), ordered(batch))
    assert not torch.equal(first, second)  # shuffled anew


def test_history_holds_exact_averages(make_vae, batch, monkeypatch):
    outputs, forward, model = [], VAE.forward, make_vae()

    def record(self, x, y=None, **options):
        outputs.append(forward(self, x, y, **options))
        return outputs[-1]

    with monkeypatch.context() as patch:
        patch.setattr(VAE, "forward", record)
        options = {"batch_size": 3, "n_samples": 2, "beta": 0.3}
        (row,) = train(model, batch, epochs=1, **options)
    assert [len(output.kl) for output in outputs] == [3, 3, 1]
    log_p = torch.cat([o.log_p_x_given_z.mean(0) for o in outputs]).mean().item()
    kl = torch.cat([o.kl for o in outputs]).mean().item()
    expected = {"epoch": 1, "elbo": log_p - kl, "log_p_x_given_z": log_p, "kl": kl}
    assert row.pop("seconds") > 0 and row == pytest.approx(expected, rel=1e-12)
    row = train(model, batch, epochs=1, validation=batch[:5])[-1]
    for name, value in evaluate_elbo(model, batch[:5])._asdict().items():
        assert row[f"valid_{name}"] == value


def test_clip_norm_limits_the_step(make_vae, batch):
    moved = []
    for clip_norm in (None, 1e-3, 1e6):
        model = make_vae()
        sgd_epoch(model, batch, clip_norm=clip_norm, generator=torch.Generator())
        moved.append(float((weights(model) - weights(make_vae())).norm()))
    assert moved[0] == moved[2] > 0.01
    assert moved[1] == pytest.approx(0.1 * 1e-3, rel=1e-3)


def test_only_fresh_bits_reach_the_model_and_the_images_stay(make_vae, batch, seen):
    before = batch.clone()
    train(make_vae(), batch, epochs=2, binarization="sample")
    assert torch.equal(batch, before)
    assert torch.cat(seen).unique().tolist() == [0, 1]
    assert not torch.equal(seen[0].sum(0), seen[1].sum(0))


@pytest.mark.parametrize(
    "layer, value, term",
    [("decoder", math.nan, "log p(x|z)"), ("encoder", 1e200, "KL")],
)
def test_a_loss_that_is_not_finite_names_its_place(
    make_vae, batch, layer, value, term, refuses
):
    model = make_vae()
    train(model, batch, epochs=2)
    with torch.no_grad():
        model.decoder[0].weight.zero_()  # log p(x|z) is finite even if z is huge
        getattr(model, layer)[-1].bias[0] = value
    with refuses(NonFiniteLossError, "epoch 3", "step 1", term):
        train(model, batch, epochs=1, batch_size=3)
    with refuses(NonFiniteLossError, "epoch 1", "step 2"):
        train(make_vae(), batch, epochs=1, batch_size=4, lr=1e300)


def test_a_last_step_that_ruins_the_weights_is_noticed(make_vae, batch, refuses):
    model = make_vae().float()
    with refuses(NonFiniteLossError, "last step of epoch 1"):
        train(model, batch.float(), epochs=1, lr=1e38)


def test_bits_are_drawn_only_of_pixels_in_the_unit_interval(make_vae, refuses):
    model, images = make_vae(likelihood="gaussian"), torch.randn(4, 6).double()
    with refuses(ValueError, "expected pixels in [0, 1], got"):
        train(model, images, epochs=1, binarization="sample")


@pytest.mark.parametrize(
    "argument, values",
    [
        ("epochs", [0, -1]),
        ("batch_size", [0, -3]),
        ("n_samples", [0]),
        ("lr", [0.0, -1e-3, math.nan, math.inf]),
        ("warmup", [-1, math.nan]),
        ("beta", [-1.0, math.nan]),
        ("clip_norm", [0.0, -1.0, math.nan]),
        ("schedule", ["linear"]),
        ("objective", ["vae"]),
        ("binarization", ["threshold"]),
        ("device", ["abacus"]),
        ("images", [torch.zeros(0, 6), torch.rand(4, 5), 255 * torch.rand(4, 6)]),
        ("validation", [torch.zeros(0, 6), torch.full((4, 6), math.nan)]),
    ],
)
def test_bad_arguments_are_refused(make_vae, batch, argument, values, refuses):
    model = make_vae()
    for value in values:
        with refuses(ValueError, "expected", "got"):
            train(**{"model": model, "images": batch, "epochs": 1, argument: value})
    assert torch.equal(weights(model), weights(make_vae())) and model.history is None


def test_a_trained_linear_vae_reaches_probabilistic_pca():
    """Within 0.01 nat per dimension of the maximum-likelihood evidence."""
    weight = torch.randn(6, 2).double() * torch.tensor([2.0, 0.7])
    x = LinearGaussianModel(weight, torch.arange(6.0).double(), 0.5).sample(256)
    best = LinearGaussianModel.fit(x, 2)
    config = VAEConfig(2, (), "relu", "gaussian", n_pixels=6, noise_std=best.noise_std)
    model = VAE.from_data(config, x).double()
    train(model, x, epochs=500, batch_size=64, lr=0.1, schedule="cosine")
    learnt = (parameter.detach() for parameter in model.decoder[0].parameters())
    found = LinearGaussianModel(*learnt, best.noise_std)
    gap = (best.log_evidence(x) - found.log_evidence(x)).mean() / 6
    assert 0 <= gap < 0.01


def test_training_leaves_the_arithmetic_of_the_process_as_it_was(make_vae, batch):
    """Denormal numbers, threads, gradients: other people's code relies on them."""

    def settings():
        tiny = torch.full((1_000_000,), 1e-38) / 10  # by all threads
        few = torch.full((1,), 1e-38) / 10
        return bool(tiny.all() and few.all()), torch.get_num_threads()

    during = []
    before = settings()
    assert before[0]
    train(make_vae(), batch, epochs=1, save=lambda model: during.append(settings()))
    assert settings() == before and during[0][0]


def test_moments_that_vanish_become_zero_and_never_denormal():
    """Pixels that one batch alone has lit, and then none for two hundred steps."""
    images = torch.zeros(201, 20)
    images[:1] = 1
    model = VAE(VAEConfig(2, (4,), n_pixels=20))
    optimizer = torch.optim.Adam(model.parameters())
    tiny = torch.finfo(torch.float32).tiny
    shrunk = []

    def looked_at(*arguments, **options):
        for state in optimizer.state.values():
            size = state["exp_avg"].abs()
            assert not ((size > 0) & (size < tiny)).any()
            shrunk.append(bool(((size > 0) & (size < 1e-30)).any()))
        return take_step(*arguments, **options)

    for _ in range(6):  # 1,206 steps
        order = torch.arange(201)
        recipe, options = Recipe(1, 1), {"latent_dim": 2, "step": looked_at}
        train_epoch(model, images, optimizer, recipe, Epoch(order), **options)
        images[:1] = 0
    assert any(shrunk)
    first = optimizer.state[next(model.parameters())]["exp_avg"]
    assert not first.any()


def test_moments_that_count_are_kept(refuses):
    weight = torch.nn.Parameter(torch.ones(3))
    adam = torch.optim.Adam([weight])
    weight.sum().backward()
    adam.step()
    kept = torch.tensor([1e-29, -1e-29, 0.5])
    adam.state[weight]["exp_avg"].copy_(kept)
    forget_negligible(adam)
    assert torch.equal(adam.state[weight]["exp_avg"], kept)
    assert adam.state[weight]["step"] == 1
    with refuses(ValueError, "expected a torch.optim.Optimizer, got Parameter"):
        forget_negligible(weight)


IN_JUPYTER = """
import sys
from types import ModuleType, SimpleNamespace
sys.modules["ipywidgets"] = None  # not installed
sys.modules["IPython"] = ModuleType("IPython")
kernel = SimpleNamespace(config={"IPKernelApp": {}})
sys.modules["IPython"].get_ipython = lambda: kernel
from vae_lib import training
assert training.tqdm.__module__ == "tqdm.std"
"""


@pytest.mark.long
def test_jupyter_without_widgets_has_a_bar_of_text_and_no_warning():
    command, root = [sys.executable, "-c", IN_JUPYTER], Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
