"""The training loop against hand-written steps, exact sums and an exact optimum."""

import ast
import inspect
import math
import textwrap

import pytest
import torch
from torch import Tensor
from torch import distributions as td
from torch.testing import assert_close

from vae_lib import training
from vae_lib.evaluation import evaluate_elbo
from vae_lib.linear_gaussian import LinearGaussianModel
from vae_lib.models import VAE, VAEConfig
from vae_lib.training import NonFiniteLossError, scheduled_lr, set_seed, train_epoch

CPU = {"device": "cpu", "progress": False}


def train(model: VAE, images: Tensor, **arguments) -> list[dict]:
    return training.train(model, images, **CPU | arguments).rows


def sgd(model: VAE) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=math.nan)  # train_epoch sets it


def weights(model: VAE) -> Tensor:
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()


@pytest.fixture
def seen(monkeypatch) -> list[Tensor]:
    """The batches that reach any VAE's encoder."""
    batches, encode = [], VAE.encode
    monkeypatch.setattr(
        VAE, "encode", lambda self, x: (batches.append(x), encode(self, x))[1]
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


@pytest.mark.parametrize("objective, k", [("elbo", None), ("elbo", 3)])
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_a_step_follows_the_gradient_of_the_elbo(make_vae, batch, objective, k, beta):
    check_step(make_vae(), batch, objective, k, beta)


@pytest.mark.parametrize("k", [1, 3])
def test_a_step_follows_the_gradient_of_the_weighted_bound(make_vae, batch, k):
    check_step(make_vae(), batch, "iwae", k, beta=1.0)


def check_step(model: VAE, batch: Tensor, objective: str, k: int | None, beta: float):
    noise = torch.Generator().manual_seed(3)
    order = torch.randperm(7, generator=noise)
    eps = torch.randn(k or 1, 7, 2, dtype=torch.float64, generator=noise)
    loss = literal_loss(model, batch[order], eps, objective, beta)
    grads = torch.autograd.grad(loss, model.parameters())
    expected = weights(model) - 0.1 * torch.nn.utils.parameters_to_vector(grads)
    sums = train_epoch(
        model,
        batch,
        sgd(model),
        lambda done: 0.1,
        objective=objective,
        n_samples=k,
        beta=beta,
        generator=torch.Generator().manual_seed(3),
    )
    assert_close(weights(model), expected, rtol=1e-10, atol=1e-12)
    assert_close(sums[:, 0].sum(), -7 * loss.detach())


def test_training_raises_the_bound(make_vae, batch):
    model, images = make_vae(), (batch[:, :1] > 0.5).double().expand(7, 6)
    before = evaluate_elbo(model, images).elbo
    rows = train(model, images, epochs=60, batch_size=4, lr=0.02)
    assert before < -4 and rows[0]["elbo"] < -4  # 6 log 2 = 4.16
    assert evaluate_elbo(model, images).elbo > -2 and rows[-1]["elbo"] > -2


@pytest.mark.parametrize("binarization", ["none", "sample"])
def test_the_same_seed_gives_the_same_bits(make_vae, batch, binarization):
    results = []
    for seed in (5, 5, 6):
        model = make_vae()
        set_seed(seed)
        rows = train(model, batch, epochs=2, batch_size=3, binarization=binarization)
        results.append((weights(model), [row["elbo"] for row in rows]))
    assert torch.equal(results[0][0], results[1][0]) and results[0][1] == results[1][1]
    assert not torch.equal(results[0][0], results[2][0])


def test_a_second_call_goes_on_where_the_first_stopped(make_vae, batch):
    models = []
    for split in ([3], [2, 1]):
        model = make_vae()
        set_seed(5)
        for epochs in split:
            rows = train(model, batch, epochs=epochs, batch_size=3)
        assert [row["epoch"] for row in rows] == [1, 2, 3]
        models.append(model)
    assert torch.equal(weights(models[0]), weights(models[1]))
    assert models[0].history.rows[2]["kl"] == models[1].history.rows[2]["kl"]


@pytest.mark.parametrize(
    "epoch, epochs, schedule, warmup, done, expected",
    [
        (0, 4, "constant", 0, 0.1, 1.0),
        (3, 4, "constant", 0, 1.0, 1.0),
        (0, 4, "cosine", 0, 1e-9, 1.0),
        (1, 4, "cosine", 0, 1.0, 0.5),
        (3, 4, "cosine", 0, 1.0, 0.0),
        (0, 4, "cosine", 2, 0.5, 0.25),
        (1, 4, "cosine", 2, 1.0, 1.0),
        (2, 4, "cosine", 2, 1.0, 0.5),
        (3, 4, "cosine", 2, 1.0, 0.0),
        (0, 4, "constant", 0.5, 0.25, 0.5),
        (0, 1, "cosine", 1, 1.0, 1.0),
        (0, 1, "cosine", 2, 1.0, 0.5),
    ],
)
def test_schedule_values(epoch, epochs, schedule, warmup, done, expected):
    place = {"epoch": epoch, "epochs": epochs, "done": done}
    found = scheduled_lr(lr=3.0, schedule=schedule, warmup=warmup, **place)
    assert found == pytest.approx(3.0 * expected, abs=1e-12)


def test_each_step_takes_the_scheduled_step_size(make_vae, batch):
    asked, model = [], make_vae()
    optimizer = sgd(model)
    train_epoch(model, batch, optimizer, lambda d: asked.append(d) or d, batch_size=3)
    assert asked == pytest.approx([1 / 3, 2 / 3, 1])
    assert optimizer.param_groups[0]["lr"] == 1
    still = make_vae()
    train_epoch(still, batch, sgd(still), lambda done: 0.0, batch_size=3)
    assert torch.equal(weights(still), weights(make_vae()))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_every_image_is_seen_once_an_epoch(make_vae, batch, seen, batch_size):
    train(make_vae(), batch, epochs=2, batch_size=batch_size)
    steps = math.ceil(7 / batch_size)
    assert len(seen) == 2 * steps
    first, second = torch.cat(seen[:steps]), torch.cat(seen[steps:])
    for epoch in (first, second):
        assert torch.equal(*(x[x[:, 0].argsort()] for x in (epoch, batch)))
    assert not torch.equal(first, second)  # shuffled anew


def test_history_holds_exact_averages(make_vae, batch, monkeypatch):
    outputs, forward = [], VAE.forward

    def record(self, x, **options):
        outputs.append(forward(self, x, **options))
        return outputs[-1]

    monkeypatch.setattr(VAE, "forward", record)
    (row,) = train(make_vae(), batch, epochs=1, batch_size=3, n_samples=2, beta=0.3)
    assert [len(output.kl) for output in outputs] == [3, 3, 1]
    log_p = torch.cat([o.log_p_x_given_z.mean(0) for o in outputs]).mean().item()
    kl = torch.cat([o.kl for o in outputs]).mean().item()
    expected = {"epoch": 1, "elbo": log_p - kl, "log_p_x_given_z": log_p, "kl": kl}
    assert row.pop("seconds") > 0
    assert row == pytest.approx(expected, rel=1e-12)


def test_validation_is_taken_after_the_epoch(make_vae, batch):
    model, validation = make_vae(), torch.rand(5, 6, dtype=torch.float64)
    rows = train(model, batch, epochs=2, validation=validation)
    for name, value in evaluate_elbo(model, validation)._asdict().items():
        assert rows[-1][f"valid_{name}"] == value


def test_clip_norm_limits_the_step(make_vae, batch):
    moved = []
    for clip_norm in (None, 1e-3, 1e6):
        model = make_vae()
        options = {"clip_norm": clip_norm, "generator": torch.Generator()}
        train_epoch(model, batch, sgd(model), lambda done: 1.0, **options)
        moved.append(float((weights(model) - weights(make_vae())).norm()))
    assert moved[1] == pytest.approx(1e-3, rel=1e-3)
    assert moved[0] == moved[2] > 0.1


def test_only_sampled_bits_reach_the_model(make_vae, batch, seen):
    train(make_vae(), batch, epochs=2, binarization="sample")
    first, second = seen
    assert set(torch.cat(seen).unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(first[first[:, 0].argsort()], second[second[:, 0].argsort()])


def test_training_leaves_the_images_alone(make_vae, batch):
    before = batch.clone()
    train(make_vae(), batch, epochs=1, binarization="sample", validation=batch)
    assert torch.equal(batch, before)


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
        getattr(model, layer)[-1].bias[0] = value
    if layer == "encoder":  # so that log p(x|z) stays finite
        model.decoder[0].weight.data.zero_()
    with refuses(NonFiniteLossError, "epoch 3", "step 1", term):
        train(model, batch, epochs=1, batch_size=3)


def test_a_step_size_that_destroys_the_model_is_noticed(make_vae, batch, refuses):
    with refuses(NonFiniteLossError, "epoch 1", "step 2"):
        train(make_vae(), batch, epochs=1, batch_size=4, lr=1e300)


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
    scale = torch.tensor([[2.0, 0.7]], dtype=torch.float64)
    truth = LinearGaussianModel(
        scale * torch.randn(6, 2, dtype=torch.float64), torch.arange(6.0).double(), 0.5
    )
    x = truth.sample(256)
    best = LinearGaussianModel.fit(x, 2)
    config = VAEConfig(
        2, (), likelihood="gaussian", n_pixels=6, noise_std=best.noise_std
    )
    model = VAE.from_data(config, x).double()
    train(model, x, epochs=300, batch_size=64, lr=0.1, schedule="cosine")
    layer = model.decoder[0]
    learnt = LinearGaussianModel(
        layer.weight.detach(), layer.bias.detach(), best.noise_std
    )
    gap = (best.log_evidence(x) - learnt.log_evidence(x)).mean() / 6
    assert 0 <= gap < 0.01


def test_the_loop_that_the_book_shows_is_short():
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(train_epoch))).body
    assert function.end_lineno <= 60
    assert function.end_lineno - function.body[1].lineno + 1 <= 40
