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

    mu: Tensor  # (B, J), or (K, B, J) where q knows it of another code
    logvar: Tensor  # of the same shape
    z: Tensor  # (B, J) or (K, B, J)
    x_params: Tensor  # (B, D) or (K, B, D)
    log_p_x_given_z: Tensor  # (B,) or (K, B), nats
    kl: Tensor  # (B,), nats
    log_w: Tensor | None = None  # (B,) or (K, B), nats, where it was asked for
    kl_below: Tensor | None = None  # (B,), nats: of kl that of other codes, if any


class LatentVariableModel(nn.Module):
    """What training, evaluation and files need of a model of x (B, D), and no more.

    A class of your own is made of a config alone, and names the config's class; where
    it has its line in ``kinds.KINDS``, its files are loaded like any other. It defines
    ``check_data`` and, with the arguments of ``VAE.forward``, what an objective needs::

        forward(x, y=None, *, n_samples, eps, generator, weights) -> VAEOutput

    y is what a model is told of x: labels (B,), whole numbers below n_labels, or what
    its ``check_labels`` asks for.
    """

    config_class: type = VAEConfig
    n_labels = 0  # how many there are; 0 for a model that is told none
    draws_z = True  # from q(z|x); if not, there is no KL and no bound on log p(x)
    # Whether free bits can be counted though q of all codes is no Gaussian: for mu and
    # logvar of the output are those of a code whose prior is N(0, I).
    top_is_standard = False
    config: Any  # a frozen dataclass that JSON can hold, with n_pixels
    input_mean: Tensor  # (D,), subtracted before the encoder
    history: Any  # a steps.TrainingHistory, once it has been trained
    record: dict[str, Any]  # what its file says of it
    extra: dict[str, Tensor]  # what its file keeps beside its weights

    def __init__(self, config: Any):
        super().__init__()
        self.check_config(config)
        self.config, self.history, self.record, self.extra = config, None, {}, {}
        self.register_buffer("input_mean", torch.zeros(config.n_pixels))

    @property
    def noise_dim(self) -> int:
        """How many standard normal numbers a draw of z takes."""
        return self.config.latent_dim

    @property
    def q_is_gaussian(self) -> bool:
        """Whether q(z|x) is N(mu, diag(exp(logvar))), of what ``encode`` yields."""
        return True

    @property
    def is_told(self) -> bool:
        """Whether a run has to tell it something of each x; others may tell it none."""
        return self.n_labels > 0

    @property
    def x_dtype(self) -> torch.dtype:
        """What x is made of, as the weights are, or int64 for a model of tokens."""
        return self.input_mean.dtype

    @classmethod
    def check_config(cls, config: Any) -> None:
        """Raise ValueError unless this is a configuration of such a model."""
        fits = isinstance(config, cls.config_class)
        require(fits, f"config to be a {cls.config_class.__name__}", config)

    @classmethod
    def from_data(cls, config: Any, x: Tensor) -> "LatentVariableModel":
        """A new model of x (N, D); raises ValueError if x is bad."""
        cls.check_data(config, x)
        return cls(config)

    @classmethod
    def check_data(cls, config: Any, x: Tensor) -> None:
        """Raise ValueError unless x (N, D) has a likelihood under such a model."""
        raise NotImplementedError

    def check(self, x: Tensor) -> None:
        """Raise ValueError unless x (N, D) has a likelihood under this model."""
        self.check_data(self.config, x)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters (mu, logvar) of q(z|x), each (B, J), where codes are counted."""
        raise NotImplementedError

    def check_labels(self, labels: Tensor | None, n: int) -> None:
        """Raise ValueError unless these are labels of n examples, or None for none."""
        n_labels, kind = self.n_labels, type(self).__name__
        if n_labels == 0:
            require(labels is None, f"no labels, for {kind} is told none", labels)
            return
        expected = f"labels ({n},) from 0 to {n_labels - 1}, int64, for {kind}"
        sort = isinstance(labels, Tensor) and labels.dtype == torch.int64
        sort = sort and labels.shape == (n,) and not labels.is_meta
        require(sort, expected, labels)
        low, high = (value.item() for value in labels.aminmax())
        require(low >= 0 and high < n_labels, expected, f"{low} to {high}")
