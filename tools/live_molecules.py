"""What the live figure of molecules knows: a VAE with a plane of codes, and drawings.

    python -m tools.live_molecules

The model is trained in four minutes, on strings and gaps, unless _build/runs has it.
Into book/_static/live goes molecules-plane-decoder.js, with an object::

    dtype      of embedding, weight and bias: little-endian "float16", in base64
    tokens     the alphabet; token 0, which is empty, begins and ends a string
    length     places of a row
    embedding  of the tokens, (V, E) row by row
    start      the layer whose tanh, of a code, is the first state
    input      of the last token's embedding and the code, gates r, z, n of a GRU
    hidden     the same of the state: r, z = sigmoid(input + hidden), of the third part
               n = tanh(input + r hidden), and the next state is (1 - z) n + z state
    out        logits of the tokens, of the new state
    gap        mean, spread and noise in eV, and two layers with a ReLU between: the gap
               of a code is mean + spread times what they make of it, up to the noise

where a layer has n_in, n_out, weight (n_out, n_in) row by row and bias (n_out,). And
molecules-plane-codes.js with one::

    unit       of the codes, which are little-endian int16 in base64
    codes      mean codes mu of 2,000 kept molecules, (2000, 2) row by row
    gaps       of these, in hundredths of eV, int16 too
    drawn      some of them, spread over the plane: place among the 2,000, string, bonds
               and letters, which are SVG paths in a box of WIDTH by HEIGHT; letters
               may reach out of it by a twentieth
    written    molecules of either set that the likeliest tokens write somewhere on the
               plane: string, "training" or "kept", bonds and letters
"""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D
from torch import Tensor, nn

from tools.book import BUILD, STATIC
from vae_lib.checkpoints import load, save, write_atomically
from vae_lib.configs import SequenceConfig
from vae_lib.export import as_script, to_base64
from vae_lib.molecules import PROPERTIES, TOKENS, load_molecules, write_smiles
from vae_lib.recipes import Recipe
from vae_lib.sequences import SequenceVAE
from vae_lib.training import set_seed, train

FOLDER = STATIC / "live"
NAME = "molecules-plane"
MODEL = BUILD / "runs" / f"{NAME}.safetensors"
CONFIG = SequenceConfig(latent_dim=2, hidden_dim=96, embedding_dim=16, n_properties=1)
RECIPE = Recipe(epochs=1, batch_size=256, lr=4e-3, clip_norm=1.0)
WARM_UP = (0.1, 0.5)  # weights of the KL in the first epochs
FALLING = replace(RECIPE, epochs=4, schedule="cosine")
GAP = PROPERTIES.index("gap")

N_CODES = 2000  # the first ones, whose order is as good as chance
N_DRAWN = 180
UNIT = 1 / 4000  # int16 then reaches to 8 and is finer than a screen
EDGE, STEP = 3.5, 0.1  # of the grid on which strings are written
WIDTH, HEIGHT = 600, 450  # of a drawing, a fifth of a pixel each
PATH = re.compile(r"<path (?:class='(bond|atom)-.*?' )?d='(.*?)'", re.DOTALL)


def trained() -> SequenceVAE:
    """The model, trained now or already."""
    if not MODEL.exists():
        molecules = load_molecules("train")
        set_seed(0)
        model = SequenceVAE(CONFIG)
        mean, spread = scale()
        data = molecules.tokens, (molecules.properties[:, [GAP]] - mean) / spread
        for beta in WARM_UP:
            learn(model, *data, replace(RECIPE, beta=beta))
        learn(model, *data, FALLING)
        MODEL.parent.mkdir(parents=True, exist_ok=True)
        save(MODEL, model, {"rows": model.history.rows, "seed": 0})
    return load(MODEL)


def learn(model: SequenceVAE, tokens: Tensor, gaps: Tensor, recipe: Recipe) -> None:
    train(model, tokens, recipe, labels=gaps, device="cpu")


def scale() -> tuple[float, float]:
    """Mean and standard deviation of the gap over the training set, in eV."""
    gap = load_molecules("train").properties[:, GAP].double()
    return gap.mean().item(), gap.std().item()


def make(folder: Path, model: SequenceVAE) -> None:
    """Write the two scripts of this model into folder."""
    for part, content in (("decoder", decoder(model)), ("codes", codes(model))):
        path = folder / f"{NAME}-{part}.js"
        write_atomically(path, as_script(path, json.dumps(content)).encode())


