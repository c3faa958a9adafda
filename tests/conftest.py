"""Fixtures that several files share; every test starts from the same seed."""

from contextlib import contextmanager

import pytest
import torch

from vae_lib.data import ImageSet
from vae_lib.models import VAE, VAEConfig


def pytest_addoption(parser) -> None:
    about = "how often the test of killed runs kills (default: %(default)s)"
    parser.addoption("--kills", type=int, default=5, metavar="N", help=about)


@pytest.fixture
def kills(request) -> int:
    return request.config.getoption("--kills")


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def double_precision():
    """Tensors of float64 where none is said, for tests that hold to many digits."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


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
def few_digits(monkeypatch) -> torch.Tensor:
    """Forty images, which the command line takes for each split of MNIST."""
    from vae_lib import __main__ as command_line

    images = torch.rand(40, 784)
    few = ImageSet(images, torch.arange(40) % 10)
    monkeypatch.setattr(command_line, "load_mnist", lambda split: few)
    return images


@pytest.fixture
def run(capsys):
    """Run a command: its exit code, standard output and standard error."""
    from vae_lib import __main__ as command_line

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
