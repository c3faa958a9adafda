"""Fixtures that several files share; every test starts from the same seed."""

from collections.abc import Callable
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from vae_lib.models import VAE, VAEConfig


@pytest.fixture(autouse=True)
def generator() -> torch.Generator:
    """A seeded generator; torch's global one is seeded too."""
    torch.manual_seed(0)
    return torch.Generator().manual_seed(0)


@pytest.fixture
def batch(generator: torch.Generator) -> Tensor:
    """Seven grey images of six pixels."""
    return torch.rand(7, 6, dtype=torch.float64, generator=generator)


@pytest.fixture
def make_vae() -> Callable[..., VAE]:
    """Build a small float64 VAE for ``batch``; arguments override its configuration."""

    def make(**changes) -> VAE:
        torch.manual_seed(0)
        small = {"n_pixels": 6, "hidden_dims": (5,), "activation": "silu"}
        return VAE(VAEConfig(**small | changes)).double()

    return make


@pytest.fixture
def refuses() -> Callable:
    """Expect an error whose message is one line and holds these words."""

    @contextmanager
    def refuse(error: type[Exception], *words: str):
        with pytest.raises(error) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        for word in words:
            assert word in message

    return refuse
