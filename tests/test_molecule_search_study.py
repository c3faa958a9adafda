"""What the study of searches counts, and that its rivals do what is said of them."""

from itertools import islice

import pytest
import torch
import torch.nn.functional as F

from tools.records import molecule_search as study
from tools.records.molecules import canonical, smiles
from vae_lib.configs import SequenceConfig
from vae_lib.molecules import load_molecules, read_smiles
from vae_lib.sequences import SequenceVAE

LETTERS = study.alphabet.__wrapped__  # of all training molecules: ten seconds


@pytest.fixture(autouse=True)
def few_letters(monkeypatch):
    monkeypatch.setattr(study, "alphabet", lambda: ["[=C]", "[C]", "[O]"])


def test_the_letters_are_those_of_the_training_molecules(monkeypatch):
    monkeypatch.setattr(study, "smiles", lambda split: {"train": ["CO", "C#N"]}[split])
    assert LETTERS() == ["[#N]", "[C]", "[O]"]


def dice() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_counts_are_of_tokens_and_of_neighbours_to_the_end():
    x = read_smiles(["CCO", "C"])
    tokens = study.count_tokens(x)
    assert tokens.sum(1).tolist() == [3, 1] and tokens.max(1).values.tolist() == [2, 1]
    pairs = study.count_pairs(x)  # CC, CO, O and the end; C and the end
    assert pairs.sum(1).tolist() == [3, 1]
    assert (pairs[0] * pairs[1]).sum() == 0  # one ends with O, the other with C


def test_a_linear_model_finds_what_is_linear_and_is_judged_elsewhere():
    x, weight = torch.randn(500, 4), torch.tensor([[1.0], [-2.0], [0.0], [3.0]])
    linear = study.fit(5 + 2 * x, x @ weight + 7)
    new = torch.randn(200, 4)
    told = linear(5 + 2 * new)
    torch.testing.assert_close(told, new @ weight + 7, atol=0.05, rtol=0.01)
    assert study.r_squared(told, new @ weight + 7) > 0.999
    constant = torch.full((200, 1), 7.0)
    assert study.r_squared(constant, new @ weight + 7) == pytest.approx(0, abs=0.05)


def test_what_is_proposed_is_new_distinct_and_there():
    stream = iter(["CO", None, "C", "CO", "CN", "CC", "CF"])
    assert study.distinct(stream, 3, {"C"}) == ["CO", "CN", "CC"]
    assert next(stream) == "CF"  # not asked for
    assert study.distinct(iter(["CO"] * 9), 2, set(), most=5) == ["CO"]


def test_one_token_is_changed_and_the_outcome_is_a_molecule():
    found = [*islice(study.mutated(["CCO"], dice()), 300)]
    assert None not in found and all(canonical(s) == s for s in found)
    assert {"CO", "CCC", "CCCO"} <= set(found)  # dropped, changed, added
    assert all(len(read_smiles([s])[0].nonzero()) <= 5 for s in found if s in table())


def table() -> set[str]:
    return {*smiles("train"), *smiles("test")}


def test_steps_lead_down_what_is_predicted_and_have_one_length():
    mu = 2 * F.normalize(torch.randn(6, 3), dim=1)
    lower = study.downhill(lambda z: z.square().sum(1, keepdim=True), mu)
    assert (lower.norm(dim=1) < mu.norm(dim=1)).all()
    moved = (lower - mu).norm(dim=1)
    torch.testing.assert_close(moved, torch.full((6,), study.STEPS * study.STEP))


def test_of_many_those_are_chosen_whose_prediction_is_low(monkeypatch):
    monkeypatch.setattr(study, "N_CANDIDATES", 4)
    monkeypatch.setattr(study, "N_PROPOSED", 2)
    stream = iter(["C" * 12, "C" * 11, "C" * 14, "[U]", "C" * 13])
    shortest = study.chosen(stream, lambda x: (x > 0).sum(1))
    assert shortest == ["C" * 11, "C" * 12]  # and what cannot be read is none of them


def test_hits_are_kept_molecules_and_those_of_the_lowest_gap():
    kept, order = smiles("test"), study.gaps("test").flatten().argsort().tolist()
    proposed = [kept[i] for i in order[300:308]] + ["C" * 30, *smiles("train")[:2]]
    assert study.hits(proposed) == {"proposed": 11, "kept": 8, "best": 4}


def test_gaps_are_scaled_by_the_training_set_alone():
    torch.testing.assert_close(study.gaps("train").std(), torch.tensor(1.0))
    ratio = study.gaps("test").std() * load_molecules("train").properties[:, 0].std()
    torch.testing.assert_close(ratio, load_molecules("test").properties[:, 0].std())


def test_a_laboratory_has_its_molecules_and_no_others():
    kept = load_molecules("test")
    assert study.dipole(smiles("test")[3]) == pytest.approx(kept.properties[3, 1])
    assert study.dipole("C" * 12) is None and study.logp("C" * 12) is None
    assert study.logp("CCCCCCCCC") > 3.7  # nonane


def test_a_search_asks_so_often_and_knows_what_failed(monkeypatch):
    for name, n in {"N_KNOWN": 20, "N_CALLS": 30, "A_ROUND": 10, "N_TOP": 5}.items():
        monkeypatch.setattr(study, name, n)
    asked = []

    def ask(string):
        asked.append(string)
        return None if len(asked) > 25 else float(len(string))

    values, failed = study.search(small(), ask, "mutation", seed=0)
    assert len(asked) == len(set(asked)) == 50 and failed == 25 and len(values) == 25


@pytest.mark.parametrize("way", ["screening", "prior", "mutation", "near", "gradient"])
def test_each_way_proposes_for_ever(way):
    good = dict(zip(smiles("train")[:40], map(float, range(40)), strict=True))
    stream = study.proposals(small(), way, [*good][:5], good, dice())
    assert len([*islice(stream, 20)]) == 20


def small() -> SequenceVAE:
    torch.manual_seed(0)
    return SequenceVAE(SequenceConfig(latent_dim=3, hidden_dim=8, embedding_dim=4))
