"""A VAE with several layers of codes: z1 nearest to x, and each with one above it.

Letters: B batch, D pixels, K samples (the sample axis first), L layers of codes, of
which layer l has J_l dimensions.
"""

from typing import Any

import torch
from torch import Tensor

from vae_lib.distributions import reparameterize
from vae_lib.domains import check_generator, check_rows, check_switches, require, whole
from vae_lib.doors import check_given, check_judged
from vae_lib.latent import LatentVariableModel, VAEOutput
from vae_lib.layered_configs import HierarchicalConfig
from vae_lib.layers import ENCODERS, Gaussian, Layer, bounded, log_ratio, networks_of
from vae_lib.likelihoods import LIKELIHOODS, Likelihood


class HierarchicalVAE(LatentVariableModel):
    """A VAE in which the prior of z1 is a decoder of z2, and so on up to N(0, I).

    Its noise eps ((K,) B, J_1 + ... + J_L) has the numbers of z1 first. Of its output z
    is z1, and mu and logvar belong to the top layer. With one layer it is a VAE. Its
    methods raise ValueError unless what comes is a tensor of floats of their shape, of
    the model's type and on its device.

    Source: Burda, Grosse & Salakhutdinov (2016), section 5; of the ladder Sonderby et
    al. (2016).
    """

    config_class = HierarchicalConfig
    likelihood: Likelihood
    up: Any  # a module for each code, z1's first; so are the other two
    guess: Any
    down: Any
    top_is_standard = True

    def __init__(self, config: HierarchicalConfig):
        super().__init__(config)
        self.likelihood = LIKELIHOODS[config.likelihood](config)
        self.up, self.guess, self.down = networks_of(config)

    @property
    def q_is_gaussian(self) -> bool:
        """Whether one Gaussian is q of all codes, as it is with one layer alone."""
        return len(self.down) == 1

    @classmethod
    def from_data(cls, config: HierarchicalConfig, images: Tensor) -> "HierarchicalVAE":
        """A new model that need not learn the mean of images (N, D), as a VAE's."""
        cls.check_data(config, images)
        model = cls(config)
        mean = images.detach().mean(0).to(model.input_mean)
        model.input_mean.copy_(mean)
        model.down[0][-1].bias.data.copy_(model.likelihood.start(mean, len(images)))
        return model

    @classmethod
    def check_data(cls, config: HierarchicalConfig, x: Tensor) -> None:
        """Raise ValueError unless x (N, D) are images that have a likelihood."""
        cls.check_config(config)
        LIKELIHOODS[config.likelihood].check(x, config.n_pixels)

    def encode(self, x: Tensor) -> Gaussian:
        """(mu, logvar), each (B, J), of the code that is drawn first given x (B, D).

        It is the lowest, z1, of a bottom-up encoder, and the highest of a ladder.
        """
        reads_codes = ENCODERS[self.config.encoder].reads_codes
        n_first = 1 if reads_codes else len(self.up)
        h = self._centred(x)
        for up in self.up[:n_first]:
            h = up(h)
        return bounded(self.guess[n_first - 1](h))

    def decode(self, z: Tensor) -> Tensor:
        """Parameters of p(x|z1) (..., D) of z1 (..., J_1): logits, or means."""
        self._check_codes(1, z)
        return self.down[0](z)

    def prior_of(self, layer: int, z: Tensor) -> Gaussian:
        """(mu, logvar) of p(z_l|z_l+1), l = layer from 1 on, of the code z above it.

        The top layer has none above: its own code z says how many zeros, (..., J).
        """
        layer = whole("layer", layer, 1, len(self.down) + 1)
        self._check_codes(min(layer + 1, len(self.down)), z)
        if layer == len(self.down):
            return torch.zeros_like(z), torch.zeros_like(z)
        return bounded(self.down[layer](z))

    def layers(self, x: Tensor, eps: Tensor) -> list[Layer]:
        """All codes of x (B, D), from z1 up, drawn by q with the noise eps.

        Raises ValueError unless x are images and eps is ((K,) B, J_1 + ... + J_L).
        """
        h, dims = self._centred(x), self.config.latent_dims
        check_rows(f"eps ((K,) {len(x)}, {sum(dims)})", eps, sum(dims), x)
        fits = eps.dim() in (2, 3) and eps.shape[-2] == len(x)
        require(fits, f"eps ((K,) {len(x)}, {sum(dims)})", eps)
        return ENCODERS[self.config.encoder].draw(self, h, eps.split(dims, dim=-1))

    def forward(
        self,
        x: Tensor,
        y: None = None,
        *,
        n_samples: int | None = None,
        eps: Tensor | None = None,
        generator: torch.Generator | None = None,
        weights: bool = False,
    ) -> VAEOutput:
        """Encode x (B, D), draw all codes, decode and score, as a VAE does."""
        check_switches(weights=weights)
        require(y is None, "no labels for a HierarchicalVAE", y)
        none = self._centred(x).new_zeros(len(x), self.noise_dim)
        eps = reparameterize(
            none, none, n_samples=n_samples, eps=eps, generator=generator
        )  # standard normal
        layers = self.layers(x, eps)
        z, (mu, logvar) = layers[0].z, layers[-1].q
        x_params = self.decode(z)
        log_p_x_given_z = self.likelihood.log_prob(x, x_params)
        kls = torch.stack([layer.kl.view(-1, len(x)).mean(0) for layer in layers])
        below = kls[:-1].sum(0) if len(layers) > 1 else None
        log_w = log_p_x_given_z - sum(map(log_ratio, layers)) if weights else None
        terms = log_p_x_given_z, kls.sum(0), log_w, below
        return VAEOutput(mu, logvar, z, x_params, *terms)

    @torch.no_grad()
    def mean_image(self, z: Tensor) -> Tensor:
        """E[x|z1], the picture to show: (B, D) in [0, 1] from z1 (B, J_1)."""
        return self.likelihood.mean(self.decode(z))

    @torch.no_grad()
    def draw_below(
        self, layer: int, z: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """z1 (n, J_1), drawn from p given codes z (n, J) of this layer, 1 or more."""
        layer = whole("layer", layer, 1, len(self.down) + 1)
        self._check_codes(layer, z)
        for lower in range(layer - 1, 0, -1):
            z = reparameterize(*self.prior_of(lower, z), generator=generator)
        return z

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Mean images (n, D) of n >= 1 draws from the top down: new data."""
        n = whole("n", n)
        top = self.input_mean.new_zeros(n, self.config.latent_dims[-1])
        z = reparameterize(top, top, generator=generator)
        return self.mean_image(self.draw_below(len(self.down), z, generator))

    def _centred(self, x: Tensor) -> Tensor:
        """x less the mean; ValueError unless x (B, D) are floats that fit the model."""
        expected = f"images (B, {self.config.n_pixels})"
        check_rows(expected, x, self.config.n_pixels, self.input_mean)
        require(x.dim() == 2, expected, x)
        return x - self.input_mean

    def _check_codes(self, layer: int, z: Tensor) -> None:
        """Raise ValueError unless z (..., J) are codes of this layer."""
        J = self.config.latent_dims[layer - 1]
        check_rows(f"codes (..., {J})", z, J, self.input_mean)


@torch.no_grad()
def kl_by_layer(
    model: HierarchicalVAE, images: Tensor, *, generator: torch.Generator | None = None
) -> Tensor:
    """The mean of each layer's KL over images (N, D), (L,) in float64, in nats.

    By one draw for each image; they add up to that of ``evaluate_elbo``. Where the KL
    of a layer has no closed form it may be negative. Raises ValueError if the model is
    another one, or the images are bad.
    """
    require(isinstance(model, HierarchicalVAE), "a HierarchicalVAE", model)
    check_judged(model)
    check_given(model, images)
    device = model.input_mean.device
    check_generator(generator, device)
    generator = generator or torch.Generator(device).manual_seed(0)
    none = images.new_zeros(len(images), model.noise_dim, device=device)
    eps = reparameterize(none, none, generator=generator)  # as evaluate_elbo draws it
    sums = torch.zeros(len(model.down), dtype=torch.float64)
    for x, noise in zip(images.split(1000), eps.split(1000), strict=True):
        layers = model.layers(x.to(device), noise)
        sums += torch.stack([layer.kl.double().sum() for layer in layers]).cpu()
    return sums / len(images)
