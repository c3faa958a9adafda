"""The study "uses": what three kinds of model are good for, three seeds of each.

It runs the functions of the notebooks of chapter 11, as they are printed there: on
MNIST after a short and after a longer training, and on silhouettes of animals. Under
each name stands a number, or a mean over test images and its standard error.
"""

import json
from functools import cache
from types import SimpleNamespace

import torch
from torch import Tensor

from tools.book import BUILD, notebooks_of, printed_functions
from vae_lib.animals import load_animals
from vae_lib.checkpoints import write_atomically
from vae_lib.data import ImageSet, load_mnist
from vae_lib.training import set_seed

SEEDS, LEVELS = (0, 1, 2), (0.1, 0.25, 0.5, 1.0)
MORE_SEEDS = (3, 4, 5)  # of the hole alone, where the verdict is a narrow one
MORE_PLANES = (3, 4, 5, 6)  # of the plane alone: by the probe three seeds misled us
DONE = BUILD / "runs" / "uses"  # a file for each run that is through
# By run: the pictures, how many are held out, and epochs; 36 epochs of the animals
# have as many steps as 5 of the digits.
RUNS = {
    "digits": (load_mnist, 10_000, 5),
    "animals": (load_animals, 1_000, 36),
    "digits, longer": (load_mnist, 10_000, 20),
}
OTHERS = {"digits": load_animals, "animals": load_mnist}  # what does not belong
UNSEEN = {"digits": (1, 4), "animals": (1, 6)}  # kinds left out for every seed
N_SEEN, N_NORMAL = 300, 600  # test images that are filled or cleaned, and judged


@cache
def nb() -> SimpleNamespace:
    """The functions that the notebooks of chapter 11 print."""
    names: dict = {}
    for path in notebooks_of("11-applications"):
        names |= printed_functions(path)
    return SimpleNamespace(**names)


def run() -> list[dict]:
    """One row for each run and seed; those that are through are read."""
    results = []
    for name in RUNS:
        for seed in SEEDS:
            path = DONE / f"{name}-{seed}.json"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, json.dumps(row(name, seed)).encode())
            results.append(json.loads(path.read_text("utf-8")))
            print("uses", name, seed, flush=True)
    return results


def more_holes() -> list[dict]:
    """What fills the hole for more seeds, after the short training of the digits."""
    load, n_held, epochs = RUNS["digits"]
    learned, x = load("train").images[:-n_held], load("test").images[:N_SEEN]
    results = []
    for seed in MORE_SEEDS:
        models = nb().all_three(learned, seed, epochs=epochs)
        priors = nb().priors_for(models, learned[:20_000])
        found = filled(models, priors, x, learned, chains=False)
        kept = {part: found[part] for part in ("mean", "difference")}
        results.append(rounded({"run": "more holes", "seed": seed, "filled": kept}))
        print("more holes", seed, flush=True)
    return results


def more_planes() -> list[dict]:
    """Who is ahead in the plane for more seeds, after the longer training."""
    load, n_held, epochs = RUNS["digits, longer"]
    learned = load("train").images[:-n_held]
    results = []
    for seed in MORE_PLANES:
        models = planes_of(learned, seed, epochs)
        del models["PCA, plane"]  # has no seed
        found = named(models, load, n_held, seed, sizes=(5000,))
        results.append(rounded({"run": "more planes", "seed": seed, "named": found}))
        print("more planes", seed, flush=True)
    return results


def planes_of(learned: Tensor, seed: int, epochs: int) -> dict:
    """Models with codes of two numbers, trained on half of the digits."""
    half = learned[:25_000]
    planes = nb().all_three(half, seed, epochs=epochs, latent_dim=2)
    return {f"{model}, plane": planes[model] for model in planes}


def row(name: str, seed: int) -> dict:
    """All that is measured of one training of each model."""
    load, n_held, epochs = RUNS[name]
    train, test = load("train"), load("test").images
    learned, held_out = train.images[:-n_held], train.images[-n_held:]
    models = nb().all_three(learned, seed, epochs=epochs)
    priors = nb().priors_for(models, learned[:20_000])
    short = name in OTHERS
    found = {"run": name, "seed": seed, "epochs": epochs}
    found["kept"] = {
        which: {m: nb().summary(nb().error_of(models[m], x[:10_000])) for m in models}
        for which, x in {"test": test, "learned": learned}.items()
    }
    coded = {"pixels": None, **models, **planes_of(learned, seed, epochs)}
    found["named"] = named(coded, load, n_held, seed)
    found["filled"] = filled(models, priors, test[:N_SEEN], learned, chains=short)
    specialists = LEVELS if name == "digits" else LEVELS[1::2] if short else ()
    found["restored"] = {
        str(s): restored(models, priors, test[:N_SEEN], s, learned, seed, epochs)
        if s in specialists
        else restored(models, priors, test[:N_SEEN], s)
        for s in LEVELS
    }
    found["half way"] = half_way(models, test, train)
    found["anomalies"] = anomalies(models, name, test, learned, held_out)
    if short:
        kinds = range(10) if seed == 0 else UNSEEN[name]
        found["unseen"] = {str(kind): unseen(name, kind, seed) for kind in kinds}
    return rounded(found)


