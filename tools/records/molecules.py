"""The study "molecules": VAEs of strings, their rivals, and what each of them writes.

Each run is trained on the 100,000 training molecules for the same epochs and judged on
the held-out ones. RDKit says which of the strings outside of both are molecules.
"""

import math
from dataclasses import asdict, replace
from functools import cache

import torch
from rdkit import Chem, RDLogger
from torch import Tensor

from tools.records.measures import RUNS, SEEDS, kl_per_dimension, shared
from vae_lib.checkpoints import load, save
from vae_lib.configs import SequenceConfig
from vae_lib.evaluation import active_units, evaluate_elbo, log_likelihood
from vae_lib.molecules import load_molecules, write_smiles
from vae_lib.recipes import Recipe
from vae_lib.sequences import SequenceVAE
from vae_lib.tokens import END, categorical_log_prob
from vae_lib.training import set_seed, train

RDLogger.DisableLog("rdApp.*")
CONFIG = SequenceConfig(latent_dim=16)
RECIPE = Recipe(epochs=2, batch_size=256, lr=4e-3, clip_norm=1.0)
# By run: what changes in the configuration; the weights of the KL in two epochs of a
# constant step size, before two in which it falls; what changes in the recipe.
MOLECULES = {
    "gru": ({}, (1.0, 1.0), {}),
    "parallel": ({"decoder": "parallel"}, (1.0, 1.0), {}),
    "window": ({"decoder": "window"}, (1.0, 1.0), {}),
    "warm-up": ({}, (0.1, 0.5), {}),
    "window, warm-up": ({"decoder": "window"}, (0.1, 0.5), {}),
    "parallel, warm-up": ({"decoder": "parallel"}, (0.1, 0.5), {}),
    "free bits": ({}, (1.0, 1.0), {"free_bits": 0.25}),
    "beta 0.1": ({}, (0.1, 0.1), {"beta": 0.1}),
    "no code": ({}, (), {}),
}
N_JUDGED, N_WEIGHTS = 1000, 100  # log p(x) of so many molecules, by so many weights
N_WRITTEN = 20_000
N_SUMMED, N_DRAWS = 3000, 50  # for the mass of all held-out molecules


def run() -> list[dict]:
    """A row for each run and seed."""
    rows = []
    for seed in SEEDS:
        for name in MOLECULES:
            model = trained(name, seed)
            rows.append({"run": name, "seed": seed} | judged(name, model))
            print("molecules", rows[-1], flush=True)
    return rows


def trained(name: str, seed: int) -> SequenceVAE:
    """The model of this run, trained now or already."""
    path = RUNS / "molecules" / f"{name.replace(' ', '-')}-seed{seed}.safetensors"
    if path.exists():
        return load(path)
    network, betas, changes = MOLECULES[name]
    x = load_molecules("train").tokens
    set_seed(seed)
    model = SequenceVAE(replace(CONFIG, **network))
    falling = replace(RECIPE, schedule="cosine")
    if name == "no code":
        write_alone(model, x)
    else:
        for beta in betas:
            recipe = replace(RECIPE, **changes | {"beta": beta, "epochs": 1})
            train(model, x, recipe)
        train(model, x, replace(falling, **changes))
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = model.history.rows if model.history else []
    save(path, model, {"rows": rows, "seed": seed})
    return load(path)


def write_alone(model: SequenceVAE, x: Tensor) -> None:
    """Train the decoder by the same steps with z = 0, a model without a code."""
    optimizer = torch.optim.Adam(model.parameters())
    nothing = torch.zeros(RECIPE.batch_size, CONFIG.latent_dim)
    for schedule in ("constant", "cosine"):
        recipe = replace(RECIPE, schedule=schedule)
        for epoch in range(recipe.epochs):
            batches = torch.randperm(len(x)).split(recipe.batch_size)
            for k, index in enumerate(batches):
                lr = recipe.step_size(epoch + (k + 1) / len(batches))
                optimizer.param_groups[0]["lr"] = lr
                logits = model.decode(nothing[: len(index)], x[index])
                loss = -categorical_log_prob(x[index], logits).mean()
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
                optimizer.step()


