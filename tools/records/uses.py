"""The study "uses": what three kinds of model are good for, three seeds of each.

It runs the functions of the notebooks of chapter 11, as they are printed there: on
MNIST after a short and after a longer training, and on silhouettes of animals. Under
each name stands a number, or a mean over test images and its standard error.
"""

import json
import math
from functools import cache, partial
from types import SimpleNamespace

import torch
from torch import Tensor

from tools.book import BUILD, notebooks_of, printed_functions
from vae_lib.animals import load_animals
from vae_lib.checkpoints import load_pretrained, write_atomically
from vae_lib.data import ImageSet, load_mnist
from vae_lib.distributions import reparameterize
from vae_lib.records import load_record
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
N_PAIRS = 3000  # of test digits, for their middles; the short study has a tenth
# MNIST's test digits are in no random order: where else to begin than at the first.
THOUSANDS, BLOCKS = (2000, 4000, 5000, 7000, 9000), (0, 5000)
N_CHOOSING = 1000  # pairs of held-out digits, by which a middle gets its length
STRETCHES = (1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)  # of the middle of a straight line
MIDDLES = {  # by method, what its share of neighbours of one kind is held against
    "VAE, circle": ("VAE", "PCA, circle", "auto-encoder, circle"),
    "PCA, circle": ("PCA",),
    "auto-encoder, circle": ("auto-encoder",),
    "VAE": ("PCA", "auto-encoder", "pixels"),
    "VAE, longer": ("VAE, circle",),
    "PCA, longer": ("PCA, circle", "VAE, circle"),
    "auto-encoder, longer": ("auto-encoder, circle", "VAE, circle"),
    "ten stored": ("VAE, circle", "VAE, longer"),
    "one stored": ("VAE, circle",),
}

LEFT_OVER = ("mirrored", "upside down", "letters", "unseen 4")  # not a ruler's rows
RIVAL_SCORES = (  # by the codes' density, and what its area is held against
    ("PCA, density", "left over"),
    ("auto-encoder, density", "left over"),
    ("auto-encoder, density", "auto-encoder, squared error"),
    ("auto-encoder, density", "VAE, squared error"),
    ("auto-encoder, density", "VAE, density"),
    ("auto-encoder, error and density", "VAE, squared error"),
    ("auto-encoder, error and density", "left over"),
    ("VAE, error and density", "VAE, squared error"),
    ("VAE, error and density", "auto-encoder, density"),
    ("VAE, error and density", "auto-encoder, error and density"),
    ("VAE, error and density", "left over"),
)


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


def thousands() -> list[dict]:
    """The hole in more thousands of test digits: a shipped VAE, and stored digits.

    A row for each thousand: the squared errors, and by how much the stored digits are
    ahead of the VAE, image by image. The notebook has the first thousand.
    """
    model = load_pretrained("mnist-20d").requires_grad_(False)
    known, seen = load_mnist("train").images, torch.arange(784) < 392
    test, results = load_mnist("test").images, []
    for first in THOUSANDS:
        x = test[first : first + 1000]
        set_seed(0)
        start = nb().code_of(model, torch.where(seen, x, known.mean(0)))
        of_half = partial(nb().seen_log_prob, x, seen=seen)
        q = nb().fit_posterior(model.decode, of_half, start, nb().standard(20))
        draws = (model.mean_image(reparameterize(*q)) for _ in range(50))
        images = {"mnist-20d": sum(draws) / 50}
        images["ten neighbours"] = nb().like_ten(x, seen, known)
        images["tuned neighbours"] = nb().like_near(x, seen, known, 30, 4.0)
        errors = {k: (v - x)[:, ~seen].square().sum(1) for k, v in images.items()}
        found = {"mean": {k: nb().summary(v) for k, v in errors.items()}}
        of_vae = errors.pop("mnist-20d")
        found["ahead"] = {k: nb().summary(of_vae - v) for k, v in errors.items()}
        results.append(rounded({"run": "thousands", "first": first} | found))
        print("thousands", results[-1], flush=True)
    return results


def more_pairs() -> list[dict]:
    """Half way between ten times as many test digits, a row for each seed.

    The last row is the shipped model's, one run that was trained for much longer.
    """
    train, test = load_mnist("train"), load_mnist("test").images
    known = train.images[:20_000], train.labels[:20_000]
    pairs = test[: 2 * N_PAIRS].unflatten(0, (2, N_PAIRS))
    results, shared = [], {"test images": nb().near_known(pairs[0], *known)}
    for seed in SEEDS:
        models = nb().all_three(train.images[:-10_000], seed, epochs=5)
        images = nb().half_way(models, pairs)
        for name, image in nb().circles(models, pairs).items():
            images[f"{name}, circle"] = image
        found = {
            k: nb().near_known(v, *known) for k, v in images.items() if k not in shared
        }
        shared |= {k: v for k, v in found.items() if k[:3] in ("pix", "PCA")}
        results.append({"run": "more pairs", "seed": seed} | compared(shared | found))
        print("more pairs", results[-1], flush=True)
    model = load_pretrained("mnist-20d").requires_grad_(False)
    a, b = (nb().code_of(model, x) for x in pairs)
    codes = {"VAE": (a + b) / 2, "VAE, circle": nb().great_circle(a, b, 0.5)}
    found = {k: nb().near_known(model.mean_image(z), *known) for k, z in codes.items()}
    last = {"run": "more pairs, mnist-20d"} | compared(shared | found)
    return rounded([*results, last])


