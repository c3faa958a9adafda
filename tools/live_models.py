"""What the live figures of the pages know of mnist-2d and of an auto-encoder like it.

    python -m tools.live_models             from the shipped model
    python -m tools.live_models --train     from an auto-encoder, trained in six minutes

Into book/_static/live go both of its networks, and mnist-2d-digits.js with an object::

    unit      of the codes, which are little-endian int16 in base64
    labels    a character for each of 2,000 test digits
    codes     their mean codes mu, (2000, 2) row by row
    examples  twenty of all test digits, two a class: labels, codes, and pixels, bytes
              from 0 to 255 in base64, (20, 784)

or, with --train, the decoder of an auto-encoder with the layers and the recipe of that
model, and plane-autoencoder-digits.js with unit, codes and examples: its codes of the
same digits in the same order, the examples' alone.
"""

import argparse
import base64
import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from tools.book import STATIC
from vae_lib.autoencoder import AutoEncoder
from vae_lib.checkpoints import PRETRAINED, load_pretrained, write_atomically
from vae_lib.data import load_mnist
from vae_lib.export import PARTS, as_script, export_network
from vae_lib.training import set_seed, train

FOLDER = STATIC / "live"
NAME, TWIN = "mnist-2d", "plane-autoencoder"
EVERY = 5  # so many test digits are passed for one that is drawn
UNIT = 1 / 4000  # int16 then reaches to 8 and is finer than a screen
WIDE_UNIT = 1 / 100  # as far as 327: no prior holds an auto-encoder's codes together
# Chosen by eye: the decoder tells them again, and two of a class differ.
EXAMPLES = [10, 69, 5, 29, 1, 35, 30, 32, 6, 42, 23, 59, 21, 22, 17, 34, 84, 128, 9, 16]


def make(folder: Path) -> None:
    """Write the three scripts into folder, in place of those that are there."""
    model = load_pretrained(NAME)
    for part in PARTS:
        path = folder / f"{NAME}-{part}.js"
        path.unlink(missing_ok=True)
        export_network(model, path, part=part, dtype="float16")
    test = load_mnist("test")
    with torch.no_grad():
        mu, _ = model.encode(test.images)
    some = slice(None, None, EVERY)
    examples = torch.tensor(EXAMPLES)
    content = {"unit": UNIT} | describe(mu[some], test.labels[some])
    content["examples"] = describe(mu[examples], test.labels[examples])
    pixels = (255 * test.images[examples]).round().to(torch.uint8)
    content["examples"]["pixels"] = to_base64(pixels)
    path = folder / f"{NAME}-digits.js"
    write_atomically(path, as_script(path, json.dumps(content)).encode())


def make_twin(folder: Path, model: AutoEncoder) -> None:
    """Write the two scripts of this auto-encoder into folder."""
    path = folder / f"{TWIN}-decoder.js"
    path.unlink(missing_ok=True)
    export_network(model, path, dtype="float16")
    with torch.no_grad():
        mu, _ = model.encode(load_mnist("test").images)
    codes = (mu / WIDE_UNIT).round().to(torch.int16)
    content = {"unit": WIDE_UNIT, "codes": to_base64(codes[::EVERY])}
    content["examples"] = to_base64(codes[torch.tensor(EXAMPLES)])
    path = folder / f"{TWIN}-digits.js"
    write_atomically(path, as_script(path, json.dumps(content)).encode())


def trained_twin() -> AutoEncoder:
    """The auto-encoder with the layers of the shipped model, trained by its recipe."""
    preset, images = PRETRAINED[NAME], load_mnist("train").images
    set_seed(0)
    model = AutoEncoder.from_data(preset.config, images)
    train(model, images, preset.recipe)
    return model.cpu()


def describe(mu: Tensor, labels: Tensor) -> dict[str, str]:
    """Labels as characters and codes in whole units."""
    codes = (mu / UNIT).round().to(torch.int16)
    return {"labels": "".join(map(str, labels.tolist())), "codes": to_base64(codes)}


def to_base64(tensor: Tensor) -> str:
    """The integers row by row, little-endian."""
    array = tensor.numpy()
    return base64.b64encode(
        array.astype(array.dtype.newbyteorder("<")).tobytes()
    ).decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", action="store_true", help="an auto-encoder anew")
    if parser.parse_args().train:
        make_twin(FOLDER, trained_twin())
    else:
        make(FOLDER)


if __name__ == "__main__":
    sys.exit(main())
