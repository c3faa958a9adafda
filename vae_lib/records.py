"""Results of runs that take longer than a notebook may, as they ship with the library.

Each is one JSON file, written by the command that it names: setup, seeds, versions,
seconds and values. The notebooks repeat a part of a run and hold it against its record.
"""

from pathlib import Path

from vae_lib.files import parse_json, read_plain

FOLDER = Path(__file__).parent / "records"
AT_MOST = 2**22  # bytes, many times the longest


def load_record(name: str) -> dict:
    """The record of this name, such as "latent-dimensions"; figures are in nats.

    Raises ValueError if there is none of that name, OSError if its file is damaged.
    """
    names = sorted(path.stem for path in FOLDER.glob("*.json"))
    if name not in names:
        raise ValueError(f"expected one of {', '.join(names)}, got {name!r}")
    path = FOLDER / f"{name}.json"
    try:
        record = parse_json(read_plain(path, AT_MOST))
    except ValueError as error:
        raise OSError(f"{path} is damaged: {error}") from error
    if not isinstance(record, dict):
        raise OSError(f"{path} is damaged: expected an object of JSON")
    return record
