"""What the study of molecules counts, on strings whose kind is known."""

import pytest
import torch

from tools.records import molecules
from vae_lib.configs import SequenceConfig
from vae_lib.molecules import load_molecules, read_smiles, write_smiles
from vae_lib.sequences import SequenceVAE
from vae_lib.tokens import categorical_log_prob


def test_a_string_is_of_the_set_outside_of_it_or_no_molecule():
    seen, kept = (write_smiles(load_molecules(s).tokens[:2]) for s in ("train", "test"))
    assert "CO" in molecules.smiles("train") + molecules.smiles("test")
    outside = ["CCCCCCCCCCCC", "C" * 30]
    none = ["C1CC", "", None, "C(", "F=F"]
    found = molecules.census([*seen, *kept, "OC", *outside, *none])
    expected = {"train": 2, "test": 2, "spelt otherwise": 1, "outside": 2, "invalid": 5}
    assert found["written"] == {kind: n / 12 for kind, n in expected.items()}
    assert found["scores"]["valid"] == 7 / 12 and found["scores"]["unique"] == 1


def test_scores_count_repetitions_and_what_was_seen():
    seen = write_smiles(load_molecules("train").tokens[:1])
    found = molecules.census([*seen, *seen, "C" * 30, None])["scores"]
    assert found == pytest.approx({"valid": 3 / 4, "unique": 2 / 3, "novel": 1 / 3})


def test_a_row_that_does_not_end_is_no_string():
    rows = read_smiles(["CO", "C"])
    rows[1] = 1
    assert molecules.in_smiles(rows) == ["CO", None]


def small() -> SequenceVAE:
    torch.manual_seed(0)
    return SequenceVAE(SequenceConfig(latent_dim=16, hidden_dim=8, embedding_dim=4))


def test_a_model_without_a_code_learns_with_z_at_zero():
    x, model = read_smiles(["CO", "CCO"] * 400), small()
    before = molecules.alone(model, x).mean()
    logits = model.decode(torch.zeros(800, 16), x)
    torch.testing.assert_close(
        molecules.alone(model, x), categorical_log_prob(x, logits)
    )
    encoder = [weight.clone() for weight in model.encoder.parameters()]
    for _ in range(5):
        molecules.write_alone(model, x)
    assert molecules.alone(model, x).mean() > before + 2
    for weight, old in zip(model.encoder.parameters(), encoder, strict=True):
        assert torch.equal(weight, old)


def test_what_is_rebuilt_is_what_greedy_tokens_write_from_the_mean(monkeypatch):
    model, x = small(), read_smiles(["CO", "CCO", "C", "N"])

    def write(z, *, greedy):
        """Three of four rows again, if it is asked in the right way."""
        assert greedy and torch.equal(z, model.encode(x)[0])
        return torch.cat([x[:3], x[:1]])

    monkeypatch.setattr(model, "write", write)
    assert molecules.rebuilt(model, x) == 3 / 4


def test_the_error_of_a_mean_is_its_spread_over_the_root():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert molecules.error(values) == pytest.approx(values.std().item() / 2)
