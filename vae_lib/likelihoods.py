"""p(x|z) by what the decoder yields: what x may be, its log density, its mean.

A likelihood is one class and one line in LIKELIHOODS; nothing asks for it by name.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from vae_lib.data import check_images
from vae_lib.distributions import (
    bernoulli_log_prob,
    continuous_bernoulli_log_prob,
    continuous_bernoulli_mean,
    gaussian_log_prob,
)


class Likelihood(nn.Module):
    """Pixels that are independent given z, with one number of the decoder for each.

    options names the fields of a VAEConfig that this likelihood reads and others do
    not. Shapes: x (B, D), x_params (..., B, D).
    """

    options: frozenset[str] = frozenset()

    def __init__(self, config: Any):
        super().__init__()

    @classmethod
    def check(cls, x: Tensor, n_pixels: int) -> None:
        """Raise ValueError unless x are images (N, D) that have a likelihood."""
        check_images(x, n_pixels)

    def log_prob(self, x: Tensor, x_params: Tensor) -> Tensor:
        """log p(x|z) in nats, (..., B): summed over the pixels."""
        raise NotImplementedError

    def mean(self, x_params: Tensor) -> Tensor:
        """E[x|z], to be shown: pixels in [0, 1], of the shape of x_params."""
        raise NotImplementedError

    def slope(self, x: Tensor, x_params: Tensor) -> Tensor:
        """The derivative of log p(x|z) by x_params, of their shape: x less its mean.

        Book: eq-output-gradient.
        """
        return x - self.mean(x_params)

    def start(self, mean: Tensor, n_images: int) -> Tensor:
        """The x_params (D,) that give the mean (D,) of so many images."""
        # Laplace's rule keeps the logit of pixels that are never lit finite.
        return torch.logit((mean * n_images + 1) / (n_images + 2))


class Bernoulli(Likelihood):
    """Pixels that are lit with a probability, whose logit the decoder yields.

    Book: eq-bernoulli-log-prob.
    """

    def log_prob(self, x: Tensor, x_params: Tensor) -> Tensor:
        """log p(x|z) in nats, (..., B), also of grey x."""
        return bernoulli_log_prob(x, x_params)

    def mean(self, x_params: Tensor) -> Tensor:
        """The probabilities."""
        return torch.sigmoid(x_params)


class ContinuousBernoulli(Likelihood):
    """Grey pixels under the continuous Bernoulli, whose logit the decoder yields.

    Book: eq-continuous-bernoulli.
    """

    def log_prob(self, x: Tensor, x_params: Tensor) -> Tensor:
        """Log density of x in nats, (..., B)."""
        return continuous_bernoulli_log_prob(x, x_params)

    def mean(self, x_params: Tensor) -> Tensor:
        """The means, which are not the parameters of the same name."""
        return continuous_bernoulli_mean(x_params)


class Gaussian(Likelihood):
    """Pixels with normal noise of one variance about what the decoder yields.

    Its standard deviation is config.noise_std, or starts there and is learned.
    Book: eq-gaussian-likelihood.
    """

    options = frozenset({"noise_std", "learn_noise"})

    def __init__(self, config: Any):
        super().__init__(config)
        self.fixed_logvar = 2 * math.log(config.noise_std)
        self.noise_logvar = None
        if config.learn_noise:
            self.noise_logvar = nn.Parameter(torch.tensor(self.fixed_logvar))

    @classmethod
    def check(cls, x: Tensor, n_pixels: int) -> None:
        """Raise ValueError unless x are images (N, D) of any finite numbers."""
        check_images(x, n_pixels, unit_interval=False)

    @property
    def noise_std(self) -> float:
        """The standard deviation of the noise, as it is now."""
        learned = self.noise_logvar
        return math.exp((self.fixed_logvar if learned is None else learned.item()) / 2)

    def log_prob(self, x: Tensor, x_params: Tensor) -> Tensor:
        """Log density of x in nats, (..., B)."""
        learned = self.noise_logvar
        logvar = x.new_tensor(self.fixed_logvar) if learned is None else learned
        return gaussian_log_prob(x, x_params, logvar.expand_as(x))

    def mean(self, x_params: Tensor) -> Tensor:
        """The means, as far as they can be shown."""
        return x_params.clamp(0, 1)

    def slope(self, x: Tensor, x_params: Tensor) -> Tensor:
        """The derivative of log p(x|z) by x_params: the error over the variance."""
        return (x - x_params) / self.noise_std**2

    def start(self, mean: Tensor, n_images: int) -> Tensor:
        """The mean itself."""
        return mean


LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "continuous_bernoulli": ContinuousBernoulli,
}
