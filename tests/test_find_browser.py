"""The browser is found, downloaded or installed, or a line says what to install."""

import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from playwright.sync_api import Error

from tools.site import browser

DOWNLOAD = [sys.executable, "-m", "playwright", "install", "chromium"]
UPDATE, INSTALL = ["apt-get", "update"], ["apt-get", "install", "-y"]
SHELL, WHOLE = "chromium-headless-shell", "chromium"


class Machine:
    """A machine with programs, browsers that start, and installers that bring some."""

    def __init__(self, tmp_path, programs, starting, root, brings, sandbox):
        self.programs, self.starting, self.root = set(programs), set(starting), root
        self.brings, self.sandbox = brings, sandbox
        self.commands, self.launches = [], []
        self.own = tmp_path / "own"
        chromium = SimpleNamespace(executable_path=str(self.own), launch=self.launch)
        self.playwright = SimpleNamespace(chromium=chromium)

    def which(self, name):
        return name if name in self.programs else None

    def launch(self, *, args, chromium_sandbox, executable_path=None, channel=None):
        name = executable_path or channel or "own"
        self.launches.append((name, chromium_sandbox))
        if name not in self.starting or (chromium_sandbox and not self.sandbox):
            raise Error("it does not start")
        return SimpleNamespace(name=name, close=lambda: None)

    def run(self, command, *, timeout, stdin, capture_output):
        self.commands.append(command)
        if not self.brings:
            raise subprocess.TimeoutExpired(command, timeout)
        installer, brought = self.brings
        if command == installer:
            self.starting.add(brought)
            self.programs.add(brought)
            if brought == "own":
                self.own.touch()

    @contextmanager
    def sync_playwright(self):
        yield self.playwright


@pytest.fixture
def machine(monkeypatch, tmp_path):
    def make(programs=(), starting=(), root=True, brings=None, sandbox=True):
        there = Machine(tmp_path, programs, starting, root, brings, sandbox)
        monkeypatch.setattr(browser, "sync_playwright", there.sync_playwright)
        monkeypatch.setattr(browser, "is_root", lambda: there.root)
        monkeypatch.setattr(browser.shutil, "which", there.which)
        monkeypatch.setattr(browser.subprocess, "run", there.run)
        return there

    return make


@pytest.mark.parametrize("name", browser.NAMES)
def test_an_installed_browser_is_used_and_nothing_is_installed(machine, name, capsys):
    there = machine([name], [name])
    assert browser.main() is None and capsys.readouterr().out == f"{name}\n"
    assert there.commands == []


def test_a_browser_without_windows_is_taken_first(machine):
    there = machine([WHOLE, SHELL], [WHOLE, SHELL])
    assert browser.launch(there.playwright).name == SHELL


@pytest.mark.parametrize("channel", ["chrome", "msedge"])
def test_playwright_knows_browsers_that_are_not_on_the_path(machine, channel):
    assert browser.launch(machine([], [channel]).playwright).name == channel


def test_a_program_that_does_not_start_gives_way_to_the_next(machine):
    there = machine(["chromium", "google-chrome"], ["google-chrome"])
    assert browser.launch(there.playwright).name == "google-chrome"


def test_the_sandbox_is_left_out_only_where_it_must_be(machine):
    there = machine(["chromium"], ["chromium"], root=False)
    browser.launch(there.playwright)
    assert there.launches == [("chromium", True)]
    there = machine(["chromium"], ["chromium"], root=False, sandbox=False)
    browser.launch(there.playwright)
    assert there.launches == [("chromium", True), ("chromium", False)]
    there = machine(["chromium"], ["chromium"], root=True)
    browser.launch(there.playwright)
    assert there.launches == [("chromium", False)]


def test_without_a_browser_playwright_downloads_its_own(machine, capsys):
    there = machine(["apt-get"], brings=(DOWNLOAD, "own"))
    assert browser.main() is None and capsys.readouterr().out == f"{there.own}\n"
    assert there.commands == [DOWNLOAD]


@pytest.mark.parametrize("package", [SHELL, WHOLE])
@pytest.mark.parametrize("root", [True, False])
def test_without_the_download_apt_installs_one_without_asking(machine, root, package):
    rights = [] if root else ["sudo", "-n"]
    brings = ([*rights, *INSTALL, package], package)
    there = machine(["apt-get", "sudo"], root=root, brings=brings)
    assert browser.main() is None
    installs = [[*rights, *INSTALL, name] for name in (SHELL, WHOLE)]
    tried = installs[: installs.index(brings[0]) + 1]
    assert there.commands == [DOWNLOAD, [*rights, *UPDATE], *tried]


def test_apt_is_left_alone_without_rights(machine):
    there = machine(["apt-get"], root=False)
    assert browser.main() and there.commands == [DOWNLOAD]


def test_without_any_browser_one_line_says_what_to_install(machine):
    there = machine(["apt-get"])  # every installer runs out of time
    line = browser.main()
    assert "install Chromium or Google Chrome" in line and "\n" not in line
    installs = [[*INSTALL, name] for name in (SHELL, WHOLE)]
    assert there.commands == [DOWNLOAD, UPDATE, *installs]


def test_the_fixture_fails_without_a_browser(machine, refuses):
    with refuses(RuntimeError, "install Chromium or Google Chrome"):
        browser.launch(machine().playwright)
