"""Fixtures that several files share; every test starts from the same seed."""

import gc
import os
import signal
import socket
from collections.abc import Callable
from contextlib import contextmanager

import pytest
import torch

from vae_lib.data import ImageSet
from vae_lib.models import VAE, VAEConfig

ALARMS = ("error", "warning")  # what no page may say on the console

# Python looks for garbage after every 700 new objects: with the site's pages in memory
# a third of the time that reading them takes.
gc.set_threshold(20_000)


def pytest_addoption(parser) -> None:
    about = "how often the test of killed runs kills (default: %(default)s)"
    parser.addoption("--kills", type=int, default=5, metavar="N", help=about)


# A minute and more each: begun last, one would keep one process busy and leave the
# other idle.
LONGEST = ("test_pdf.py", "test_class_of_sixty.py", "test_grading.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture
def kills(request) -> int:
    return request.config.getoption("--kills")


@pytest.fixture(scope="session")
def without_sockets():
    """A context in which whoever asks for a connection fails."""

    def refuse(*args, **kwargs):
        raise AssertionError("there must be no connection")

    @contextmanager
    def offline():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "socket", refuse)
            yield

    return offline


@pytest.fixture(autouse=True)
def fresh_torch():
    """The seed, and the default type, which a notebook that ran here may have set."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)


@pytest.fixture(autouse=True)
def ctrl_c_acts():
    """Ctrl-C interrupts, also where it is ignored, as in the background of a script."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def double_precision(fresh_torch) -> None:
    """Tensors of float64 where none is said, for tests that hold to many digits."""
    torch.set_default_dtype(torch.float64)


@pytest.fixture
def batch() -> torch.Tensor:
    """Seven grey images of six pixels."""
    return torch.rand(7, 6, dtype=torch.float64)


@pytest.fixture
def make_vae():
    """Build a small float64 VAE for ``batch``; arguments override its configuration."""

    def make(**changes) -> VAE:
        small = {"n_pixels": 6, "hidden_dims": (5,), "activation": "silu"}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return VAE(VAEConfig(**small | changes)).double()

    return make


@pytest.fixture
def mnist_is(monkeypatch):
    """Take another loader for that of MNIST, wherever it is asked for by name."""
    from vae_lib.data_sets import DATA_SETS

    def take(load: Callable[[str], ImageSet]) -> None:
        monkeypatch.setitem(DATA_SETS, "mnist", DATA_SETS["mnist"]._replace(load=load))

    return take


@pytest.fixture
def few_digits(mnist_is) -> torch.Tensor:
    """Forty images, which the command line takes for each split of MNIST."""
    images = torch.rand(40, 784)
    few = ImageSet(images, torch.arange(40) % 10)
    mnist_is(lambda split: few)
    return images


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command: its exit code, standard output and standard error.

    It tells of no progress, so that standard error holds complaints alone.
    """
    from vae_lib import __main__ as command_line

    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setenv("MPLBACKEND", os.environ.get("MPLBACKEND", "agg"))

    def call(*words) -> tuple[int, str, str]:
        try:
            code = command_line.main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def refuses():
    """Expect an error whose message is one line and holds these words."""

    @contextmanager
    def refuse(error: type[Exception], *words: str):
        with pytest.raises(error) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message and all(word in message for word in words), message

    return refuse


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all tests; where there is none, they fail."""
    from playwright.sync_api import sync_playwright

    from tools.site.browser import launch

    with sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def open_page(browser):
    """Open a file as a reader without a network does, and wait until its maths is set.

    ``page.problems`` records all that goes wrong: errors and warnings of the console,
    errors of scripts, requests that fail, and every request that leaves the disk;
    ``page.requests`` the addresses of all that is loaded.
    """
    from tools.site.browser import MATHS_IS_SET, wait_until

    contexts = []

    def record(page):
        page.problems, page.requests = [], []

        def note(kind, text):
            page.problems.append(f"{kind}: {text}")

        page.on("request", lambda request: page.requests.append(request.url))
        page.on("console", lambda m: m.type in ALARMS and note("console", m.text))
        page.on("pageerror", lambda error: note("script", error))
        page.on("requestfailed", lambda request: note("request", request.url))

    def open_file(file, width=1300, theme="light", query=""):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            reduced_motion="reduce",
            offline=True,
        )
        contexts.append(context)
        for key in ("mode", "theme"):
            context.add_init_script(f"localStorage.{key} ??= '{theme}'")
        page = context.new_page()
        record(page)
        page.goto(file.as_uri() + query)
        try:
            wait_until(page, MATHS_IS_SET, seconds=15)
        except TimeoutError:
            page.problems.append("maths: not set within 15 seconds")
        return page

    yield open_file
    for context in contexts:
        context.close()
