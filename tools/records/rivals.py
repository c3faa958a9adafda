"""The study "rivals": what needs no code of twenty numbers, in the tasks of chapter 11.

Linear estimates from the known images that are nearest, denoisers with room for all
that they see, the distance to the nearest known image as a score, and great circles for
every model. It runs the functions that the chapter's notebooks print, on the digits of
the study "uses", and trains its models again to compare image by image.
"""

import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from tools.records.uses import (
    LEVELS,
    N_NORMAL,
    N_SEEN,
    RUNS,
    SEEDS,
    UNSEEN,
    joined,
    nb,
    paired,
    rounded,
)
from vae_lib.animals import load_animals
from vae_lib.data import load_mnist
from vae_lib.training import set_seed

NEAREST = (50, 100, 200, 500, 1000)  # known images of a linear estimate
RIDGES = (0.003, 0.01, 0.03, 0.1)  # for a hole; for noise it is the noise's variance
SEEN = torch.arange(784) < 392


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
    return rounded(found)


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
