"""The study "molecule-search": what codes of molecules know, and what is found by them.

Two VAEs of strings are trained by the same steps, one on strings alone and one on
strings and their gaps. Each of them, and rivals that need no code, then proposes
molecules: the table of QM9 says which of them it has, and what their properties are.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from typing import NamedTuple

import selfies
import torch
import torch.nn.functional as F
from rdkit import Chem
from rdkit.Chem.Crippen import MolLogP
from torch import Tensor

from tools.records import molecules
from tools.records.measures import RUNS, SEEDS, kl_per_dimension
from tools.records.molecules import canonical, census, in_smiles, smiles
from vae_lib.checkpoints import load, save
from vae_lib.distributions import reparameterize
from vae_lib.evaluation import evaluate_elbo
from vae_lib.molecules import PROPERTIES, TOKENS, load_molecules, read_smiles
from vae_lib.sequences import SequenceVAE
from vae_lib.tokens import END, categorical_log_prob
from vae_lib.training import set_seed, train

# By run: which run of "molecules" it is trained like, and whether it is told the gap.
RUNS_OF = {
    "strings": ("warm-up", False),
    "strings and gap": ("warm-up", True),
    "strings, beta 0.1": ("beta 0.1", False),
    "strings and gap, beta 0.1": ("beta 0.1", True),
}
PROBED = ("gap", "dipole", "logp")
N_BEST = 1000  # training molecules of the lowest gap, near which is searched
N_PROPOSED, N_CANDIDATES = 1000, 10_000
N_TRAINED_ON = 5000  # training molecules of the lowest gap, for a rival
N_WANTED = 304  # of the kept molecules those of the lowest gap: one in a hundred
N_REPEATS = 2  # of each search, with other noise
NOISE = 0.3  # of a code whose neighbours are written
N_WALKS, N_ON_A_WALK = 50, 12
STEPS, STEP = 5, 0.1  # down the gradient of the predicted gap
N_KNOWN, N_CALLS, A_ROUND, N_TOP = 1000, 1000, 100, 50
LED_BY_HEAD = (  # of the model of strings and gaps with a KL warm-up
    "trained on",
    "strings, trained on",
    "near, strings and gap",
    "down, strings and gap",
    "near, strings and gap, beta 0.1",
)
Stream = Iterator[str | None]  # RDKit's spelling of what is proposed; None: no molecule


def run() -> dict:
    """Rows for each kind of model and search, and seed."""
    runs, found, climbed = [], [], []
    for seed in SEEDS:
        models = {name: trained(name, seed) for name in RUNS_OF}
        runs += [{"run": k, "seed": seed} | judged(m) for k, m in models.items()]
        found += [{"seed": seed} | row for row in discovery(seed)]
        climbed += [{"seed": seed} | row for row in climb(seed)]
        print("molecule-search", seed, runs[-4:], flush=True)
    counted = {"tokens": probes(count_tokens), "pairs": probes(count_pairs)}
    written = [in_selfies(seed) for seed in SEEDS]
    parts = {"runs": runs, "counts": counted, "discovery": found}
    return parts | {"goals": climbed, "selfies": written, "mutated": mutation_scores()}


# Two models, and what they know


@cache
def gaps(split: str) -> Tensor:
    """The gaps (N, 1), with mean 0 and spread 1 on the training set."""
    known = load_molecules("train").properties[:, :1]
    mine = load_molecules(split).properties[:, :1]
    return (mine - known.mean()) / known.std()


def trained(name: str, seed: int) -> SequenceVAE:
    """The model of this run, trained now or already."""
    like, told = RUNS_OF[name]
    if not told:
        return molecules.trained(like, seed)
    path = RUNS / "molecules" / f"{name.replace(' ', '-')}-seed{seed}.safetensors"
    if path.exists():
        return load(path)
    _, betas, changes = molecules.MOLECULES[like]
    x, y = load_molecules("train").tokens, gaps("train")
    set_seed(seed)
    model = SequenceVAE(replace(molecules.CONFIG, n_properties=1))
    for beta in betas:
        recipe = replace(molecules.RECIPE, **changes | {"beta": beta, "epochs": 1})
        train(model, x, recipe, labels=y)
    falling = replace(molecules.RECIPE, schedule="cosine", **changes)
    train(model, x, falling, labels=y)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, model, {"rows": model.history.rows, "seed": seed})
    return load(path)


@torch.no_grad()
def judged(model: SequenceVAE) -> dict:
    """The books of a model: its bound on strings, and what it says of properties."""
    x = load_molecules("test").tokens
    row = evaluate_elbo(model, x)._asdict()
    row |= {"kl_per_dimension": kl_per_dimension(model, x)}
    row |= {"probes": probes(lambda tokens: model.encode(tokens)[0])}
    generator = torch.Generator().manual_seed(0)
    z = reparameterize(*model.encode(x), generator=generator)
    other = z[torch.randperm(len(z), generator=generator)]
    row |= {"log_p_x_given_another": log_p_given(model, x, other)}
    if model.head:
        y = gaps("test")
        row |= {"log_p_y": model.head.log_prob(y, z).mean().item()}
        row |= {"noise": model.head.logvar.div(2).exp().item()}
        row |= {"head": r_squared(model.head.mean(z), y)}
    written = model.sample(5000, generator=torch.Generator().manual_seed(0))
    return row | {"walks": walks(model)} | census(in_smiles(written))


def log_p_given(model: SequenceVAE, x: Tensor, z: Tensor) -> float:
    """The mean of log p(x|z)."""
    pairs = zip(x.split(1000), z.split(1000), strict=True)
    parts = [categorical_log_prob(a, model.decode(b, a)) for a, b in pairs]
    return torch.cat(parts).mean().item()


@torch.no_grad()
def walks(model: SequenceVAE) -> dict:
    """What is written on straight lines between the codes of kept molecules."""
    texts, x = smiles("test"), load_molecules("test").tokens
    known = set(smiles("train")) | set(texts)
    mu, t = (
        model.encode(x[: 2 * N_WALKS])[0],
        torch.linspace(0, 1, N_ON_A_WALK)[:, None],
    )
    paths = []
    for n in range(N_WALKS):
        start, end = mu[n], mu[N_WALKS + n]
        paths.append(in_smiles(model.write((1 - t) * start + t * end, greedy=True)))
    steps = [canonical(string) for path in paths for string in path]
    ends = [path[0] == texts[n] for n, path in enumerate(paths)]
    ends += [path[-1] == texts[N_WALKS + n] for n, path in enumerate(paths)]
    return {
        "valid": sum(s is not None for s in steps) / len(steps),
        "of the set": sum(s in known for s in steps) / len(steps),
        "different": sum(len(set(path)) for path in paths) / len(paths),
        "ends": sum(ends) / len(ends),
        "between": [[texts[n], texts[N_WALKS + n]] for n in range(4)],
        "paths": paths[:4],
    }


def count_tokens(tokens: Tensor) -> Tensor:
    """How often each token is in a string, (N, V - 1)."""
    return F.one_hot(tokens, len(TOKENS)).sum(1)[:, 1:].float()


def count_pairs(tokens: Tensor) -> Tensor:
    """How often each pair of neighbours is in a string, its end too, (N, V * V)."""
    pairs = tokens[:, :-1] * len(TOKENS) + tokens[:, 1:]
    counts = torch.zeros(len(tokens), len(TOKENS) ** 2)
    return counts.scatter_add(1, pairs, (tokens[:, :-1] != END).float())


class Linear(NamedTuple):
    """A linear model of standardised features, by least squares with a small ridge."""

    mean: Tensor
    std: Tensor
    weight: Tensor
    offset: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.std @ self.weight + self.offset


def fit(features: Tensor, y: Tensor) -> Linear:
    mean, std = features.mean(0), features.std(0) + 1e-6
    scaled, offset = (features - mean) / std, y.mean(0)
    square = scaled.T @ scaled + torch.eye(scaled.shape[1])
    weight = torch.linalg.solve(square, scaled.T @ (y - offset))
    return Linear(mean, std, weight, offset)


def r_squared(predicted: Tensor, y: Tensor) -> float:
    return (1 - (predicted - y).square().mean() / y.var()).item()


@torch.no_grad()
def probes(features: Callable[[Tensor], Tensor]) -> dict:
    """R^2 on kept molecules of linear models of these features, by property."""
    seen, kept = load_molecules("train"), load_molecules("test")
    which = [PROPERTIES.index(name) for name in PROBED]
    linear = fit(features(seen.tokens), seen.properties[:, which])
    told = linear(features(kept.tokens))
    pairs = zip(told.T, kept.properties[:, which].T, strict=True)
    return {n: r_squared(*pair) for n, pair in zip(PROBED, pairs, strict=True)}


# Proposals


def distinct(stream: Stream, n: int, known: set[str], most: int = 400_000) -> list[str]:
    """The first n different molecules that are not known, of at most so many."""
    found: dict[str, None] = {}
    for string in islice(stream, most):
        if string and string not in known:
            found[string] = None
        if len(found) == n:
            break
    return list(found)


def write_from(model: SequenceVAE, codes: Callable[[], Tensor], generator) -> Stream:
    """What the decoder writes for ever of these codes, drawn token by token."""
    while True:
        yield from map(canonical, in_smiles(model.write(codes(), generator=generator)))


def from_prior(model: SequenceVAE, generator: torch.Generator) -> Stream:
    return write_from(model, lambda: model.prior.sample(1000, generator), generator)


def near(model: SequenceVAE, mu: Tensor, noise: float, generator) -> Stream:
    """Of codes of these, each time with other noise."""

    def codes() -> Tensor:
        return mu + noise * torch.randn(mu.shape, generator=generator)

    return write_from(model, codes, generator)


def downhill(head: Callable[[Tensor], Tensor], mu: Tensor) -> Tensor:
    """Codes after some steps against the gradient of what is predicted."""
    z = mu.clone()
    for _ in range(STEPS):
        z.requires_grad_(True)
        (slope,) = torch.autograd.grad(head(z).sum(), z)
        z = (z - STEP * F.normalize(slope, dim=1)).detach()
    return z


def mutated(strings: list[str], generator: torch.Generator) -> Stream:
    """One SELFIES token of one of these changed, put in or taken out, by chance."""

    def below(n: int) -> int:
        return int(torch.randint(n, (1,), generator=generator))

    letters = alphabet()
    while True:
        tokens = [*selfies.split_selfies(as_selfies(strings[below(len(strings))]))]
        place, new = below(len(tokens)), letters[below(len(letters))]
        kind = below(3)
        tokens[place : place + (kind < 2)] = [new] if kind else []
        yield canonical(selfies.decoder("".join(tokens)))


@cache
def as_selfies(string: str) -> str:
    return selfies.encoder(string)


@cache
def alphabet() -> list[str]:
    """The SELFIES tokens of the training molecules."""
    return sorted(selfies.get_alphabet_from_selfies(map(as_selfies, smiles("train"))))


def chosen(stream: Stream, predict: Callable[[Tensor], Tensor]) -> list[str]:
    """Of many candidates those of which the lowest gap is predicted."""
    candidates = distinct(stream, N_CANDIDATES, set(smiles("train")))
    found = [s for s in candidates if readable(s)]
    order = predict(read_smiles(found)).flatten().argsort()
    return [found[i] for i in order[:N_PROPOSED]]


def readable(string: str) -> bool:
    """Whether its tokens are those of our molecules."""
    try:
        read_smiles([string])
    except ValueError:
        return False
    return True


# Which of the best kept molecules are found


@torch.no_grad()
def discovery(seed: int) -> list[dict]:
    """How many of the kept molecules with the lowest gap are among the proposals."""
    seen, y = load_molecules("train").tokens, gaps("train")
    best = y.flatten().argsort()
    texts = [smiles("train")[i] for i in best[:N_BEST]]
    wanted_like = seen[best[:N_TRAINED_ON]]
    told = {name: trained(name, seed) for name in RUNS_OF}
    codes = {name: model.encode(seen[best[:N_BEST]])[0] for name, model in told.items()}
    streams = {
        "prior": partial(from_prior, told["strings"]),
        "trained on": partial(alone, writer_trained_on(seed, wanted_like)),
        "strings, trained on": partial(from_prior, vae_trained_on(seed, wanted_like)),
        "mutation": partial(mutated, texts),
    }
    for name, model in told.items():
        streams[f"near, {name}"] = partial(near, model, codes[name], NOISE)
        if model.head:
            with torch.enable_grad():
                lower = downhill(model.head.mean, codes[name])
            streams[f"down, {name}"] = partial(near, model, lower, NOISE)
    counted, told_by = by_pairs(seen, y), by_head(told["strings and gap"])
    choices = {
        f"{name}, chosen": (name, counted)
        for name in ("prior", "trained on", "mutation", "near, strings")
    }
    choices |= {f"{name}, chosen by the head": (name, told_by) for name in LED_BY_HEAD}
    rows = []
    for repeat in range(N_REPEATS):
        for name, stream in streams.items():
            generator = torch.Generator().manual_seed(repeat)
            proposed = distinct(stream(generator), N_PROPOSED, set(smiles("train")))
            rows.append({"search": name, "repeat": repeat} | hits(proposed))
        for name, (source, predict) in choices.items():
            generator = torch.Generator().manual_seed(repeat)
            proposed = chosen(streams[source](generator), predict)
            rows.append({"search": name, "repeat": repeat} | hits(proposed))
    return rows


def writer_trained_on(seed: int, x: Tensor) -> SequenceVAE:
    """The network without a code, trained further with these molecules alone."""
    model = molecules.trained("no code", seed)
    set_seed(seed)
    with torch.enable_grad():
        molecules.write_alone(model, x)
    return model


def vae_trained_on(seed: int, x: Tensor) -> SequenceVAE:
    """The VAE of strings, trained further with these molecules alone."""
    model = trained("strings", seed)
    set_seed(seed)
    with torch.enable_grad():
        train(model, x, molecules.RECIPE)
        train(model, x, molecules.RECIPE, schedule="cosine")
    return model


def alone(model: SequenceVAE, generator: torch.Generator) -> Stream:
    """What a network without a code writes."""
    nothing = torch.zeros(1000, model.config.latent_dim)
    return write_from(model, lambda: nothing, generator)


def by_pairs(x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
    """What a linear model of the pairs of tokens says of others."""
    linear = fit(count_pairs(x), y)
    return lambda tokens: linear(count_pairs(tokens))


def by_head(model: SequenceVAE) -> Callable[[Tensor], Tensor]:
    return lambda tokens: model.head.mean(model.encode(tokens)[0])


def hits(proposed: list[str]) -> dict:
    """How many are kept molecules, and how many of these are of the lowest gap."""
    kept, order = smiles("test"), gaps("test").flatten().argsort()
    wanted = {kept[i] for i in order[:N_WANTED]}
    there = set(proposed) & set(kept)
    return {"proposed": len(proposed), "kept": len(there), "best": len(there & wanted)}


# A goal, and calls that are counted


def climb(seed: int) -> list[dict]:
    """What each way of searching reaches in so many calls, for two goals."""
    rows, model = [], trained("strings, beta 0.1", seed)
    for goal, ask in {"logp": logp, "dipole": dipole}.items():
        for way in ("screening", "prior", "mutation", "near", "gradient"):
            values, failed = search(model, ask, way, seed)
            top = sorted(values, reverse=True)
            means = {f"top_{n}": sum(top[:n]) / n for n in (1, 10, 100)}
            row = {"goal": goal, "way": way, "failed": failed / N_CALLS}
            rows.append(row | {"asked": N_CALLS} | means)
    return rows


def logp(string: str) -> float | None:
    """RDKit's logP of a molecule of at most nine atoms, hydrogen apart."""
    molecule = Chem.MolFromSmiles(string)
    return MolLogP(molecule) if molecule.GetNumHeavyAtoms() <= 9 else None


