"""The studies "code-densities" and "few-digits", of the two models of notebook 6.

An auto-encoder and a VAE of the same layers, for three seeds. First: codes are drawn
from N(0, I) and from Gaussian mixtures that were fitted to training codes. Second: both
learn from few digits, for as many steps, and rebuild test digits; so do both with
fewer steps, and an auto-encoder with noise in its input, or with both remedies; and
both whose digits are shifted by a pixel at random, another way each time. With the
fewest digits all of it is done again for other sets of them, with one seed each; with
the other number the two without a remedy and the two of shifted digits. Those two are
trained for other numbers of steps as well, for which of them leads depends on it.
"""

import math

import torch
import torch.nn.functional as F
from sklearn.mixture import GaussianMixture
from torch import Tensor

from vae_lib.autoencoder import AutoEncoder
from vae_lib.data import load_mnist
from vae_lib.models import VAE, VAEConfig, VAEOutput
from vae_lib.recipes import Recipe
from vae_lib.training import set_seed, train

SEEDS, DRAWS = (0, 1, 2), 5000
RECIPE = Recipe(
    epochs=4, batch_size=256, lr=3e-3, schedule="cosine", warmup=0.5, clip_norm=30.0
)
N_COMPONENTS = (1, 10, 50)
N_STEPS = 784  # four epochs of 50,000 digits
FEW, FEWER_STEPS, NOISE_LEVELS = (500, 2000), (98, 196, 392), (0.3, 0.5)
OTHER_SETS = (500, 1000, 1500)  # the first digit of each other set of FEW[0]
OTHER_THOUSANDS = (2000, 4000, 6000)  # and of FEW[1]
HALF_THE_STEPS, MORE_STEPS = 392, 4704  # with FEW[0], and with FEW[1]
BETWEEN = 0.4  # of these levels, for the auto-encoder that is stopped as well
KINDS = {"auto-encoder": AutoEncoder, "VAE": VAE}


class Denoiser(AutoEncoder):
    """An auto-encoder that learns to rebuild images from noisy copies of them."""

    noise_level = 0.0  # its standard deviation in each pixel

    def forward(self, x: Tensor, y: None = None, **ignored) -> VAEOutput:
        """Encode a noisy copy of x (B, D), and score x itself."""
        mu, logvar = self.encode(x + self.noise_level * torch.randn_like(x))
        x_params = self.decode(mu)
        log_p_x_given_z = self.log_p_x_given_z(x, x_params)
        no_kl = torch.zeros_like(log_p_x_given_z)
        return VAEOutput(mu, logvar, mu, x_params, log_p_x_given_z, no_kl)


class Shifted(VAE):
    """A model that learns from its images shifted at random, by at most one pixel."""

    def forward(self, x: Tensor, y: None = None, **options) -> VAEOutput:
        """Shift the square images x (B, D), and go on as if they had come so."""
        return super().forward(shifted(x), y, **options)


class ShiftedAutoEncoder(Shifted, AutoEncoder):
    """An auto-encoder of shifted images."""


def shifted(x: Tensor) -> Tensor:
    """Each image of x (B, D) shifted by -1, 0 or 1 pixel along each axis, at random."""
    side = math.isqrt(x.shape[1])
    page = F.pad(x.view(-1, side, side), (1, 1, 1, 1))
    places = torch.arange(side) + torch.randint(0, 3, (2, len(x), 1))  # (2, B, side)
    rows, columns = places[0][:, :, None], places[1][:, None, :]
    return page[torch.arange(len(x))[:, None, None], rows, columns].flatten(1)


SHIFTED = {"auto-encoder": ShiftedAutoEncoder, "VAE": Shifted}


