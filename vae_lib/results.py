"""What a command leaves beside a trained model: its history, and two figures."""

import io
import json
import os
from pathlib import Path
from typing import Any

import torch

from vae_lib.files import write_atomically
from vae_lib.guards import require
from vae_lib.molecules import write_smiles
from vae_lib.sequences import SequenceVAE

HISTORY, CURVES = "history.json", "history.png"
SAMPLES, STRINGS = "samples.png", "samples.txt"


def try_to_draw(folder: Path) -> None:
    """Raise an error unless figures can be drawn, and their names are free for files.

    They are files, whatever windows the user's notebooks have. The modules that draw
    take seconds to import, which the other commands do without.
    """
    os.environ["MPLBACKEND"] = "agg"
    from vae_lib import plots

    point = torch.zeros(1)
    as_png(plots.plot_curves(point, {"": point}, xlabel="", ylabel=""))
    for name in (HISTORY, CURVES, SAMPLES, STRINGS):
        what = f"a file, or nothing yet, at {folder / name}"
        require(not (folder / name).is_dir(), what, "a folder")


def write_results(folder: Path, model: Any, *, ink: bool) -> None:
    """Write the history of this model, a figure of it, and samples.

    ink: see ``plots.plot_images``.
    """
    from vae_lib import plots

    rows = model.history.rows
    write_atomically(folder / HISTORY, (json.dumps(rows, indent=1) + "\n").encode())
    write_atomically(folder / CURVES, as_png(plots.plot_history(rows)))
    samples = model.sample(60, generator=torch.Generator().manual_seed(0))
    if isinstance(model, SequenceVAE):
        text = "\n".join(write_smiles(samples)) + "\n"
        write_atomically(folder / STRINGS, text.encode())
        return
    picture = {"shape": model.config.picture, "ink": ink}
    figure = plots.plot_images(samples, n_columns=12, **picture)
    write_atomically(folder / SAMPLES, as_png(figure))


def as_png(figure) -> bytes:
    """A figure as the content of a file."""
    content = io.BytesIO()
    figure.savefig(content, dpi=120)
    return content.getvalue()
