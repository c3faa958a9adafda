"""A latent-variable model whose evidence and posterior are exact: probabilistic PCA.

z ~ N(0, I_J) and x | z ~ N(W z + mean, noise_std^2 I_D) give a Gaussian p(x) and a
Gaussian p(z | x). Tests hold every estimator of the library against this model.
"""

import math

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from vae_lib.distributions import gaussian_log_prob


class LinearGaussianModel:
    """Probabilistic PCA with weight W (D, J), mean (D,) and noise_std > 0.

    Raises ValueError if the shapes do not match or noise_std is not positive.
    Book: eq-linear-gaussian. Source: Tipping & Bishop (1999).
    """

    def __init__(self, weight: Tensor, mean: Tensor, noise_std: float):
        if weight.dim() != 2 or mean.shape != weight.shape[:1] or not noise_std > 0:
            raise ValueError(
                "expected weight (D, J), mean (D,) and noise_std > 0,"
                f" got {tuple(weight.shape)}, {tuple(mean.shape)} and {noise_std}"
            )
        self.weight, self.mean, self.noise_std = weight, mean, float(noise_std)

    def log_p_x_given_z(self, x: Tensor, z: Tensor) -> Tensor:
        """Log-likelihood in nats, (..., B), of x (B, D) given z (..., B, J).

        Book: eq-linear-gaussian.
        """
        logvar = torch.full_like(self.mean, 2 * math.log(self.noise_std))
        return gaussian_log_prob(x, z @ self.weight.T + self.mean, logvar)

    def log_evidence(self, x: Tensor) -> Tensor:
        """Exact log p(x) in nats, (B,), of x (B, D): N(mean, W W' + noise_std^2 I).

        Book: eq-linear-gaussian-evidence.
        """
        identity = torch.eye(len(self.mean), dtype=x.dtype, device=x.device)
        covariance = self.weight @ self.weight.T + self.noise_std**2 * identity
        return MultivariateNormal(self.mean, covariance).log_prob(x)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (B, J) and covariance (J, J) of the exact Gaussian p(z | x), x (B, D).

        With M = W'W + noise_std^2 I the mean is M^-1 W'(x - mean) and the covariance
        noise_std^2 M^-1, the same for every x.

        Book: eq-linear-gaussian-posterior.
        """
        identity = torch.eye(self.weight.shape[1], dtype=x.dtype, device=x.device)
        m = self.weight.T @ self.weight + self.noise_std**2 * identity  # (J, J)
        mean = torch.linalg.solve(m, self.weight.T @ (x - self.mean).T).T  # (B, J)
        return mean, self.noise_std**2 * torch.linalg.inv(m)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """n draws of x from p(x), shape (n, D).

        Book: eq-linear-gaussian.
        """
        n_pixels, latent_dim = self.weight.shape
        like = {"dtype": self.mean.dtype, "device": self.mean.device}
        z = torch.randn(n, latent_dim, generator=generator, **like)
        noise = torch.randn(n, n_pixels, generator=generator, **like)
        return z @ self.weight.T + self.mean + self.noise_std * noise

    @classmethod
    def fit(cls, x: Tensor, latent_dim: int) -> "LinearGaussianModel":
        """The maximum-likelihood model of x, shape (N, D), in closed form.

        The noise variance is the mean of the D - latent_dim smallest eigenvalues of the
        covariance of x; W holds the leading eigenvectors, each scaled by the root of
        its eigenvalue minus the noise variance.

        Raises ValueError unless N > 1 and 1 <= latent_dim < D.
        Book: eq-linear-gaussian-fit.
        """
        if x.dim() != 2 or len(x) < 2 or not 1 <= latent_dim < x.shape[1]:
            raise ValueError(
                "expected x (N, D) with N > 1 and 1 <= latent_dim < D,"
                f" got x {tuple(x.shape)} and latent_dim={latent_dim}"
            )
        eigenvalues, eigenvectors = torch.linalg.eigh(torch.cov(x.T, correction=0))
        noise_variance = eigenvalues[:-latent_dim].mean()  # eigenvalues ascend
        scale = (eigenvalues[-latent_dim:] - noise_variance).sqrt()
        weight = eigenvectors[:, -latent_dim:] * scale  # (D, J)
        return cls(weight, x.mean(0), float(noise_variance.sqrt()))
