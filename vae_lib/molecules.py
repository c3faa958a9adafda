"""Small molecules of QM9 as strings, bundled with the library, with five properties.

A molecule is a row of tokens, the places in TOKENS of the letters of its SMILES string;
token 0 ends the string and fills the rest of the row. The gzipped table lies in the
folder qm9 beside this module. Source: the package qm9pack 1.0.3, see LICENSE-CONTENT.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_lib.bundled import read_bundled
from vae_lib.domains import check_finite_tensor, one_of, require
from vae_lib.guards import pick_device
from vae_lib.tokens import END

TOKENS = ("", *"C O N F c n o".split(), "[nH]", *"- = # ( ) 1 2 3 4 5".split())
LENGTH = 23  # tokens of a row: the longest string has 22, and one ends it
PROPERTIES = ("gap", "dipole", "polarizability", "logp", "tpsa")
# Of each property over the training set, in its units.
MEANS = (6.869315, 2.640314, 75.29949, 0.3445547, 36.21180)
DEVIATIONS = (1.274441, 1.398603, 8.149807, 0.9439179, 20.47485)
N_TRAIN = 100_000
FILE = Path(__file__).parent / "qm9" / "qm9.csv.gz"
SHA256 = "e49eef50e6209b78479cd3e32124c984d168aa3bd6431fa35790868d8bc85636"
AT_MOST = 7_000_000  # bytes; extracted it has 6,274,671

TOKEN = re.compile("|".join(map(re.escape, TOKENS[1:])))
PLACES = {token: place for place, token in enumerate(TOKENS)}


class MoleculeSet(NamedTuple):
    """Molecules and what is known of them, in the same order.

    tokens (N, LENGTH) int64, places in TOKENS; properties (N, 5) float32, in the order
    of PROPERTIES: the gap between the highest occupied and the lowest free orbital
    (eV), the dipole moment (debye) and the polarizability (bohr^3), all three from
    density functional theory; the logarithm of the partition coefficient between
    octanol and water by Crippen's rule, and the polar surface (square angstrom).
    """

    tokens: Tensor
    properties: Tensor


def load_molecules(split: str = "train", *, device: str = "cpu") -> MoleculeSet:
    """The 100,000 training or 30,165 test molecules, from the library itself.

    Returns a MoleculeSet on the device. Raises ValueError if split is neither "train"
    nor "test" or there is no such device, and OSError if the file is missing or
    damaged.

    They are the molecules of QM9 that the package holds and that are written without
    charged atoms (as a whole all are neutral), each once: small ones with up to nine
    atoms of carbon, nitrogen, oxygen and fluorine, hydrogen apart. In the order of the
    sha256 of their strings, as good as chance and the same everywhere, the first
    100,000 are the training set.
    """
    one_of("split", split, ("train", "test"))
    on = pick_device(device)
    _, *lines = read_bundled(FILE, SHA256, at_most=AT_MOST).decode("ascii").split()
    lines.sort(key=_digest)
    chosen = lines[:N_TRAIN] if split == "train" else lines[N_TRAIN:]
    rows = [line.split(",") for line in chosen]
    numbers = np.array([row[1:] for row in rows], dtype=np.float32)
    tokens = read_smiles([row[0] for row in rows])
    return MoleculeSet(tokens.to(on), torch.from_numpy(numbers).to(on))


def standardized(properties: Tensor) -> Tensor:
    """Properties (N, 5), in the order and the units of a MoleculeSet, without units.

    Each has mean 0 and standard deviation 1 over the training set; the test set's are
    told by the same numbers: y is MEANS + DEVIATIONS * standardized(y). Raises
    ValueError unless they are finite floats (N, 5).
    """
    expected = f"finite properties (N, {len(PROPERTIES)})"
    check_finite_tensor(expected, properties)
    fits = properties.dim() == 2 and properties.shape[1] == len(PROPERTIES)
    require(fits, expected, properties)
    means, deviations = map(properties.new_tensor, (MEANS, DEVIATIONS))
    return (properties - means) / deviations


def _digest(line: str) -> bytes:
    """What sorts a line of the table: the sha256 of its string."""
    return hashlib.sha256(line.partition(",")[0].encode()).digest()


def read_smiles(strings: Iterable[str]) -> Tensor:
    """The tokens (N, LENGTH) int64 of SMILES strings.

    Raises ValueError for a string that is empty, longer than 22 tokens, or holds what
    no molecule of QM9 does. Whether a string is a molecule is not asked: for that see
    RDKit.
    """
    require(not isinstance(strings, str | bytes), "a list of SMILES strings", strings)
    rows = [_places(string) for string in strings]
    content = b"".join(bytes(row).ljust(LENGTH, b"\0") for row in rows)
    # The buffer is copied: torch may write to what it holds.
    tokens = np.frombuffer(content, dtype=np.uint8).reshape(-1, LENGTH)
    return torch.from_numpy(tokens.astype(np.int64))


def _places(string: str) -> list[int]:
    """The places of the tokens of one string."""
    known = f"a SMILES string of the tokens {' '.join(TOKENS[1:])}"
    require(isinstance(string, str) and string != "", known, string)
    found = TOKEN.findall(string)
    require("".join(found) == string, known, string)
    require(len(found) < LENGTH, f"at most {LENGTH - 1} tokens", string)
    return [PLACES[token] for token in found]


def write_smiles(tokens: Tensor) -> list[str]:
    """The strings of rows of tokens (N, L): what stands before the first end token.

    Raises ValueError if tokens is no matrix of whole numbers, places in TOKENS.
    """
    expected = f"tokens (N, L), whole numbers from 0 to {len(TOKENS) - 1}"
    whole = isinstance(tokens, Tensor) and not tokens.is_floating_point()
    whole = whole and not (tokens.is_complex() or tokens.is_meta)
    require(whole and tokens.dim() == 2 and tokens.shape[1] > 0, expected, tokens)
    rows = tokens.tolist()
    known = range(len(TOKENS))
    odd = [place for row in rows for place in row if place not in known]
    require(not odd, expected, odd[:1])
    return ["".join(TOKENS[place] for place in _before_the_end(row)) for row in rows]


def _before_the_end(row: list[int]) -> list[int]:
    return row[: row.index(END)] if END in row else row