def run() -> list[dict]:
    """Of each seed and model, what draws from each density decode to."""
    digits, labels = load_mnist("train")
    known, kinds = digits[:10_000], labels[:10_000]
    learned, held_out = digits[:-10_000], digits[-10_000:]
    shares = share_of_one_kind(held_out, known, kinds)
    results = [{"run": "held-out digits", "seed": None, **average("share", shares)}]
    for seed in SEEDS:
        for name, kind in KINDS.items():
            model = trained(kind, learned, seed)
            codes = drawn_codes(model, learned[:20_000])
            held = drawn_codes(model, held_out)
            eps = torch.randn(DRAWS, 16, generator=torch.Generator().manual_seed(0))
            densities = {"N(0, I)": eps} | {
                f"mixture of {n}": mixture(codes, n, seed) for n in N_COMPONENTS
            }
            for density, z in densities.items():
                shares = share_of_one_kind(model.mean_image(z), known, kinds)
                far = is_in_a_gap(z, codes[:10_000], held)
                gap = round(far.float().mean().item(), 4)
                row = {"run": f"{name}, {density}", "seed": seed, "gap": gap}
                row |= average("share", shares)
                if far.sum() > 1:
                    row |= average("in a gap", shares[far])
                    row |= average("outside", shares[~far])
                results.append(row)
                print("code-densities", *row.values(), flush=True)
    return results


def few_digits() -> list[dict]:
    """By number of training digits, model and seed, squared errors per pixel."""
    digits, test = load_mnist("train").images, load_mnist("test").images
    plain = [row for n in FEW for row in as_they_are(n, digits, test)]
    remedied = [row for n in FEW for row in remedies(n, digits, test)]
    moved = [row for n in FEW for row in shifted_digits(n, digits, test)]
    return plain + remedied + both_remedies(FEW[0], digits, test) + moved


def other_digits() -> list[dict]:
    """The same for other sets of the fewest digits, each with the first seed."""
    digits, test = load_mnist("train").images, load_mnist("test").images
    n, results = FEW[0], []
    for first in OTHER_SETS:
        some = torch.cat([digits[first : first + n], digits[-10_000:]])
        for way in (as_they_are, remedies, both_remedies, shifted_digits):
            rows = way(n, some, test, SEEDS[:1])
            results += [row | {"first": first} for row in rows]
    return results


def other_thousands() -> list[dict]:
    """For other sets of the greater number, models without a remedy, and shifts."""
    digits, test = load_mnist("train").images, load_mnist("test").images
    n, results = FEW[1], []
    for first in OTHER_THOUSANDS:
        for way in (as_they_are, shifted_digits):
            rows = way(n, digits[first : first + n], test, SEEDS[:1])
            results += [row | {"first": first} for row in rows]
    return results


def other_steps() -> list[dict]:
    """Both models of shifted digits, of few after fewer steps, of more after more.

    With the fewest digits the other sets of them as well, with one seed each.
    """
    digits, test = load_mnist("train").images, load_mnist("test").images
    pairs = [(0, SEEDS), *((first, SEEDS[:1]) for first in OTHER_SETS)]
    results = []
    for first, seeds in pairs:
        some = digits[first : first + FEW[0]]
        rows = shifted_digits(FEW[0], some, test, seeds, HALF_THE_STEPS)
        results += [row | {"first": first} for row in rows]
    rows = shifted_digits(FEW[1], digits, test, SEEDS, MORE_STEPS)
    return results + [row | {"first": 0} for row in rows]


def as_they_are(
    n: int, digits: Tensor, test: Tensor, seeds: tuple[int, ...] = SEEDS
) -> list[dict]:
    """Both models without a remedy, trained on the first n digits."""
    parts = {"learned": digits[:n], "test": test}
    return [
        judged(name, kind, parts, seed, N_STEPS)
        for seed in seeds
        for name, kind in KINDS.items()
    ]


def shifted_digits(
    n: int,
    digits: Tensor,
    test: Tensor,
    seeds: tuple[int, ...] = SEEDS,
    n_steps: int = N_STEPS,
) -> list[dict]:
    """Both models, trained on the first n digits, shifted at random each time."""
    parts = {"learned": digits[:n], "test": test}
    return [
        judged(f"{name}, shifted", kind, parts, seed, n_steps)
        for seed in seeds
        for name, kind in SHIFTED.items()
    ]


def remedies(
    n: int, digits: Tensor, test: Tensor, seeds: tuple[int, ...] = SEEDS
) -> list[dict]:
    """The same for models trained for fewer steps, or with noisy inputs.

    Of each remedy the row is kept that is best for the held-out digits.
    """
    ways = [
        [(f"{name}, stopped", kind, steps, 0.0) for steps in FEWER_STEPS]
        for name, kind in KINDS.items()
    ]
    noisy = "auto-encoder, noisy input"
    ways.append([(noisy, Denoiser, N_STEPS, level) for level in NOISE_LEVELS])
    return kept(ways, n, digits, test, seeds)