def decoder(model: SequenceVAE) -> dict:
    """What writes strings and tells gaps, as the format has it."""
    writer, head, (mean, spread) = model.decoder, model.head, scale()
    gru = writer.gru
    noise = spread * head.logvar.detach().div(2).exp().item()
    return {
        "dtype": "float16",
        "tokens": TOKENS,
        "length": writer.length,
        "embedding": halves(writer.embedding.weight),
        "start": linear(writer.start),
        "input": layer(gru.weight_ih_l0, gru.bias_ih_l0),
        "hidden": layer(gru.weight_hh_l0, gru.bias_hh_l0),
        "out": linear(writer.out),
        "gap": {
            "mean": mean,
            "spread": spread,
            "noise": noise,
            "layers": [linear(head.mean[0]), linear(head.mean[2])],
        },
    }


def linear(module: nn.Linear) -> dict:
    return layer(module.weight, module.bias)


def layer(weight: Tensor, bias: Tensor) -> dict:
    n_out, n_in = weight.shape
    numbers = {"weight": halves(weight), "bias": halves(bias)}
    return {"n_in": n_in, "n_out": n_out} | numbers


def halves(tensor: Tensor) -> str:
    return to_base64(tensor.detach().numpy(), "float16")


@torch.no_grad()
def codes(model: SequenceVAE) -> dict:
    """Codes, gaps and drawings, as the format has them."""
    kept = load_molecules("test")
    tokens, properties = (part[:N_CODES] for part in kept)
    places = (model.encode(tokens)[0] / UNIT).round()
    chosen, strings = spread_out(places), write_smiles(tokens)
    return {
        "unit": UNIT,
        "codes": to_base64(places.numpy(), "int16"),
        "gaps": to_base64((100 * properties[:, GAP]).round().numpy(), "int16"),
        "drawn": [[i, strings[i], *drawing(strings[i])] for i in chosen],
        "written": [
            [string, split, *drawing(string)]
            for string, split in written(model, kept.tokens)
        ],
    }


def spread_out(places: Tensor) -> list[int]:
    """N_DRAWN of these codes (N, 2): the innermost, then ever the one farthest off."""
    chosen = [int(places.norm(dim=1).argmin())]
    distance = (places - places[chosen[0]]).norm(dim=1)
    while len(chosen) < N_DRAWN:
        chosen.append(int(distance.argmax()))
        distance = distance.minimum((places - places[chosen[-1]]).norm(dim=1))
    return chosen


def written(model: SequenceVAE, kept: Tensor) -> list[tuple[str, str]]:
    """What is written on a grid and known, and of which set, in alphabetical order."""
    ticks = torch.from_numpy(np.arange(-EDGE, EDGE + STEP / 2, STEP)).float()
    grid = torch.cartesian_prod(ticks, ticks)
    grid = grid[grid.norm(dim=1) <= EDGE]
    strings = sorted(set(write_smiles(model.write(grid, greedy=True))))
    sets = {
        "training": set(write_smiles(load_molecules("train").tokens)),
        "kept": set(write_smiles(kept)),
    }
    return [(s, split) for s in strings for split in sets if s in sets[split]]


def drawing(smiles: str) -> tuple[str, str]:
    """Paths of a molecule's bonds, which are lines, and of its letters, to be filled.

    Corners, which RDKit draws once more, are left to round ends of the lines.
    """
    canvas = rdMolDraw2D.MolDraw2DSVG(WIDTH, HEIGHT)
    options = canvas.drawOptions()
    options.fixedBondLength, options.fixedFontSize, options.padding = 125, 75, 0.04
    canvas.DrawMolecule(Chem.MolFromSmiles(smiles))
    canvas.FinishDrawing()
    paths = {"bond": "", "atom": ""}
    for kind, path in PATH.findall(canvas.GetDrawingText()):
        if kind:
            paths[kind] += relative(path)
    return paths["bond"], paths["atom"]


def relative(path: str) -> str:
    """A path of M, L and Q in whole numbers, each command from where the last ended."""
    here, commands = np.zeros(2, dtype=int), []
    for letter, rest in re.findall(r"([MLQ])([^MLQ]*)", path):
        numbers = [round(float(number)) for number in re.findall(r"[\d.-]+", rest)]
        points = np.array(numbers).reshape(-1, 2)
        steps = (points - here).ravel().tolist()
        first, here = letter == "M" and not commands, points[-1]
        commands.append(("M" if first else letter.lower()) + " ".join(map(str, steps)))
    return "".join(commands).replace(" -", "-")


def main() -> None:
    make(FOLDER, trained())


if __name__ == "__main__":
    sys.exit(main())
