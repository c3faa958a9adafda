"""Resolve the requirements for every Python and platform promised; installs nothing.

    python -m tools.resolve                are all pins there, as wheels, for each?
    python -m tools.resolve --lowest FILE  the lowest that pyproject.toml allows here,
                                           with the pins of the rest

The Pythons are those of tools/environment.sh, in their first patch: a package may ask
for a later one. Any of them runs this, with the package uv and a network.
"""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

# Not from tools.book, which needs packages that may be missing where this runs.
ROOT = Path(__file__).resolve().parent.parent
PLATFORMS = (
    "x86_64-manylinux_2_28",
    "aarch64-manylinux_2_28",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
)
OLDEST_MACOS = "14.0"
NAME = re.compile(r"[A-Za-z0-9._-]+")


def pythons() -> list[str]:
    """The first patch of each Python that `make` accepts."""
    script = (ROOT / "tools" / "environment.sh").read_text("utf-8")
    oldest, newest = map(int, re.search(r"OLDEST=(\d+) NEWEST=(\d+)", script).groups())
    return [f"3.{minor}.0" for minor in range(oldest, newest + 1)]


def requirements() -> list[str]:
    """The lines of requirements.txt that name a package."""
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    return [line for line in lines if NAME.match(line) and not line.startswith("-")]


def normal(name: str) -> str:
    return re.sub(r"[._-]+", "-", name).lower()


def pinned() -> set[str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return {normal(line.partition("==")[0]) for line in lines if "==" in line}


def compiled(lines: list[str], *options: str) -> str:
    """What uv resolves these requirements to, one package a line.

    Raises:
        ValueError: if there is no such set; the message says why.
    """
    command = [sys.executable, "-m", "uv", "pip", "compile"]
    command += ["--quiet", "--no-header", "--no-annotate"]
    run = subprocess.run(
        [*command, "--only-binary", ":all:", *options, "-"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"MACOSX_DEPLOYMENT_TARGET": OLDEST_MACOS},
    )
    if run.returncode:
        raise ValueError(run.stderr.strip())
    return run.stdout


def check(python: str, platform: str) -> str:
    """What is wrong with the pins there; nothing if they resolve and are complete."""
    options = ["--python-version", python, "--python-platform", platform]
    try:
        found = compiled(requirements(), "-c", "constraints.txt", *options)
    except ValueError as error:
        return str(error)
    names = {normal(line.partition("==")[0]) for line in found.split()}
    missing = sorted(names - pinned())
    return f"not in constraints.txt: {', '.join(missing)}" if missing else ""


def lowest() -> str:
    """The library's dependencies in their lowest versions, beside the other pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    bounds = project["dependencies"]
    own = {NAME.match(line)[0] for line in bounds}
    others = [line for line in requirements() if NAME.match(line)[0] not in own]
    return compiled(bounds + others, "--resolution", "lowest-direct")


def main() -> int:
    parser = argparse.ArgumentParser(description="Resolve the requirements everywhere.")
    parser.add_argument("--lowest", type=Path, metavar="FILE")
    file = parser.parse_args().lowest
    if importlib.util.find_spec("uv") is None:
        print("resolve: expected the package uv: pip install uv", file=sys.stderr)
        return 2
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(lowest(), "utf-8")
        return 0
    failed = False
    for python in pythons():
        for platform in PLATFORMS:
            wrong = check(python, platform)
            print(f"Python {python}, {platform}: {wrong or 'resolved'}", flush=True)
            failed |= bool(wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