def both_remedies(
    n: int, digits: Tensor, test: Tensor, seeds: tuple[int, ...] = SEEDS
) -> list[dict]:
    """Noisy inputs of one level, and fewer steps at once."""
    name = "auto-encoder, noisy and stopped"
    way = [(name, Denoiser, steps, BETWEEN) for steps in FEWER_STEPS]
    return kept([way], n, digits, test, seeds)


def kept(
    ways: list[list[tuple]],
    n: int,
    digits: Tensor,
    test: Tensor,
    seeds: tuple[int, ...],
) -> list[dict]:
    """Of each way and seed, with n digits, the run that is best for held-out digits."""
    parts = {"learned": digits[:n], "held out": digits[-10_000:], "test": test}
    results = []
    for seed in seeds:
        for remedy in ways:
            tried = [
                judged(name, kind, parts, seed, steps, level)
                for name, kind, steps, level in remedy
            ]
            best = min(tried, key=lambda row: row["held out"])
            results.append(best | {"tried": [row["held out"] for row in tried]})
    return results


def judged(
    name: str,
    kind: type[VAE],
    parts: dict[str, Tensor],
    seed: int,
    n_steps: int,
    noise_level: float = 0.0,
) -> dict:
    """Train on the learned ones of these parts, and rebuild the images of each part."""
    n_digits = len(parts["learned"])
    epochs = round(n_steps / math.ceil(n_digits / RECIPE.batch_size))
    model = trained(kind, parts["learned"], seed, noise_level, epochs=epochs)
    row = {"run": f"{name}, {n_digits}", "seed": seed, "epochs": epochs}
    row |= {"noise level": noise_level} if noise_level else {}
    for part, x in parts.items():
        row |= average(part, rebuilding_errors(model, x), 5)
    print("few-digits", *row.values(), flush=True)
    return row


def trained(
    kind: type[VAE], learned: Tensor, seed: int, noise_level: float = 0.0, **changes
) -> VAE:
    """A model of this kind, trained on these digits from this seed."""
    set_seed(seed)
    model = kind.from_data(VAEConfig(latent_dim=16), learned)
    if noise_level:
        model.noise_level = noise_level
    train(model, learned, RECIPE, device="cpu", progress=False, **changes)
    return model.requires_grad_(False)


def rebuilding_errors(model: VAE, x: Tensor) -> Tensor:
    """Of each image the squared error per pixel of what its mean code decodes to."""
    return (model.mean_image(model.encode(x)[0]) - x).square().mean(1)


def average(name: str, values: Tensor, n_decimals: int = 4) -> dict[str, float]:
    """The mean of these values under this name, and its standard error."""
    error = values.std().item() / math.sqrt(len(values))
    mean = round(values.mean().item(), n_decimals)
    return {name: mean, f"{name}, error": round(error, n_decimals + 1)}


def drawn_codes(model: VAE, images: Tensor) -> Tensor:
    """A code of each image, drawn from q if the model draws."""
    draws = torch.Generator().manual_seed(1) if model.draws_z else None
    return model(images, generator=draws).z


def mixture(codes: Tensor, n_components: int, seed: int) -> Tensor:
    """Draws (DRAWS, J) from a mixture of Gaussians that is fitted to these codes."""
    fitted = GaussianMixture(n_components, random_state=seed).fit(codes.double())
    return torch.from_numpy(fitted.sample(DRAWS)[0]).float()


def share_of_one_kind(images: Tensor, known: Tensor, kinds: Tensor) -> Tensor:
    """Of the ten digits nearest to each image, the share of the commonest kind."""
    shares = []
    for part in images.split(1000):
        nearest = kinds[torch.cdist(part, known).topk(10, largest=False).indices]
        shares.append((nearest == nearest.mode(1).values[:, None]).float().mean(1))
    return torch.cat(shares)


def is_in_a_gap(draws: Tensor, codes: Tensor, held_out: Tensor) -> Tensor:
    """Which draws are farther from all codes than 99 of 100 held-out codes are."""
    limit = torch.cdist(held_out, codes).amin(1).quantile(0.99)
    return torch.cdist(draws, codes).amin(1) > limit