def judged(name: str, model: SequenceVAE) -> dict:
    """What a run is worth: its bound, log p(x), codes, and what it writes."""
    x = load_molecules("test").tokens
    row = {"config": asdict(model.config), **shared(model)}
    if name == "no code":
        log_p = alone(model, x)
        row |= {"elbo": log_p.mean().item(), "kl": 0.0, "active_units": 0}
        weighed, summed = log_p[:N_JUDGED], log_p[:N_SUMMED]
        z = torch.zeros(N_WRITTEN, model.config.latent_dim)
        written = model.write(z, generator=torch.Generator().manual_seed(0))
    else:
        row |= evaluate_elbo(model, x)._asdict()
        row |= {"active_units": active_units(model, x)}
        row |= {"kl_per_dimension": kl_per_dimension(model, x)}
        weighed = log_likelihood(model, x[:N_JUDGED], n_samples=N_WEIGHTS)
        summed = log_likelihood(model, x[:N_SUMMED], n_samples=N_DRAWS)
        written = model.sample(N_WRITTEN, generator=torch.Generator().manual_seed(0))
        row |= {"rebuilt": rebuilt(model, x[:N_JUDGED])}
    row |= {"log_p_x": weighed.mean().item(), "log_p_x_error": error(weighed)}
    mass = summed.double().exp() * len(x)
    row |= {"mass": mass.mean().item(), "mass_error": error(mass)}
    return row | census(in_smiles(written))


@torch.no_grad()
def alone(model: SequenceVAE, x: Tensor) -> Tensor:
    """log p(x) of the decoder that has no code, (N,)."""
    parts = []
    for rows in x.split(1000):
        nothing = torch.zeros(len(rows), model.config.latent_dim)
        parts.append(categorical_log_prob(rows, model.decode(nothing, rows)))
    return torch.cat(parts)


def error(values: Tensor) -> float:
    """The standard error of their mean."""
    return (values.std() / math.sqrt(len(values))).item()


@torch.no_grad()
def rebuilt(model: SequenceVAE, x: Tensor) -> float:
    """The share of the strings that the likeliest tokens of their mean code write."""
    written = model.write(model.encode(x)[0], greedy=True)
    return (written == x).all(1).double().mean().item()


def census(strings: list[str | None]) -> dict:
    """Where strings fall, and the scores that are usually told of them."""
    sets = {part: set(smiles(part)) for part in ("train", "test")}
    kinds, valid = [], []
    for string in strings:
        kind = next((part for part in sets if string in sets[part]), None)
        plain = canonical(string) if kind is None else string
        kind = kind or ("outside" if plain else "invalid")
        if kind == "outside" and (plain in sets["train"] or plain in sets["test"]):
            kind = "spelt otherwise"
        kinds.append(kind)
        valid += [plain] if plain else []
    names = ("train", "test", "spelt otherwise", "outside", "invalid")
    shares = {name: kinds.count(name) / len(strings) for name in names}
    new = [plain for plain in valid if plain not in sets["train"]]
    scores = {
        "valid": len(valid) / len(strings),
        "unique": len(set(valid)) / max(1, len(valid)),
        "novel": len(new) / max(1, len(valid)),
    }
    return {"written": shares, "scores": scores}


@cache
def smiles(split: str) -> list[str]:
    return write_smiles(load_molecules(split).tokens)


def canonical(string: str | None) -> str | None:
    """RDKit's own spelling of a molecule, or None if it is no molecule."""
    molecule = Chem.MolFromSmiles(string) if string else None
    return Chem.MolToSmiles(molecule) if molecule else None


def in_smiles(tokens: Tensor) -> list[str | None]:
    """What was written; None for a row that does not end."""
    ended = (tokens == END).any(1).tolist()
    strings = write_smiles(tokens)
    return [s if done else None for s, done in zip(strings, ended, strict=True)]
