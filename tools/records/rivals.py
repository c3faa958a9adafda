"""The study "rivals": what needs no code of twenty numbers, in the tasks of chapter 11.

Linear estimates from the known images that are nearest, denoisers with room for all
that they see, the distance to the nearest known image as a score, and great circles for
every model; and networks that are trained for one task alone, and straightened digits.
It runs the functions that the chapter's notebooks print, on the digits of the study
"uses", and trains its models again to compare image by image.
"""

from collections.abc import Callable

import torch
from sklearn.linear_model import Ridge
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from tools.records.measures import write_record
from tools.records.uses import (
    BLOCKS,
    LEVELS,
    N_NORMAL,
    N_SEEN,
    RUNS,
    SEEDS,
    UNSEEN,
    joined,
    named,
    nb,
    paired,
    rounded,
)
from vae_lib.animals import load_animals
from vae_lib.autoencoder import AutoEncoder
from vae_lib.data import ImageSet, load_mnist
from vae_lib.distributions import bernoulli_log_prob
from vae_lib.models import VAEConfig
from vae_lib.records import load_record
from vae_lib.training import set_seed

NEAREST = (50, 100, 200, 500, 1000)  # known images of a linear estimate
RIDGES = (0.003, 0.01, 0.03, 0.1)  # for a hole; for noise it is the noise's variance
SEEN = torch.arange(784) < 392
WINDOWS = (0.1, 0.25)  # noise for which a network of small windows is trained
LABELLED = (1000, 5000)


def run() -> dict:
    """What was chosen on held-out digits, what needs no training, and each seed."""
    train, test = load_mnist("train"), load_mnist("test")
    learned, held_out = train.images[:-10_000], train.images[-10_000:]
    chosen = {
        "filled": best_of(held_out[:200], learned, None),
        **{str(s): best_of(held_out[:200], learned, s) for s in LEVELS},
    }
    found = {"chosen": chosen, "areas": areas(test, train)}
    found["untrained"] = untrained(test.images[:N_SEEN], learned)
    found["seeds"] = [of_seed(seed, chosen) for seed in SEEDS]
    found["made for one"] = made_for_one(chosen)
    return rounded(found)


def add_made_for_one() -> None:
    """Measure the last part of the record anew, and leave the others as they are."""
    found = load_record("rivals")
    found["made for one"] = rounded(made_for_one(found["chosen"]))
    write_record("rivals", found)


def hole(x: Tensor, known: Tensor, n: int, ridge: float) -> Tensor:
    """Lower halves by the linear estimate from the n known images nearest above."""
    parts = known[:, SEEN], known[:, ~SEEN]
    return nb().local_linear(x[:, SEEN], *parts, n, ridge)


def linear(x: Tensor, known: Tensor) -> Tensor:
    """The same from all known images at once, where a ridge hardly matters."""
    fitted = Ridge(1.0).fit(known[:, SEEN], known[:, ~SEEN])
    return torch.from_numpy(fitted.predict(x[:, SEEN])).clamp(0, 1)


def noisy(x: Tensor, s: float) -> Tensor:
    set_seed(0)
    return x + s * torch.randn_like(x)


def best_of(x: Tensor, known: Tensor, s: float | None) -> list[float]:
    """Number of known images and ridge with the least squared error of a hole, or the
    best mean PSNR, on these images."""
    tried = {}
    for n in NEAREST:
        for ridge in RIDGES if s is None else [s**2]:
            if s is None:
                errors = (hole(x, known, n, ridge) - x[:, ~SEEN]).square().sum(1)
                tried[n, ridge] = -errors.mean()
            else:
                image = nb().local_linear(noisy(x, s), known, known, n, ridge)
                tried[n, ridge] = nb().decibels(image, x).mean()
            print("rivals", s, n, ridge, float(tried[n, ridge]), flush=True)
    return list(max(tried, key=tried.get))


