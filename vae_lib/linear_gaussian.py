"""A latent-variable model whose evidence and posterior are exact: probabilistic PCA.

z ~ N(0, I_J) and x | z ~ N(W z + mean, noise_std^2 I_D) give a Gaussian p(x) and a
Gaussian p(z | x). Tests hold every estimator of the library against this model.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from vae_lib.distributions import gaussian_log_prob
from vae_lib.domains import check_finite_tensor, check_generator, number, require, whole


class LinearGaussianModel:
    """Probabilistic PCA with weight W (D, J), mean (D,) and noise_std > 0.

    Raises ValueError if the shapes do not match, a number is not finite or noise_std is
    not positive; its methods, if what comes is not of the model's shape and type.
    Book: eq-linear-gaussian. Source: Tipping & Bishop (1999).
    """

    def __init__(self, weight: Tensor, mean: Tensor, noise_std: float):
        for name, given in (("weight (D, J)", weight), ("mean (D,)", mean)):
            check_finite_tensor(f"finite {name}", given)
        alike = (mean.dtype, mean.device) == (weight.dtype, weight.device)
        require(alike, f"mean like weight, {weight.dtype} on {weight.device}", mean)
        shapes = f"{tuple(weight.shape)} and {tuple(mean.shape)}"
        if weight.dim() != 2 or mean.shape != weight.shape[:1] or not weight.numel():
            raise ValueError(f"expected weight (D, J) and mean (D,), got {shapes}")
        self.weight, self.mean = weight, mean
        self.noise_std = number("noise_std", noise_std, above=0)

    def _check(self, name: str, given: Tensor, width: int) -> None:
        """Raise ValueError unless it has this width and the type of the model."""
        expected = f"finite {name} (..., {width}) of {self.mean.dtype}"
        fits = isinstance(given, Tensor) and given.shape[-1:] == (width,)
        fits = fits and given.dtype == self.mean.dtype
        require(fits and given.device == self.mean.device, expected, given)
        check_finite_tensor(expected, given)

    def log_p_x_given_z(self, x: Tensor, z: Tensor) -> Tensor:
        """Log-likelihood in nats, (..., B), of x (B, D) given z (..., B, J).

        Book: eq-linear-gaussian.
        """
        self._check("x", x, len(self.mean))
        self._check("z", z, self.weight.shape[1])
        logvar = torch.full_like(self.mean, 2 * math.log(self.noise_std))
        return gaussian_log_prob(x, z @ self.weight.T + self.mean, logvar)

    def log_evidence(self, x: Tensor) -> Tensor:
        """Exact log p(x) in nats, (B,), of x (B, D): N(mean, W W' + noise_std^2 I).

        Book: eq-linear-gaussian-evidence.
        """
        self._check("x", x, len(self.mean))
        identity = torch.eye(len(self.mean), dtype=x.dtype, device=x.device)
        covariance = self.weight @ self.weight.T + self.noise_std**2 * identity
        return MultivariateNormal(self.mean, covariance).log_prob(x)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (B, J) and covariance (J, J) of the exact Gaussian p(z | x), x (B, D).

        With M = W'W + noise_std^2 I the mean is M^-1 W'(x - mean) and the covariance
        noise_std^2 M^-1, the same for every x.

        Book: eq-linear-gaussian-posterior.
        """
        self._check("x", x, len(self.mean))
        require(x.dim() == 2, f"x (B, {len(self.mean)})", x)
        identity = torch.eye(self.weight.shape[1], dtype=x.dtype, device=x.device)
        m = self.weight.T @ self.weight + self.noise_std**2 * identity  # (J, J)
        mean = torch.linalg.solve(m, self.weight.T @ (x - self.mean).T).T  # (B, J)
        return mean, self.noise_std**2 * torch.linalg.inv(m)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """n >= 1 draws of x from p(x), shape (n, D).

        Book: eq-linear-gaussian.
        """
        n = whole("n", n)
        check_generator(generator, self.mean.device)
        n_pixels, latent_dim = self.weight.shape
        like: dict[str, Any] = {"dtype": self.mean.dtype, "device": self.mean.device}
        z = torch.randn(n, latent_dim, generator=generator, **like)
        noise = torch.randn(n, n_pixels, generator=generator, **like)
        return z @ self.weight.T + self.mean + self.noise_std * noise

    @classmethod
    def fit(cls, x: Tensor, latent_dim: int) -> "LinearGaussianModel":
        """The maximum-likelihood model of x, shape (N, D), in closed form.

        The noise variance is the mean of the D - latent_dim smallest eigenvalues of the
        covariance of x; W holds the leading eigenvectors, each scaled by the root of
        its eigenvalue minus the noise variance.

        Raises ValueError unless N > 1 and 1 <= latent_dim < D, and if x has no noise:
        if its pictures lie in latent_dim dimensions.
        Book: eq-linear-gaussian-fit.
        """
        latent_dim = whole("latent_dim", latent_dim)
        check_finite_tensor("finite x (N, D)", x)
        if x.dim() != 2 or len(x) < 2 or latent_dim >= x.shape[1]:
            raise ValueError(
                "expected x (N, D) with N > 1 and 1 <= latent_dim < D,"
                f" got x {tuple(x.shape)} and latent_dim={latent_dim}"
            )
        eigenvalues, eigenvectors = torch.linalg.eigh(torch.cov(x.T, correction=0))
        noise_variance = eigenvalues[:-latent_dim].mean()  # eigenvalues ascend
        rounding = torch.finfo(x.dtype).eps * eigenvalues[-1] * len(eigenvalues)
        if not noise_variance > rounding:
            got = f"variance {noise_variance:g} beside them"
            raise ValueError(
                f"expected x with more than {latent_dim} dimensions, got {got}"
            )
        scale = (eigenvalues[-latent_dim:] - noise_variance).clamp(min=0).sqrt()
        weight = eigenvectors[:, -latent_dim:] * scale  # (D, J)
        return cls(weight, x.mean(0), float(noise_variance.sqrt()))
