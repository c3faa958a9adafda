"""A diffusion model: a hierarchy of T codes whose encoder is fixed and adds noise.

Letters: B batch, D numbers of x, K samples (the sample axis first), T steps. Code t is
x_t = signal_t x + noise_t eps with signal_t^2 + noise_t^2 = 1.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from vae_lib.data import check_images
from vae_lib.distributions import gaussian_kl, gaussian_log_prob, reparameterize
from vae_lib.domains import check_rows, check_switches, require, whole
from vae_lib.latent import LatentVariableModel, VAEOutput
from vae_lib.layered_configs import DiffusionConfig
from vae_lib.networks import mlp


class Diffusion(LatentVariableModel):
    """T codes x_1, ..., x_T as large as x, each with more noise; p takes it away.

    One network guesses x from any code, and p(x_t-1|x_t) is q(x_t-1|x_t, x) with this
    guess for x. The log of signal^2 / noise^2 falls by the same amount at each step.
    With new weights p(x) nears N(0, I) as T grows. Its noise eps ((K,) B, T D) has the
    numbers of x_1 first; its output's z are all codes, mu and logvar those of x_T. Its
    methods raise ValueError unless what comes is a tensor of floats of their shape, of
    the model's type and on its device, and each step t (...) is one of the model's.

    Source: Ho et al. (2020); Kingma et al. (2021).
    """

    config_class = DiffusionConfig
    log_snr: Tensor  # (T,)

    def __init__(self, config: DiffusionConfig):
        super().__init__(config)
        ends = config.log_snr_first, config.log_snr_last
        self.register_buffer("log_snr", torch.linspace(*ends, config.n_steps))
        widths = (config.n_pixels + 1, *config.hidden_dims, config.n_pixels)
        self.network = mlp(widths, config.activation)
        for weights in self.network[-1].parameters():
            nn.init.zeros_(weights)

    @property
    def q_is_gaussian(self) -> bool:
        """Whether one Gaussian is q of all codes, as ``encode`` would have it: no."""
        return False

    @classmethod
    def check_data(cls, config: DiffusionConfig, x: Tensor) -> None:
        """Raise ValueError unless x (N, D) are finite numbers."""
        cls.check_config(config)
        check_images(x, config.n_pixels, unit_interval=False)

    def signal_and_noise(self) -> tuple[Tensor, Tensor]:
        """The factors of x and of eps in x_1, ..., x_T, each (T,)."""
        return torch.sigmoid(self.log_snr).sqrt(), torch.sigmoid(-self.log_snr).sqrt()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(mu, logvar), each (B, D), of q(x_T|x): hardly anything of x (B, D)."""
        self._check_points("x (B, {})", x, n_axes=2)
        signal, _ = self.signal_and_noise()
        return signal[-1] * x, logsigmoid(-self.log_snr[-1]).expand_as(x)

    def guess(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's guess of x (..., D) from x_t (..., D), its step t (...) >= 1.

        It starts as the mean of x given x_t where x is N(0, I): signal_t x_t.
        """
        self._check_points("x_t (..., {})", x_t)
        self._check_steps(t, 1)
        require(t.shape == x_t.shape[:-1], f"t {tuple(x_t.shape[:-1])}", t)
        return self._guess(x_t, t - 1)

    def noised(self, x: Tensor, eps: Tensor) -> Tensor:
        """x_1, ..., x_T (..., B, T, D) of x (B, D), each from the one before it.

        The noise eps (..., B, T, D) is what each step adds.
        """
        self._check_points("x (B, {})", x, n_axes=2)
        self._check_points("eps (..., B, T, {})", eps)
        T = len(self.log_snr)
        require(eps.shape[-3:-1] == (len(x), T), f"eps (..., {len(x)}, {T}, D)", eps)
        signal, noise = self.signal_and_noise()
        kept = signal / torch.cat((signal.new_ones(1), signal[:-1]))  # (T,)
        fall = self.log_snr[:-1] - self.log_snr[1:]  # (T - 1,)
        share = torch.cat((noise.new_ones(1), -torch.expm1(-fall)))  # of noise_t^2
        added = noise * share.sqrt()
        codes = []
        for t in range(T):
            x = kept[t] * x + added[t] * eps[..., t, :]
            codes.append(x)
        return torch.stack(codes, dim=-2)

    def step_back(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Factors of x_t and of x in the mean of q(x_t-1|x_t, x), and its log variance.

        Each (..., 1) for steps t (...) >= 2. It is the product of two Gaussians: what
        x says of x_t-1, and what x_t says of it.
        """
        self._check_steps(t, 2)
        return self._step_back(t - 2, t - 1)

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
        """Add noise to x (B, D), guess x from every code and score, as a VAE does."""
        check_switches(weights=weights)
        require(y is None, "no labels for a Diffusion", y)
        last, n = self.encode(x), self.config.n_pixels
        none = x.new_zeros(len(x), self.noise_dim)
        eps = reparameterize(
            none, none, n_samples=n_samples, eps=eps, generator=generator
        )  # standard normal
        codes = self.noised(x, eps.view(*eps.shape[:-1], -1, n))  # ((K,) B, T, D)
        guess = self._guess(codes, slice(None))
        error = (x[:, None] - guess).square().sum(-1)  # ((K,) B, T)
        snr = self.log_snr.exp()
        log_p_x = gaussian_log_prob(x, guess[..., 0, :], -self.log_snr[0])
        kls = (snr[:-1] - snr[1:]) / 2 * error[..., 1:]  # ((K,) B, T - 1)
        kl = kls.sum(-1).view(-1, len(x)).mean(0) + gaussian_kl(*last)
        log_w = log_p_x + self._log_p_over_q(x, codes, guess) if weights else None
        codes = codes.flatten(-2)
        return VAEOutput(*last, codes, guess[..., 0, :], log_p_x, kl, log_w)

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """n >= 1 draws of x, (n, D): from noise, by all steps back."""
        none = self.log_snr.new_zeros(whole("n", n), self.config.n_pixels)
        x = reparameterize(none, none, generator=generator)
        for t in range(len(self.log_snr), 0, -1):
            mu, logvar = self._guess(x, t - 1), -self.log_snr[0]
            if t > 1:
                of_x_t, of_x, logvar = self._step_back(t - 2, t - 1)
                mu = of_x_t * x + of_x * mu
            x = reparameterize(mu, logvar.expand_as(mu), generator=generator)
        return x

    def _guess(self, x_t: Tensor, at: int | slice | Tensor) -> Tensor:
        """What ``guess`` says; at is where the steps of x_t stand in log_snr."""
        signal, noise = (factor[at, None] for factor in self.signal_and_noise())
        level = self.log_snr[at, None] / 4  # of about the size of x
        level = level.expand(*x_t.shape[:-1], 1)
        return signal * x_t - noise * self.network(torch.cat((x_t, level), dim=-1))

    def _step_back(self, s, t) -> tuple[Tensor, Tensor, Tensor]:
        """What ``step_back`` says; s and t are where x_t-1 and x_t stand in log_snr."""
        signal, noise = (factor[:, None] for factor in self.signal_and_noise())
        share = -torch.expm1(self.log_snr[t, None] - self.log_snr[s, None])
        of_x_t = (signal[t] / signal[s]) * (noise[s] / noise[t]).square()
        # What step t adds has the variance share noise_t^2.
        return of_x_t, signal[s] * share, torch.log(share) + 2 * torch.log(noise[s])

    def _log_p_over_q(self, x: Tensor, codes: Tensor, guess: Tensor) -> Tensor:
        """log p(x_1, ..., x_T) - log q of the same given x, ((K,) B), in nats."""
        below, above = codes[..., :-1, :], codes[..., 1:, :]
        of_x_t, of_x, logvar = self._step_back(slice(-1), slice(1, None))
        mu = of_x_t * above  # and what is known or guessed of x
        log_p = gaussian_log_prob(below, mu + of_x * guess[..., 1:, :], logvar)
        log_q = gaussian_log_prob(below, mu + of_x * x[:, None], logvar)
        last, zero = codes[..., -1, :], torch.zeros_like(x)
        log_ratio = gaussian_log_prob(last, zero, zero)
        log_ratio = log_ratio - gaussian_log_prob(last, *self.encode(x))
        return (log_p - log_q).sum(-1) + log_ratio

    def _check_points(self, what: str, x: Tensor, n_axes: int | None = None) -> None:
        """Raise ValueError unless x (..., D) are floats that fit the model."""
        what = what.format(self.config.n_pixels)
        check_rows(what, x, self.config.n_pixels, self.log_snr)
        require(n_axes is None or x.dim() == n_axes, what, x)

    def _check_steps(self, t: Tensor, least: int) -> None:
        """Raise ValueError unless t are steps of the model, the first one least."""
        expected = f"steps {least} to {len(self.log_snr)} of int64"
        sort = isinstance(t, Tensor) and t.dtype == torch.int64 and t.numel() > 0
        require(sort and t.device == self.log_snr.device, expected, t)
        sound = bool((t >= least).all() and (t <= len(self.log_snr)).all())
        require(sound, expected, "others")