def more_middles() -> list[dict]:
    """Two rivals of the circles: longer codes, and stored digits; a row for each seed.

    How much longer is chosen for each model, on pairs of digits that it has not seen.
    The stored digits are none of those that judge. Beside the shares stand how long the
    codes are, and the squared distances of the pictures to both ends.
    """
    train, test = load_mnist("train"), load_mnist("test").images
    known = train.images[:20_000], train.labels[:20_000]
    stored, held_out = train.images[20_000:-10_000], train.images[-10_000:]
    pairs = test[: 2 * N_PAIRS].unflatten(0, (2, N_PAIRS))
    choosing = held_out[: 2 * N_CHOOSING].unflatten(0, (2, N_CHOOSING))
    looked_up = {"ten stored": near_average(pairs, stored, 10)}
    looked_up["one stored"] = near_average(pairs, stored, 1)
    results = []
    for seed in SEEDS:
        models = nb().all_three(train.images[:-10_000], seed, epochs=5)
        row = {"run": "more middles", "seed": seed}
        row |= {"tried": {}, "chosen": {}, "length": {}}
        images = dict(looked_up)
        for name, model in models.items():
            tried = row["tried"][name] = shares_of_longer(model, choosing, known)
            chosen = row["chosen"][name] = max(tried, key=lambda f: tried[f][0])
            a, b = (nb().code_of(model, x) for x in pairs)
            codes = {"circle": nb().great_circle(a, b, 0.5)}
            codes["longer"] = float(chosen) * (a + b) / 2
            for way, z in codes.items():
                images[f"{name}, {way}"] = nb().image_of(model, z)
            lengths = {"end": a, "line": (a + b) / 2, **codes}
            row["length"][name] = {
                way: float(z.norm(dim=1).mean()) for way, z in lengths.items()
            }
        row |= compared({k: nb().near_known(v, *known) for k, v in images.items()})
        row["to the ends"] = {
            k: [nb().summary((v - x).square().sum(1)) for x in pairs]
            for k, v in images.items()
        }
        results.append(rounded(row))
        print("more middles", results[-1], flush=True)
    return results


def near_average(pairs: Tensor, stored: Tensor, k: int) -> Tensor:
    """The mean of the k stored images nearest to the plain average of each pair."""
    near = torch.cdist(pairs.mean(0), stored).topk(k, largest=False).indices
    return stored[near].mean(1)


def shares_of_longer(model, pairs: Tensor, known: tuple) -> dict:
    """By factor, the share of one kind where the middle of a line is so much longer."""
    a, b = (nb().code_of(model, x) for x in pairs)
    images = {str(f): nb().image_of(model, f * (a + b) / 2) for f in STRETCHES}
    return {f: nb().summary(nb().near_known(x, *known)[1]) for f, x in images.items()}


def compared(middles: dict) -> dict:
    """Summaries of distances and shares, and differences of shares pair by pair."""
    shares = {name: share for name, (_, share) in middles.items()}
    differences = {
        f"{one} - {other}": nb().summary(shares[one] - shares[other])
        for one, others in MIDDLES.items()
        for other in others
        if {one, other} <= set(shares)
    }
    means = {k: [nb().summary(v) for v in parts] for k, parts in middles.items()}
    return {"mean": means, "difference": differences}


def left_overs() -> list[dict]:
    """What a local regression leaves of an image as a score, against squared errors.

    A row for each seed of the models. The areas under the curve, by the noise for which
    the regression was chosen, need no seed, and are the same in each row.
    """
    learned, sets = load_mnist("train").images[:-10_000], odd_sets()
    chosen, scores = load_record("rivals")["chosen"], {}
    for s in ("0.5", "1.0"):
        for name, (known, *images) in sets.items():
            scores[s, name] = [nb().left_over(x, known, *chosen[s]) for x in images]
    found = {joined(key): nb().auc(*both) for key, both in scores.items()}
    results = []
    for seed in SEEDS:
        models = {"": nb().all_three(learned, seed, epochs=5)}
        models["unseen 4"] = nb().all_three(sets["unseen 4"][0], seed, epochs=5)
        ahead = {}
        for name, (_, *images) in sets.items():
            asked = models.get(name, models[""])
            for model in ("auto-encoder", "VAE"):
                if name != "unseen 1":  # there the ink is ahead of all
                    errors = [nb().squared_error(asked[model], x) for x in images]
                    lead = ahead_by(scores["0.5", name], errors)
                    ahead[f"{name}, {model}"] = lead
        row = {"run": "left over", "seed": seed, "area": found, "ahead": ahead}
        results.append(rounded(row))
        print("left over", results[-1], flush=True)
    return results