def dipole(string: str) -> float | None:
    """Of the table; None where it has no such molecule, a failed experiment."""
    return table().get(string)


@cache
def table() -> dict[str, float]:
    place, known = PROPERTIES.index("dipole"), {}
    for split in ("train", "test"):
        values = load_molecules(split).properties[:, place].tolist()
        known |= dict(zip(smiles(split), values, strict=True))
    return known


def search(model: SequenceVAE, ask, way: str, seed: int) -> tuple[list[float], int]:
    """The values of all molecules asked, and how many calls failed."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(smiles("train")), generator=generator)
    strings = smiles("train")
    asked = {strings[i]: ask(strings[i]) for i in order[:N_KNOWN]}
    failed = 0
    for _ in range(0, N_CALLS, A_ROUND):
        good = {s: v for s, v in asked.items() if v is not None}
        top = sorted(good, key=good.__getitem__, reverse=True)[:N_TOP]
        stream = proposals(model, way, top, good, generator)
        answers = {s: ask(s) for s in distinct(stream, A_ROUND, set(asked))}
        failed += list(answers.values()).count(None)
        asked |= answers
    return [v for v in asked.values() if v is not None], failed


def proposals(model: SequenceVAE, way: str, top: list, good: dict, generator) -> Stream:
    """What this way of searching proposes next, the best so far being known."""
    if way == "screening":
        everything = smiles("train") + smiles("test")
        order = torch.randperm(len(everything), generator=generator)
        return (everything[i] for i in order)
    if way == "prior":
        return from_prior(model, generator)
    if way == "mutation":
        return mutated(top, generator)
    with torch.no_grad():
        mu = model.encode(read_smiles([s for s in top if readable(s)]))[0]
        if way == "gradient":
            some = [s for s in good if readable(s)]
            codes = model.encode(read_smiles(some))[0]
            y = torch.tensor([good[s] for s in some])[:, None]
    if way == "gradient":
        head = fitted_head(codes, (y - y.mean()) / y.std())
        mu = downhill(lambda z: -head(z), mu)
    return near(model, mu, NOISE, generator)


def fitted_head(codes: Tensor, y: Tensor) -> torch.nn.Module:
    """A small network from codes to a property, trained on what has been asked."""
    torch.manual_seed(0)
    head = torch.nn.Sequential(
        torch.nn.Linear(codes.shape[1], 64), torch.nn.ReLU(), torch.nn.Linear(64, 1)
    )
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        F.mse_loss(head(codes), y).backward()
        optimizer.step()
    return head


# Strings that cannot be wrong, and scores that anybody can have


def in_selfies(seed: int) -> dict:
    """A network without a code on SELFIES strings: log p(x), and what it writes."""
    letters = ["", *alphabet()]
    rows = {split: selfies_rows(split, letters) for split in ("train", "test")}
    length = max(len(row) for part in rows.values() for row in part) + 1
    x = {
        k: torch.tensor([r + [END] * (length - len(r)) for r in part])
        for k, part in rows.items()
    }
    path = RUNS / "molecules" / f"selfies-seed{seed}.safetensors"
    if not path.exists():
        set_seed(seed)
        config = replace(molecules.CONFIG, n_tokens=len(letters), length=length)
        model = SequenceVAE(config)
        molecules.write_alone(model, x["train"])
        save(path, model, {"seed": seed})
    model = load(path)
    log_p = molecules.alone(model, x["test"])
    nothing = torch.zeros(molecules.N_WRITTEN, model.config.latent_dim)
    written = model.write(nothing, generator=torch.Generator().manual_seed(0))
    strings = ["".join(letters[i] for i in row if i) for row in written.tolist()]
    spelt = [canonical(selfies.decoder(string)) for string in strings]
    row = {"seed": seed, "log_p_x": log_p.mean().item(), "n_tokens": len(letters)}
    return row | {"log_p_x_error": molecules.error(log_p)} | census(spelt)


def selfies_rows(split: str, letters: list[str]) -> list[list[int]]:
    places = {letter: place for place, letter in enumerate(letters)}
    strings = map(as_selfies, smiles(split))
    return [[places[t] for t in selfies.split_selfies(s)] for s in strings]


def mutation_scores() -> dict:
    """The usual scores of training molecules with one token changed to a new one."""
    seen = set(smiles("train"))
    stream = mutated(smiles("train"), torch.Generator().manual_seed(0))
    return census([*islice((s for s in stream if s not in seen), 10_000)])