def of_seed(seed: int, chosen: dict) -> dict:
    """Models of one seed beside their rivals, and the differences to the latter."""
    train, test = load_mnist("train"), load_mnist("test")
    n_held, epochs = RUNS["digits"][1:]
    learned, x = train.images[:-n_held], test.images[:N_SEEN]
    models = nb().all_three(learned, seed, epochs=epochs)
    priors = nb().priors_for(models, learned[:20_000])
    found = {"seed": seed}

    set_seed(0)
    filled = nb().fillings(models, priors, x, SEEN, learned)
    lower = {name: image[:, ~SEEN] for name, image in filled.items()}
    lower["local linear", ""] = hole(x, learned, *chosen["filled"])
    lower["linear", ""] = linear(x, learned)
    errors = {k: (v - x[:, ~SEEN]).square().sum(1) for k, v in lower.items()}
    found["filled"] = paired(errors, ("local linear", ""))

    found["restored"] = {}
    for s in LEVELS:
        y = noisy(x, s)
        images = nb().restorations(models, priors, y, s)
        images["local linear", ""] = nb().local_linear(
            y, learned, learned, *chosen[str(s)]
        )
        model = nb().fit_denoiser(
            learned, torch.tensor([s]), seed, epochs=epochs, wide=True
        )
        images["wide specialist", ""] = nb().image_of(model, nb().code_of(model, y))
        values = {k: nb().decibels(v, x) for k, v in images.items()}
        against = best_rival(values)
        found["restored"][str(s)] = paired(values, against)
        found["restored"][str(s)]["against"] = joined(against)

    middle = nb().circles(models, test.images[:600].unflatten(0, (2, 300)))
    known = train.images[:20_000], train.labels[:20_000]
    found["circles"] = {
        name: [nb().summary(part) for part in nb().near_known(image, *known)]
        for name, image in middle.items()
    }
    print("rivals", seed, flush=True)
    return found


def untrained(x: Tensor, learned: Tensor) -> dict:
    """By noise level, the decibels of two methods that no seed changes."""
    moments = learned.mean(0), torch.cov(learned.T)
    everything = torch.ones(784) > 0
    found = {}
    for s in LEVELS:
        y = noisy(x, s)
        images = {"Wiener filter": nb().wiener(y, *moments, s)}
        images["ten neighbours"] = nb().like_ten(y, everything, learned)
        values = {name: nb().decibels(v, x) for name, v in images.items()}
        found[str(s)] = {name: nb().summary(v) for name, v in values.items()}
    return found


def best_rival(values: dict) -> tuple:
    """The one of the two rivals that has the higher mean PSNR."""
    rivals = ("local linear", ""), ("wide specialist", "")
    return max(rivals, key=lambda name: values[name].mean())


def areas(test, train) -> dict:
    """By what does not belong, the area of the distance to the nearest known digit."""
    learned, labels = train.images[:-10_000], train.labels[:-10_000]
    normal, known = test.images[:N_NORMAL], learned[:20_000]
    odd = nb().changed(normal) | {"letters": nb().letters()}
    odd["other pictures"] = load_animals("test").images[:N_NORMAL]
    usual = nb().nearest(normal, known)
    found = {k: nb().auc(usual, nb().nearest(x, known)) for k, x in odd.items()}
    for kind in UNSEEN["digits"]:
        others = learned[labels != kind][:20_000]
        parts = (test.images[test.labels != kind], test.images[test.labels == kind])
        scores = [nb().nearest(part[:N_NORMAL], others) for part in parts]
        found[f"unseen {kind}"] = nb().auc(*scores)
    return found


def made_for_one(chosen: dict) -> list[dict]:
    """What is made for one task alone: a row for each seed.

    By the first of 300 test digits, squared errors in the hole and decibels in noise,
    and the differences to the linear estimates from the nearest known digits; and what
    classifiers read from straightened digits.
    """
    train, test = load_mnist("train"), load_mnist("test").images
    learned = train.images[:-10_000]
    blocks = {str(first): test[first : first + N_SEEN] for first in BLOCKS}
    lower = {k: hole(x, learned, *chosen["filled"]) for k, x in blocks.items()}
    filtered = {
        (s, k): nb().local_linear(
            noisy(x, s), learned, learned, chosen[str(s)][0], s**2
        )
        for s in WINDOWS
        for k, x in blocks.items()
    }
    results = []
    for seed in SEEDS:
        row = {"seed": seed, "filled": {}, "restored": {str(s): {} for s in WINDOWS}}
        trained = {
            "shown holes": shown_holes(learned, seed),
            "half to half": half_to_half(learned, seed),
        }
        for k, x in blocks.items():
            guesses = {(name,): of(x) for name, of in trained.items()}
            guesses["local linear",] = lower[k]
            errors = {
                name: (v - x[:, ~SEEN]).square().sum(1) for name, v in guesses.items()
            }
            row["filled"][k] = paired(errors, ("local linear",))
        for s in WINDOWS:
            clean = windowed(learned, s, seed)
            for k, x in blocks.items():
                images = {("windows",): clean(noisy(x, s))}
                images["local linear",] = filtered[s, k]
                values = {name: nb().decibels(v, x) for name, v in images.items()}
                row["restored"][str(s)][k] = paired(values, ("local linear",))
        row["named"] = straight_named(learned, seed)
        results.append(row)
        print("made for one", row, flush=True)
    return results


