"""The browser that tests the site and prints the PDF: any Chromium will do.

    python -m tools.site.browser       makes sure there is one and says which

`make test` and `make pdf` ask for one this way. One that is installed is used; else
Playwright downloads its own; else apt-get installs Debian's, where it may.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import Browser, Error, Page, Playwright, sync_playwright

# The shell is Chromium without its windows: the same pages for two thirds of the work.
SHELL = "chromium-headless-shell"
NAMES = (SHELL, "chromium", "google-chrome", "google-chrome-stable", "chromium-browser")
CHANNELS = ("chrome", "msedge")  # Playwright knows where macOS and Windows keep them
MISSING = (
    "no browser starts here: install Chromium or Google Chrome, "
    "or run `python -m playwright install --with-deps chromium`"
)
# JavaScript: true once MathJax is done.
MATHS_IS_SET = """[...document.querySelectorAll(".math")]
    .every(formula => formula.querySelector("mjx-container"))"""


def ways(playwright: Playwright) -> Iterator[tuple[str, dict]]:
    """Each browser there may be: a name, and arguments for Playwright's launch."""
    for path in filter(None, map(shutil.which, NAMES)):
        yield path, {"executable_path": path}
    for channel in CHANNELS:
        yield channel, {"channel": channel}
    own = playwright.chromium.executable_path
    if Path(own).exists():
        yield own, {}


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def start(playwright: Playwright) -> tuple[str, Browser]:
    """Open the first browser that starts: its name, and it.

    Raises:
        RuntimeError: if none does.
    """
    # Chromium's sandbox refuses root, and some containers refuse the sandbox.
    sandboxes = [False] if is_root() else [True, False]
    for name, way in ways(playwright):
        for sandbox in sandboxes:
            try:
                return name, playwright.chromium.launch(
                    args=["--disable-gpu"], chromium_sandbox=sandbox, **way
                )
            except Error:
                continue
    raise RuntimeError(MISSING)


def launch(playwright: Playwright) -> Browser:
    """Open a browser without a window; RuntimeError if there is none."""
    return start(playwright)[1]


def found() -> str:
    """The name of the browser that starts here, empty if there is none."""
    with sync_playwright() as playwright:
        try:
            name, browser = start(playwright)
        except RuntimeError:
            return ""
        browser.close()
        return name


def wait_until(page: Page, condition: str, arg=None, seconds: float = 30) -> None:
    """Wait until JavaScript's condition holds on the page.

    Playwright's own wait_for_function calls eval, which the pages' policy refuses.

    Raises:
        TimeoutError: if it takes longer than ``seconds``.
    """
    end = time.monotonic() + seconds
    while not page.evaluate(condition, arg):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:g} seconds: {condition}")
        page.wait_for_timeout(20)


def installers() -> list[list[str]]:
    """Commands that may bring a browser, in the order to try them."""
    commands = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get") and (is_root() or shutil.which("sudo")):
        rights = [] if is_root() else ["sudo", "-n"]  # -n: fail, never ask a password
        packages = SHELL, "chromium"  # older systems have the second alone
        installs = [["install", "-y", package] for package in packages]
        commands += [[*rights, "apt-get", *words] for words in (["update"], *installs)]
    return commands


def install(command: list[str]) -> None:
    """Run an installer that may fail, quietly but for its name."""
    print("No browser yet:", *command[command[0] == sys.executable :], file=sys.stderr)
    quiet = {"stdin": subprocess.DEVNULL, "capture_output": True}
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(command, timeout=600, **quiet)


def main() -> str | None:
    """Print which browser starts; where none does, return what to install."""
    name = found()
    for command in installers():
        if name:
            break
        install(command)
        name = found()
    if not name:
        return f"python -m tools.site.browser: {MISSING}"
    print(name)
    return None


if __name__ == "__main__":
    sys.exit(main())
