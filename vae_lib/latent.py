"""What every latent variable model here is to the loops around it.

Letters: B batch, D pixels, J latent dimensions, K samples (the sample axis first).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vae_lib.configs import VAEConfig
from vae_lib.domains import require


class VAEOutput(NamedTuple):
    """What one pass through a VAE yields; shapes for one sample and for K samples."""

    mu: Tensor  # (B, J)
    logvar: Tensor  # (B, J)
    z: Tensor  # (B, J) or (K, B, J)
    x_params: Tensor  # (B, D) or (K, B, D)
    log_p_x_given_z: Tensor  # (B,) or (K, B), nats
    kl: Tensor  # (B,), nats
    log_w: Tensor | None = None  # (B,) or (K, B), nats, where it was asked for


class LatentVariableModel(nn.Module):
    """What training, evaluation and files need of a model of x (B, D), and no more.

    A class of your own is made of a config alone, and names the config's class; where
    it has its line in ``kinds.KINDS``, its files are loaded like any other. It defines
    ``check`` and, with the arguments of ``VAE.forward``, what an objective needs::

        forward(x, y=None, *, n_samples, eps, generator, weights) -> VAEOutput

    y are labels (B,), whole numbers below n_labels, of a model that is told them.
    """

    config_class: type = VAEConfig
    n_labels = 0  # how many there are; 0 for a model that is told none
    draws_z = True  # from q(z|x); if not, there is no KL and no bound on log p(x)
    config: Any  # a frozen dataclass that JSON can hold, with n_pixels
    input_mean: Tensor  # (D,), subtracted before the encoder
    history: Any  # a steps.TrainingHistory, once it has been trained
    record: dict[str, Any]  # what its file says of it
    extra: dict[str, Tensor]  # what its file keeps beside its weights

    def __init__(self, config: Any):
        super().__init__()
        name = self.config_class.__name__
        fits = isinstance(config, self.config_class)
        require(fits, f"config to be a {name}", config)
        self.config, self.history, self.record, self.extra = config, None, {}, {}
        self.register_buffer("input_mean", torch.zeros(config.n_pixels))

    @property
    def noise_dim(self) -> int:
        """How many standard normal numbers a draw of z takes."""
        return self.config.latent_dim

    def check(self, x: Tensor) -> None:
        """Raise ValueError unless x (N, D) has a likelihood under this model."""
        raise NotImplementedError