def named(models: dict, load, n_held: int, seed: int, sizes=(100, 1000, 5000)) -> dict:
    """By model and number of labels, % named correctly by probe and by neighbours."""
    train, test = load("train"), load("test")
    mixed = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(train.images) - n_held, generator=mixed)
    found = {}
    for name, model in models.items():
        for n in sizes:
            rows = (order[:n], slice(-n_held, len(train.images) - n_held + 1000))
            sets = [*(train.images[r] for r in rows), test.images]
            kinds = [*(train.labels[r] for r in rows), test.labels]
            found[f"{name}, {n}"] = nb().named(model, sets, kinds)
    return found


def filled(models, priors, x: Tensor, known: Tensor, chains: bool) -> dict:
    """Squared errors of the lower half, and of differences between methods."""
    seen = torch.arange(784) < 392
    set_seed(0)
    images = nb().fillings(models, priors, x, seen, known)
    moved = {}
    for name, n_steps, tested in (
        ("chain that always moves", 200, False),
        ("tested chain", 200, True),
        ("tested chain, 2000 steps", 2000, True),
    ):
        if chains:
            steps = nb().chain(models["VAE"], x, seen, known, n_steps, tested=tested)
            images[name, ""], moved[name] = steps
    errors = {k: (v - x)[:, ~seen].square().sum(1) for k, v in images.items()}
    return paired(errors, ("VAE", "N(0, I)")) | {"moved": moved}


def restored(models, priors, x: Tensor, s: float, *denoisers) -> dict:
    """Decibels of each method, and of the differences to the VAE's."""
    set_seed(0)
    y = x + s * torch.randn_like(x)
    images = nb().restorations(models, priors, y, s)
    if denoisers:
        learned, seed, epochs = denoisers
        for name, stds in {"specialist": [s], "generalist": LEVELS}.items():
            model = nb().fit_denoiser(learned, torch.tensor(stds), seed, epochs=epochs)
            images[name, ""] = nb().image_of(model, nb().code_of(model, y))
    values = {k: nb().decibels(v, x) for k, v in images.items()}
    return paired(values, ("VAE", "N(0, I)", "and pixel"))


def paired(values: dict, against: tuple) -> dict:
    """Summaries of values by image, and of their differences to those of one."""
    one = values[against]
    return {
        "mean": {joined(k): nb().summary(v) for k, v in values.items()},
        "difference": {joined(k): nb().summary(v - one) for k, v in values.items()},
    }


def joined(name: tuple) -> str:
    return ", ".join(part for part in name if part)


def half_way(models: dict, test: Tensor, train: ImageSet) -> dict:
    """Distance to the nearest training image, share of neighbours of one kind, ink."""
    images = nb().half_way(models, test[:600].unflatten(0, (2, 300)))
    images["test images"] = test[600:900]
    known = train.images[:20_000], train.labels[:20_000]
    return {
        name: [nb().summary(part) for part in nb().near_known(x, *known)]
        for name, x in images.items()
    }


def anomalies(models, name: str, test: Tensor, learned: Tensor, kept: Tensor) -> dict:
    """By what does not belong and score, the area under the curve and its error."""
    normal = test[:N_NORMAL]
    odd = nb().changed(normal)
    if name in OTHERS:
        odd["other pictures"] = OTHERS[name]("test").images[:N_NORMAL]
    if name.startswith("digits"):
        odd["letters"] = nb().letters()
    usual = nb().scores(models, normal, learned, kept[:1000])
    found = {"mean log p": {"normal": nb().summary(-usual["VAE, -log p"])}}
    for what, images in odd.items():
        scores = nb().scores(models, images, learned, kept[:1000])
        found[what] = {k: nb().auc(usual[k], scores[k]) for k in scores}
        found["mean log p"][what] = nb().summary(-scores["VAE, -log p"])
    return found


def unseen(name: str, kind: int, seed: int) -> dict:
    """The same for one kind of picture that was left out of the training."""
    load, n_held, epochs = RUNS[name]
    train, test = load("train"), load("test")
    learned = train.images[:-n_held][train.labels[:-n_held] != kind][:20_000]
    kept = train.images[-n_held:][train.labels[-n_held:] != kind][:1000]
    models = nb().all_three(learned, seed, epochs=epochs)
    parts = test.images[test.labels != kind], test.images[test.labels == kind]
    normal, odd = (nb().scores(models, x[:N_NORMAL], learned, kept) for x in parts)
    return {score: nb().auc(normal[score], odd[score]) for score in normal}


def rounded(value):
    """The same with three decimals, in what is nested too."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return round(value, 3) if isinstance(value, float) else value
