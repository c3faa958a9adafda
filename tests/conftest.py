"""Fixtures that several files share; every test starts from the same seed."""

from contextlib import contextmanager

import pytest
import torch

from vae_lib.models import VAE, VAEConfig


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


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
def refuses():
    """Expect an error whose message is one line and holds these words."""

    @contextmanager
    def refuse(error: type[Exception], *words: str):
        with pytest.raises(error) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message and all(word in message for word in words), message

    return refuse