def straight_named(learned: Tensor, seed: int) -> dict:
    """% named correctly, by probe and by neighbours, from digits set upright."""
    straight = {}
    for split in ("train", "test"):
        images, labels = load_mnist(split)
        straight[split] = ImageSet(nb().straightened(images), labels)
    twenty = nb().LinearGaussianModel.fit(straight["train"].images[: len(learned)], 20)
    models = {"PCA": twenty, "pixels": None}
    return named(models, straight.get, 10_000, seed, sizes=LABELLED)


def fitted(model: nn.Module, loss: Callable, batches: list[Tensor]) -> None:
    """A step of the chapter's recipe for each batch, down this loss."""
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    schedule = CosineAnnealingLR(optimizer, len(batches))
    for batch in batches:
        optimizer.zero_grad()
        loss(batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 30.0)
        optimizer.step()
        schedule.step()
    model.requires_grad_(False)


def shuffled(n: int, epochs: int) -> list[Tensor]:
    """The rows of n images in batches of 256, in another order each epoch."""
    return [batch for _ in range(epochs) for batch in torch.randperm(n).split(256)]


def shown_holes(learned: Tensor, seed: int, epochs: int = 5) -> Callable:
    """The chapter's auto-encoder, trained with the mean image in the hole."""
    mean = learned.mean(0)
    set_seed(seed)
    model = AutoEncoder.from_data(VAEConfig(20, **nb().LAYERS), learned)

    def logits(x: Tensor) -> Tensor:
        return model.decode(model.encode(torch.where(SEEN, x, mean))[0])

    def loss(rows: Tensor) -> Tensor:
        return -bernoulli_log_prob(learned[rows], logits(learned[rows])).mean()

    fitted(model, loss, shuffled(len(learned), epochs))
    return lambda x: logits(x)[:, ~SEEN].sigmoid()


def half_to_half(learned: Tensor, seed: int, epochs: int = 5) -> Callable:
    """A network from the upper half to the lower, with no code between them."""
    set_seed(seed)
    layers = [nn.Linear(392, 512), nn.SiLU(), nn.Linear(512, 512), nn.SiLU()]
    model = nn.Sequential(*layers, nn.Linear(512, 392))
    mean = learned[:, ~SEEN].mean(0)
    model[-1].bias.data = mean.clamp(1e-3, 1 - 1e-3).logit()

    def loss(rows: Tensor) -> Tensor:
        upper, lower = learned[rows][:, SEEN], learned[rows][:, ~SEEN]
        return -bernoulli_log_prob(lower, model(upper)).mean()

    fitted(model, loss, shuffled(len(learned), epochs))
    return lambda x: model(x[:, SEEN]).sigmoid()


def windowed(learned: Tensor, s: float, seed: int, n_steps: int = 500) -> Callable:
    """A network that cleans each pixel by the 7 x 7 window around it."""
    set_seed(seed)
    last = nn.Conv2d(24, 1, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    layers = [nn.Conv2d(1, 48, 7, padding=3), nn.SiLU(), nn.Conv2d(48, 24, 1)]
    model = nn.Sequential(*layers, nn.SiLU(), last)

    def clean(y: Tensor) -> Tensor:
        return y + model(y.unflatten(1, (1, 28, 28))).flatten(1)

    def loss(rows: Tensor) -> Tensor:
        x = learned[rows]
        return (clean(x + s * torch.randn_like(x)) - x).square().mean()

    order = torch.randperm(len(learned))[: 64 * n_steps]
    fitted(model, loss, list(order.split(64)))
    return lambda y: clean(y).clamp(0, 1)
