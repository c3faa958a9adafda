"""Save and load models without pickle, and the trained models that ship here.

A checkpoint is one safetensors file: the weights and, in its header, the configuration
and a free record as JSON, and a sha256 over all three, verified on loading. It is
written beside its destination and put in place in one step, so that an interrupted save
leaves the old file as it was.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from vae_lib.models import VAE, VAEConfig

EXTRA = "extra/"  # before the names of tensors that are no weights
FOLDER = Path(__file__).parent / "checkpoints"


class CheckpointError(OSError):
    """The file is not a checkpoint of this library, or it is damaged."""


class Pretrained(NamedTuple):
    """A shipped model: its shape, ``training.train``'s arguments, its sha256.

    start names the shipped model whose weights it started from, if any.
    """

    config: VAEConfig
    recipe: dict
    sha256: str
    start: str | None = None


BURDA = VAEConfig(latent_dim=50, hidden_dims=(200, 200), activation="tanh")
BITS = {"schedule": "cosine", "warmup": 0.5, "binarization": "sample"}
IWAE = {"objective": "iwae"}
# Made by `python tools/train_pretrained.py NAME`, which prints the new sha256.
PRETRAINED = {
    "mnist-2d": Pretrained(
        VAEConfig(latent_dim=2, hidden_dims=(192, 128, 128, 128), activation="silu"),
        {"epochs": 80, "batch_size": 256, "lr": 3e-3, "schedule": "cosine"}
        | {"warmup": 0.5, "clip_norm": 30.0},
        "dce5ef660f75e4ee2b2f51cd9932f23b3735510d2377955d4e4f28cc6d102394",
    ),
    "mnist-20d": Pretrained(
        VAEConfig(latent_dim=20, hidden_dims=(224, 160), activation="silu"),
        {"epochs": 80, "batch_size": 256, "lr": 4e-3, "schedule": "cosine"}
        | {"warmup": 0.5, "clip_norm": 30.0},
        "6f0f7c8a241468bcaf4640e9ec4193d584ade0047d4939b8bcfe22b06ae04753",
    ),
    # The network and the bits of Burda, Grosse & Salakhutdinov (2016), Table 1, L = 1.
    "mnist-burda": Pretrained(
        BURDA,
        BITS | {"epochs": 850, "batch_size": 256, "lr": 4e-3},
        "92533e4ec79c0786abe056177db3ec087895dc0109a7640529de0cf4bcd3c3bb",
    ),
    # The same, trained on with their importance-weighted bound.
    "mnist-iwae-5": Pretrained(
        BURDA,
        BITS | {"epochs": 150, "batch_size": 256, "lr": 2e-3} | IWAE | {"n_samples": 5},
        "0516117bfb2b879aaa98b4abe976a231a106a592bc66fbe4dd5193380c7c247d",
        "mnist-burda",
    ),
    "mnist-iwae-50": Pretrained(
        BURDA,
        BITS | {"epochs": 15, "batch_size": 128, "lr": 1e-3} | IWAE | {"n_samples": 50},
        "00a0c51f9745aa2fbf442f4c1b16acb35616b25700311b7a02b338ff5aa1e010",
        "mnist-iwae-5",
    ),
}


def save(
    path: str | Path,
    model: VAE,
    record: dict | None = None,
    extra: dict[str, Tensor] | None = None,
) -> str:
    """Write the model to path in one step, and return the sha256 of its content.

    Weights and buffers are saved, the training history is not; record is what to
    remember with them, as JSON, and extra are tensors to keep beside them. Raises
    OSError if the file cannot be written; an older file at path is then untouched.
    """
    config = json.dumps(dataclasses.asdict(model.config), sort_keys=True)
    recorded = json.dumps(record or {}, sort_keys=True)
    named = model.state_dict() | {EXTRA + key: t for key, t in (extra or {}).items()}
    tensors = {name: t.cpu().contiguous() for name, t in named.items()}
    sha256 = _content_sha256(config, recorded, tensors)
    metadata = {"config": config, "record": recorded, "sha256": sha256}
    write_atomically(path, to_bytes(tensors, metadata=metadata))
    return sha256


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file in one step: a reader finds the old content or the new, whole.

    Raises OSError if it cannot be written; an older file at path is then untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        why = error.strerror or error
        raise OSError(f"{path} cannot be written, an older one stays: {why}") from error
    finally:
        with contextlib.suppress(OSError):  # it is gone, or the disk is read-only
            temporary.unlink()


def load(path: str | Path) -> VAE:
    """The model saved at path, on the CPU, with its ``record`` and ``extra`` tensors.

    Raises CheckpointError if the file is missing, damaged or not a checkpoint.
    """
    try:
        content = Path(path).read_bytes()  # once: a run may replace it at any moment
        tensors = from_bytes(content)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is not a readable checkpoint: {error}") from None
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    metadata = header.get("__metadata__", {})
    if not {"config", "record", "sha256"} <= metadata.keys():
        raise CheckpointError(f"{path} is no checkpoint of this library")
    sha256 = _content_sha256(metadata["config"], metadata["record"], tensors)
    if sha256 != metadata["sha256"]:
        raise CheckpointError(
            f"{path} is damaged: expected sha256 {metadata['sha256']}, got {sha256}"
        )
    extra = {
        name: tensors.pop(name) for name in list(tensors) if name.startswith(EXTRA)
    }
    try:
        model = VAE(VAEConfig(**json.loads(metadata["config"])))
        model.to(tensors["input_mean"].dtype).load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} is of another version of vae_lib") from error
    model.record = {**json.loads(metadata["record"]), "sha256": sha256}
    model.extra = {name.removeprefix(EXTRA): extra[name] for name in extra}
    return model


def load_pretrained(name: str) -> VAE:
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


def _content_sha256(config: str, record: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(f"{config}\n{record}\n".encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
