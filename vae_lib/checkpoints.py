"""Save and load models without pickle, and the trained models that ship here.

A checkpoint is one safetensors file: the weights and, in its header, the configuration
and a free record as JSON, and a sha256 over all three, verified on loading. It is
written beside its destination and put in place in one step, so that an interrupted save
leaves the old file as it was.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from vae_lib.configs import SequenceConfig, VAEConfig
from vae_lib.containers import pack, read_header, read_tensors
from vae_lib.files import one_line, open_plain, parse_json, to_json, write_atomically
from vae_lib.guards import require
from vae_lib.kinds import (
    EXTRA,
    KINDS,
    Model,
    check_shapes,
    check_weights,
    described,
    kind_of,
    shapes_of,
    with_names_of_today,
)
from vae_lib.latent import LatentVariableModel
from vae_lib.layered_configs import HierarchicalConfig
from vae_lib.recipes import Recipe

FOLDER = Path(__file__).parent / "checkpoints"


class CheckpointError(OSError):
    """The file is not a checkpoint of this library, or it is damaged."""


class Pretrained(NamedTuple):
    """A shipped model: its shape, how it was trained, its sha256.

    start names the shipped model whose weights it started from, if any.
    """

    config: VAEConfig | SequenceConfig | HierarchicalConfig
    recipe: Recipe
    sha256: str
    start: str | None = None


BURDA = VAEConfig(latent_dim=50, hidden_dims=(200, 200), activation="tanh")
GREY = Recipe(epochs=80, batch_size=256, schedule="cosine", warmup=0.5, clip_norm=30.0)
IN_BITS = replace(GREY, clip_norm=None, binarization="sample")
WEIGHTED = replace(IN_BITS, batch_size=128, objective="iwae", gradient="path")
TWO_LAYERS = HierarchicalConfig((100, 50), (200, 100), activation="tanh")
STRINGS = SequenceConfig(latent_dim=16)
OF_STRINGS = Recipe(6, 256, 4e-3, "cosine", warmup=0.25, clip_norm=1.0, free_bits=0.15)
# Made by `python -m tools.records.shipped NAME`, which prints the new sha256.
PRETRAINED = {
    "mnist-2d": Pretrained(
        VAEConfig(latent_dim=2, hidden_dims=(192, 128, 128, 128), activation="silu"),
        replace(GREY, lr=3e-3),
        "dce5ef660f75e4ee2b2f51cd9932f23b3735510d2377955d4e4f28cc6d102394",
    ),
    "mnist-20d": Pretrained(
        VAEConfig(latent_dim=20, hidden_dims=(224, 160), activation="silu"),
        replace(GREY, lr=4e-3),
        "6f0f7c8a241468bcaf4640e9ec4193d584ade0047d4939b8bcfe22b06ae04753",
    ),
    # The network and the bits of Burda, Grosse & Salakhutdinov (2016), Table 1, L = 1.
    "mnist-burda": Pretrained(
        BURDA,
        replace(IN_BITS, epochs=850, lr=4e-3),
        "92533e4ec79c0786abe056177db3ec087895dc0109a7640529de0cf4bcd3c3bb",
    ),
    # The same with their importance-weighted bound, from new weights and trained on.
    "mnist-iwae-5": Pretrained(
        BURDA,
        replace(WEIGHTED, epochs=650, lr=3e-3, n_samples=5),
        "4d4c3250188b3cc4a49983d57103794f31eb9b09e38bb78dd5546a293f80b88f",
    ),
    "mnist-iwae-50": Pretrained(
        BURDA,
        replace(WEIGHTED, epochs=75, lr=2e-3, n_samples=50),
        "ba1211482a215a519aeaac03659075544edeae7a4cb1a02625db2e9feef5068e",
        "mnist-iwae-5",
    ),
    # Theirs with two layers of codes, L = 2.
    "mnist-burda-2": Pretrained(
        TWO_LAYERS,
        replace(IN_BITS, epochs=600, lr=3e-3),
        "16ebd98dd54a6977749a82297eb5372bdcdeb37631d9b18b3682d3c986965120",
    ),
    "molecules": Pretrained(
        STRINGS,
        OF_STRINGS,
        "1358e0aee7e99e0215a64680b9feb31e1fb8aff0b3a4c770e64469523a0aaf02",
    ),
    # The same with a head that tells the gap, of 1 property, from z.
    "molecules-gap": Pretrained(
        replace(STRINGS, n_properties=1),
        OF_STRINGS,
        "31593864dd56b94507e9f44416940f9f41d3e7546fdd49c13b1390b57b833812",
    ),
}


def save(
    path: str | Path,
    model: LatentVariableModel,
    record: dict | None = None,
    extra: dict[str, Tensor] | None = None,
) -> str:
    """Write the model to path in one step, and return the sha256 of its content.

    Weights and buffers are saved, the training history is not; record is what to
    remember with them, as JSON, and extra are tensors to keep beside them. Raises
    OSError if the file cannot be written, ValueError if ``load`` would refuse it; an
    older file at path is then untouched.
    """
    content, sha256 = to_content(model, record, extra)
    write_atomically(path, content)
    return sha256


def to_content(
    model: LatentVariableModel,
    record: dict | None = None,
    extra: dict[str, Tensor] | None = None,
) -> tuple[bytes, str]:
    """What ``save`` writes, and its sha256; raises ValueError as ``save`` does."""
    fits = isinstance(model, LatentVariableModel)
    require(fits, "a VAE", type(model).__name__)
    require(isinstance(record or {}, dict), "a record that is a dict", record)
    weights = model.state_dict()
    fields = asdict(model.config) | kind_of(model)
    if type(model) in KINDS.values():  # others may need more than a configuration
        check_shapes(type(model), model.config, shapes_of(weights))
    check_weights(weights)
    named = weights | {EXTRA + key: t for key, t in (extra or {}).items()}
    texts = to_json(fields, "a configuration"), to_json(record or {}, "a record")
    return pack(*texts, named)


def load(path: str | Path, *, cls: Model | None = None) -> Any:
    """The model saved at path, on the CPU, with its ``record`` and ``extra`` tensors.

    It is of the class that was saved; cls is that class if it is one of your own, made
    of its config alone. Raises CheckpointError if the file is missing, damaged, not a
    checkpoint, or of another class.
    """
    try:
        with open_plain(path) as file:  # once: a run may replace it at any moment
            header = read_header(file)
            cls, config = described(header, cls)
            tensors = read_tensors(file, header)
        extra = {
            name: tensors.pop(name) for name in list(tensors) if name.startswith(EXTRA)
        }
        tensors = with_names_of_today(tensors)
        check_weights(tensors)
        record = parse_json(header.record)
        require(isinstance(record, dict), "a record that is an object", record)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a readable checkpoint: {one_line(error)}"
        ) from None
    model = cls(config).to(tensors["input_mean"].dtype)
    model.load_state_dict(tensors)
    model.record = {**record, "sha256": header.sha256}
    model.extra = {name.removeprefix(EXTRA): extra[name] for name in extra}
    return model


def load_pretrained(name: str) -> Any:
    """A trained model that ships with the library, on the CPU; see PRETRAINED.

    Raises ValueError if there is no model of that name, and CheckpointError if its file
    is damaged or belongs to another version.
    """
    if name not in PRETRAINED:
        raise ValueError(f"expected one of {', '.join(PRETRAINED)}, got {name!r}")
    model = load(FOLDER / f"{name}.safetensors")
    if (found := model.record["sha256"]) != (expected := PRETRAINED[name].sha256):
        raise CheckpointError(f"{name}: expected sha256 {expected}, got {found}")
    return model