@cache
def odd_sets() -> dict[str, tuple[Tensor, ...]]:
    """By what is odd among digits: images that are known, normal ones, odd ones."""
    train, test = load_mnist("train"), load_mnist("test")
    learned, labels = train.images[:-10_000], train.labels[:-10_000]
    sets = {}
    for kind in UNSEEN["digits"]:
        parts = (
            test.images[is_odd] for is_odd in (test.labels != kind, test.labels == kind)
        )
        known = learned[labels != kind][:20_000]
        sets[f"unseen {kind}"] = known, *(part[:N_NORMAL] for part in parts)
    for first in BLOCKS:
        normal = test.images[first : first + N_NORMAL]
        for kind, odd in (nb().changed(normal) | {"letters": nb().letters()}).items():
            sets[f"{kind}, from {first}"] = learned, normal, odd
    return sets


def densities() -> list[dict]:
    """The density of a model's codes as a score, alone and with its squared error.

    A row for each seed. A mixture of Gaussians is fitted to the codes of 20,000 digits
    that the model has learned from; of ten and fifty Gaussians it is fifty, which
    digits that were kept aside prefer, for each model: no anomaly is asked.
    """
    results = []
    for seed in SEEDS:
        row: dict = {"run": "densities", "seed": seed}
        for kind in (None, *UNSEEN["digits"]):
            for part, found in of_codes(kind, seed).items():
                row[part] = row.get(part, {}) | found
        results.append(rounded(row))
        print("densities", results[-1], flush=True)
    return results


def of_codes(kind: int | None, seed: int) -> dict:
    """Areas and leads of what the densities say, one kind of digit left out or none."""
    learned, kept, sets = without(kind)
    models, fitted = nb().all_three(learned, seed, epochs=5), {}
    found: dict = {"held out": {}, "area": {}, "ahead": {}}
    for name, model in models.items():
        codes = nb().code_of(model, learned[:20_000])
        fitted[name] = density_of(name, kind, codes, 50)
        if kind is None:
            tried = {"10": density_of(name, kind, codes, 10), "50": fitted[name]}
            found["held out"][name] = {
                n: nb().summary(-nb().unlikely(model, fit, kept))
                for n, fit in tried.items()
            }
    for what, (_, *images) in sets.items():
        scores: dict[str, list[Tensor]] = {}
        for name, model in models.items():
            given = model, fitted[name]
            scores |= {
                f"{name}, squared error": [
                    nb().squared_error(model, x) for x in images
                ],
                f"{name}, density": [nb().unlikely(*given, x) for x in images],
                f"{name}, error and density": [
                    nb().error_and_density(*given, x, kept) for x in images
                ],
            }
        if what.startswith(LEFT_OVER):
            scores["left over"] = left_by(what)
        found["area"][what] = {k: nb().auc(*both) for k, both in scores.items()}
        found["ahead"][what] = {
            f"{one} - {other}": ahead_by(scores[one], scores[other])
            for one, other in RIVAL_SCORES
            if other in scores
        }
    return found


def without(kind: int | None) -> tuple[Tensor, Tensor, dict]:
    """What is learned, what is kept aside, and what is judged, without one kind."""
    train, test, sets = load_mnist("train"), load_mnist("test"), odd_sets()
    kept, labels = train.images[-10_000:], train.labels[-10_000:]
    if kind is not None:
        what = f"unseen {kind}"
        return sets[what][0], kept[labels != kind][:1000], {what: sets[what]}
    learned = train.images[:-10_000]
    animals = learned, test.images[:N_NORMAL], load_animals("test").images[:N_NORMAL]
    sets = {what: images for what, images in sets.items() if "unseen" not in what}
    return learned, kept[:1000], sets | {"animals, from 0": animals}


PCA_DENSITIES: dict = {}  # PCA has no seed, and is fitted once


def density_of(name: str, kind: int | None, codes: Tensor, n: int):
    """A mixture of n Gaussians, as the notebook fits it."""
    if name != "PCA":
        return nb().density(codes, n)
    if (kind, n) not in PCA_DENSITIES:
        PCA_DENSITIES[kind, n] = nb().density(codes, n)
    return PCA_DENSITIES[kind, n]


@cache
def left_by(what: str) -> list[Tensor]:
    """What stored digits leave over of the normal images and of the odd ones."""
    known, *images = odd_sets()[what]
    near = load_record("rivals")["chosen"]["0.5"]
    return [nb().left_over(x, known, *near) for x in images]


def ahead_by(scores: list[Tensor], others: list[Tensor]) -> tuple[float, float]:
    """By how much the area of one score is the larger, and its standard error.

    Each score is given for the same normal images and for the same odd ones.
    """
    won = [
        (odd[:, None] > normal).float() + 0.5 * (odd[:, None] == normal).float()
        for normal, odd in (scores, others)
    ]
    lead = won[0] - won[1]  # (M, N)
    of_odd, of_normal = (lead.mean(d).var() / lead.shape[1 - d] for d in (1, 0))
    return float(lead.mean()), math.sqrt(of_odd + of_normal)


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
