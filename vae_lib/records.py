"""Results of runs that take longer than a notebook may, as they ship with the library.

Each is one JSON file, written by the command that it names: setup, seeds, versions,
seconds and values. The notebooks repeat a part of a run and hold it against its record.
"""

import json
from pathlib import Path

FOLDER = Path(__file__).parent / "records"


def load_record(name: str) -> dict:
    """The record of this name, such as "latent-dimensions"; figures are in nats.

    Raises ValueError if there is none of that name.
    """
    names = sorted(path.stem for path in FOLDER.glob("*.json"))
    if name not in names:
        raise ValueError(f"expected one of {', '.join(names)}, got {name!r}")
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
