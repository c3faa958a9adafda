"""A model that ships is made anew by its recipe, from the model that it starts from."""

import torch

from tools.records import shipped
from vae_lib.checkpoints import Pretrained, load
from vae_lib.configs import SequenceConfig
from vae_lib.data import ImageSet
from vae_lib.data_sets import DATA_SETS
from vae_lib.evaluation import evaluate_elbo
from vae_lib.models import VAEConfig
from vae_lib.molecules import MoleculeSet, read_smiles, standardized
from vae_lib.recipes import Recipe
from vae_lib.sources import sha256_of


def test_a_model_that_starts_from_another_has_its_weights(
    tmp_path, monkeypatch, mnist_is
):
    config, still = VAEConfig(2, (4,)), Recipe(1, lr=1e-12)
    names = {"first": Pretrained(config, Recipe(1), "")}
    names["second"] = Pretrained(config, still, "", "first")
    few = ImageSet(torch.rand(40, 784), torch.arange(40) % 10)
    trains = shipped.train_run

    def quick(*given, step, **more):
        return trains(*given, progress=False, **more)

    places = {"PRETRAINED": names, "RUNS": tmp_path, "FOLDER": tmp_path}
    for name, value in places.items():
        monkeypatch.setattr(shipped, name, value)
    mnist_is(lambda split: few)
    monkeypatch.setattr(shipped, "train_run", quick)
    record = shipped.ship("second", shipped.trained("second"))
    first = load(tmp_path / "first" / shipped.MODEL)
    found = load(tmp_path / "second.safetensors")
    assert found.record["start"] == record["start"] == "first"
    for name, weight in first.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], weight)


def test_a_model_with_a_head_is_told_what_it_tells(tmp_path, monkeypatch):
    """And judged, for its record, on the strings alone."""
    config = SequenceConfig(2, 5, n_properties=2)
    places = {"RUNS": tmp_path, "FOLDER": tmp_path}
    places["PRETRAINED"] = {"head": Pretrained(config, Recipe(1), "")}
    for name, value in places.items():
        monkeypatch.setattr(shipped, name, value)
    few = MoleculeSet(read_smiles(["C" * k for k in range(1, 9)]), torch.rand(8, 5))
    others = DATA_SETS["molecules"]._replace(load=lambda split: few)
    monkeypatch.setitem(DATA_SETS, "molecules", others)
    model = shipped.trained("head")
    labels = standardized(few.properties)[:, :2]
    assert model.record["data"]["labels"] == sha256_of(labels)
    record = shipped.ship("head", model)
    assert record["test_elbo"] == evaluate_elbo(model, few.tokens).elbo
    assert load(tmp_path / "head.safetensors").config == config
