"""A VAE of strings: x are rows of tokens, and p(x|z) is a product over their places.

Letters: B batch, L places of a row, V tokens, J latent dimensions, K samples (the
sample axis first).
"""

import torch
from torch import Tensor

from vae_lib.configs import SequenceConfig
from vae_lib.distributions import gaussian_log_prob, reparameterize
from vae_lib.domains import (
    check_floats,
    check_generator,
    check_switches,
    require,
    whole,
)
from vae_lib.latent import LatentVariableModel, VAEOutput
from vae_lib.models import LOGVAR_BOUND
from vae_lib.priors import PRIORS, Prior
from vae_lib.tokens import END, categorical_log_prob, check_tokens
from vae_lib.writers import DECODERS, Decoder, Encoder, PropertyHead


class SequenceVAE(LatentVariableModel):
    """A VAE of rows of tokens with a diagonal Gaussian q(z|x) and the prior N(0, I).

    Training shows its decoder the true tokens before each place, which is what the
    product rule asks for: p(x|z) is the product of p(token | z, tokens before it).

    Book: eq-token-likelihood.
    """

    config_class = SequenceConfig

    def __init__(self, config: SequenceConfig):
        super().__init__(config)
        self.encoder = Encoder(config)
        self.decoder: Decoder = DECODERS[config.decoder](config)
        self.head = PropertyHead(config) if config.n_properties else None
        self.prior: Prior = PRIORS["standard"](config, self.encode)

    @property
    def is_told(self) -> bool:
        """Whether it has a head, which a run without properties would not train."""
        return self.head is not None

    @property
    def x_dtype(self) -> torch.dtype:
        """The type of tokens."""
        return torch.int64

    @classmethod
    def check_data(cls, config: SequenceConfig, x: Tensor) -> None:
        """Raise ValueError unless x (N, L) are strings of the alphabet."""
        cls.check_config(config)
        check_tokens(x, config.length, config.n_tokens)

    def check_labels(self, labels: Tensor | None, n: int) -> None:
        """Raise ValueError unless these are finite properties of n strings, or None."""
        if labels is None:
            return
        dtype, width = self.input_mean.dtype, self.config.n_properties
        expected = f"properties ({n}, {width}), finite, of {dtype}, or None"
        require(width > 0, "no properties, for this model has no head", labels)
        sort = isinstance(labels, Tensor) and labels.dtype == dtype
        require(sort and labels.shape == (n, width), expected, labels)
        require(bool(labels.isfinite().all()), expected, "NaN or infinity")

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters (mu, logvar) of q(z|x), each (B, J), from tokens x (B, L).

        Raises ValueError unless x are rows of int64; which ones, ``check`` asks.
        """
        self._check_rows(x)
        mu, raw_logvar = self.encoder(x).chunk(2, dim=-1)
        return mu, LOGVAR_BOUND * torch.tanh(raw_logvar / LOGVAR_BOUND)

    def decode(self, z: Tensor, x: Tensor) -> Tensor:
        """Logits (..., B, L, V) of z (..., B, J), each told the tokens x before it.

        Raises ValueError unless x are rows of int64, and z one code or more for each.
        """
        self._check_rows(x)
        self._check_codes(z)
        require(z.shape[-2] == len(x), f"codes (..., {len(x)}, J)", z)
        return self.decoder(z, x)

    def forward(
        self,
        x: Tensor,
        y: Tensor | None = None,
        *,
        n_samples: int | None = None,
        eps: Tensor | None = None,
        generator: torch.Generator | None = None,
        weights: bool = False,
    ) -> VAEOutput:
        """Encode x (B, L), draw z, decode and score, as ``models.VAE.forward`` does.

        With properties y (B, P) what is scored is the pair: log p(x|z) + log p(y|z). A
        code is read from x alone.
        """
        check_switches(weights=weights)
        mu, logvar = self.encode(x)
        self.check_labels(y, len(x))
        z = reparameterize(
            mu, logvar, n_samples=n_samples, eps=eps, generator=generator
        )
        x_logits = self.decode(z, x)
        log_p_x_given_z = categorical_log_prob(x, x_logits)
        if y is not None:
            log_p_x_given_z = log_p_x_given_z + self.head.log_prob(y, z)
        kl = self.prior.kl(mu, logvar)
        log_w = None
        if weights:
            log_q_z = gaussian_log_prob(z, mu, logvar)
            log_w = log_p_x_given_z + self.prior.log_prob(z) - log_q_z
        return VAEOutput(mu, logvar, z, x_logits, log_p_x_given_z, kl, log_w)

    @torch.no_grad()
    def write(
        self,
        z: Tensor,
        *,
        greedy: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Strings drawn from p(x|z), tokens (n, L) of codes z (n, J).

        greedy takes the likeliest token at each place instead, which is no draw. A row
        that has no end token is no string of the alphabet: it was too long. Raises
        ValueError unless z is a matrix of floats that fits, and the others are sound.
        """
        self._check_codes(z)
        require(z.dim() == 2 and len(z) > 0, "codes (n, J), n >= 1", z)
        check_switches(greedy=greedy)
        check_generator(generator, z.device)

        def choose(logits: Tensor) -> Tensor:
            if greedy:
                return logits.argmax(-1)
            flat = logits.softmax(-1).reshape(-1, logits.shape[-1])
            drawn = torch.multinomial(flat, 1, generator=generator)
            return drawn.reshape(logits.shape[:-1])

        tokens = self.decoder.write(z, choose)
        is_end = tokens == END
        behind = is_end.cumsum(1) - is_end.long() > 0
        return tokens.masked_fill(behind, END)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Strings of n >= 1 draws z ~ p(z): tokens (n, L)."""
        n = whole("n", n)
        check_generator(generator, self.input_mean.device)
        return self.write(self.prior.sample(n, generator), generator=generator)

    def _check_rows(self, x: Tensor) -> None:
        """Raise ValueError unless x (B, L) may be tokens: of their values nothing."""
        expected = f"tokens (B, {self.config.length}) of int64, B >= 1"
        sort = isinstance(x, Tensor) and x.dtype == torch.int64 and x.dim() == 2
        require(sort and x.shape[1] == self.config.length and len(x) > 0, expected, x)

    def _check_codes(self, z: Tensor) -> None:
        """Raise ValueError unless z (..., B, J) are floats of the model's type."""
        width, dtype = self.config.latent_dim, self.input_mean.dtype
        expected = f"codes (..., B, {width}) of {dtype}"
        check_floats(expected, z, self.input_mean)
        fits = z.dim() > 1 and z.shape[-1] == width and z.dtype == dtype
        require(fits, expected, z)
