"""The bundled molecules: strings and tokens, and a split that no string crosses."""

import gzip
import hashlib
import shutil

import pytest
import torch

from vae_lib import molecules
from vae_lib.molecules import (
    DEVIATIONS,
    LENGTH,
    MEANS,
    N_TRAIN,
    PROPERTIES,
    TOKENS,
    MoleculeSet,
    load_molecules,
    read_smiles,
    standardized,
    write_smiles,
)
from vae_lib.tokens import END


@pytest.fixture(scope="module")
def splits(without_sockets) -> dict[str, MoleculeSet]:
    """Both splits, read with every socket forbidden."""
    with without_sockets():
        return {split: load_molecules(split) for split in ("train", "test")}


@pytest.fixture(scope="module")
def strings(splits) -> dict[str, list[str]]:
    return {split: write_smiles(found.tokens) for split, found in splits.items()}


@pytest.fixture(scope="module")
def table() -> dict[str, list[float]]:
    """Of each string in the file, its properties as they are written there."""
    text = gzip.decompress(molecules.FILE.read_bytes()).decode()
    rows = (line.split(",") for line in text.splitlines()[1:])
    return {string: [float(number) for number in numbers] for string, *numbers in rows}


def sha256(string: str) -> str:
    return hashlib.sha256(string.encode()).hexdigest()


@pytest.mark.parametrize("split, n", [("train", 100_000), ("test", 30_165)])
def test_they_are_rows_of_tokens_that_end(splits, split, n):
    tokens, properties = splits[split]
    assert tokens.shape == (n, LENGTH) and tokens.dtype == torch.int64
    assert (
        properties.shape == (n, len(PROPERTIES)) and properties.dtype == torch.float32
    )
    assert tokens.min() == END and tokens.max() == len(TOKENS) - 1
    ended = (tokens == END).cumsum(1) > 0
    assert ended[:, -1].all() and not ended[:, 0].any()
    assert (tokens[ended] == END).all() and properties.isfinite().all()


def test_the_splits_hold_all_of_the_file_each_once(splits, strings, table):
    found = [*strings["train"], *strings["test"]]
    assert len(found) == len(set(found)) == 130_165 and set(found) == table.keys()
    in_file = torch.tensor([table[string] for string in found])
    loaded = torch.cat([splits["train"].properties, splits["test"].properties])
    torch.testing.assert_close(loaded, in_file, rtol=1e-6, atol=0)


def test_the_split_is_that_of_the_sha256_of_a_string(strings):
    train, test = ([*map(sha256, strings[split])] for split in ("train", "test"))
    assert len(train) == N_TRAIN and train == sorted(train) and test == sorted(test)
    assert train[-1] < test[0]


def test_brackets_and_rings_close_and_no_molecule_has_more_than_nine_atoms(strings):
    for string in (*strings["train"], *strings["test"]):
        depth = 0
        for letter in string:
            depth += (letter == "(") - (letter == ")")
            assert depth >= 0, string
        assert depth == 0 and all(string.count(n) % 2 == 0 for n in "12345"), string
        assert 1 <= sum(map(string.count, "CONFcno")) <= 9, string


def test_the_table_knows_what_chemists_measure(table):
    """Dipoles in debye: methane has none, water 1.85, ammonia 1.47 (in air)."""
    gap, dipole = (PROPERTIES.index(name) for name in ("gap", "dipole"))
    assert table["C"][dipole] == 0
    assert table["O"][dipole] == pytest.approx(1.85, abs=0.02)
    assert table["N"][dipole] == pytest.approx(1.47, abs=0.2)
    assert table["c1ccccc1"][gap] < table["C1CCCCC1"][gap] < table["C"][gap]


def test_both_splits_are_alike(splits):
    """As chance has it: the means of each property within four standard errors."""
    train, test = (splits[split].properties.double() for split in ("train", "test"))
    error = (train.var(0) / len(train) + test.var(0) / len(test)).sqrt()
    assert ((train.mean(0) - test.mean(0)).abs() < 4 * error).all()


def test_standardized_the_training_set_has_mean_0_and_deviation_1(splits):
    found = standardized(splits["train"].properties).double()
    assert found.mean(0).abs().max() < 1e-5 and (found.std(0) - 1).abs().max() < 1e-5


def test_the_test_set_is_told_by_the_numbers_of_the_training_set(splits):
    """However few of its molecules are asked for: their units come back."""
    for rows in (slice(None), slice(1), slice(7, 9)):
        y = splits["test"].properties[rows]
        back = torch.tensor(MEANS) + torch.tensor(DEVIATIONS) * standardized(y)
        torch.testing.assert_close(back, y, rtol=1e-5, atol=1e-4)
    assert standardized(y).dtype == y.dtype
    assert standardized(y.double()).dtype == torch.float64


def test_what_is_written_is_read_again():
    tokens = torch.randint(1, len(TOKENS), (500, LENGTH))
    lengths = torch.randint(1, LENGTH, (500, 1))
    tokens[torch.arange(LENGTH) >= lengths] = END
    assert torch.equal(read_smiles(write_smiles(tokens)), tokens)


def test_what_stands_behind_the_end_is_not_written():
    c, o = TOKENS.index("C"), TOKENS.index("O")
    assert write_smiles(torch.tensor([[c, END, o], [END, c, o], [c, o, c]])) == [
        *("C", "", "COC"),
    ]


def test_a_bracket_is_one_token_and_what_looks_like_it_none(refuses):
    (row,) = read_smiles(["c1cc[nH]c1"])
    assert (row != END).sum() == 7
    for odd in ("[nH", "nH", "[n]", "Cl", "C C", "c1cc[NH]c1", "C\n"):
        with refuses(ValueError, "tokens C O N F", repr(odd)):
            read_smiles(["C", odd])


def test_at_most_22_tokens(refuses):
    assert (read_smiles(["C" * 22]) != END).sum() == 22
    with refuses(ValueError, "at most 22 tokens"):
        read_smiles(["C" * 23])


@pytest.mark.parametrize("damage", ["flip", "truncate", "missing"])
def test_a_damaged_file_is_refused_by_name(damage, tmp_path, monkeypatch, refuses):
    path = tmp_path / molecules.FILE.name
    shutil.copy(molecules.FILE, path)
    monkeypatch.setattr(molecules, "FILE", path)
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    path.unlink()
    if damage != "missing":
        content[half] ^= damage == "flip"
        path.write_bytes(content[: half if damage == "truncate" else None])
    with refuses(OSError, path.name, molecules.SHA256, "install vae_lib again"):
        load_molecules("test")
