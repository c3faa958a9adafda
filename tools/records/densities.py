"""The studies "code-densities" and "few-digits", of the two models of notebook 6.

An auto-encoder and a VAE of the same layers, for three seeds. First: codes are drawn
from N(0, I) and from Gaussian mixtures that were fitted to training codes. Second: both
learn from few digits, for as many steps, and rebuild test digits.
"""

import math

import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from vae_lib.autoencoder import AutoEncoder
from vae_lib.data import load_mnist
from vae_lib.models import VAE, VAEConfig
from vae_lib.recipes import Recipe
from vae_lib.training import set_seed, train

SEEDS, DRAWS = (0, 1, 2), 1000
RECIPE = Recipe(
    epochs=4, batch_size=256, lr=3e-3, schedule="cosine", warmup=0.5, clip_norm=30.0
)
N_COMPONENTS = (1, 10, 50)
FEW = (500, 2000)
KINDS = {"auto-encoder": AutoEncoder, "VAE": VAE}


def run() -> list[dict]:
    """Of each seed and model, what draws from each density decode to."""
    digits, labels = load_mnist("train")
    known, kinds = digits[:10_000], labels[:10_000]
    learned, held_out = digits[:-10_000], digits[-10_000:][:DRAWS]
    results = []
    for seed in SEEDS:
        for name, kind in KINDS.items():
            set_seed(seed)
            model = kind.from_data(VAEConfig(latent_dim=16), learned)
            train(model, learned, RECIPE, device="cpu", progress=False)
            model.requires_grad_(False)
            codes = drawn_codes(model, learned[:20_000])
            held = drawn_codes(model, held_out)
            eps = torch.randn(DRAWS, 16, generator=torch.Generator().manual_seed(0))
            densities = {"N(0, I)": eps} | {
                f"mixture of {n}": mixture(codes, n, seed) for n in N_COMPONENTS
            }
            for density, z in densities.items():
                shares = share_of_one_kind(model.mean_image(z), known, kinds)
                gap = share_in_a_gap(z, codes[:10_000], held)
                row = {"run": f"{name}, {density}", "seed": seed, "gap": round(gap, 4)}
                row["share"] = round(shares.mean().item(), 4)
                row["error"] = round(shares.std().item() / math.sqrt(DRAWS), 4)
                results.append(row)
                print("code-densities", *row.values(), flush=True)
    return results


def few_digits() -> list[dict]:
    """By number of training digits, model and seed, squared errors per pixel."""
    digits, test = load_mnist("train").images, load_mnist("test").images
    n_steps = RECIPE.epochs * math.ceil(len(digits[:-10_000]) / RECIPE.batch_size)
    results = []
    for n in FEW:
        epochs = round(n_steps / math.ceil(n / RECIPE.batch_size))
        for seed in SEEDS:
            for name, kind in KINDS.items():
                set_seed(seed)
                model = kind.from_data(VAEConfig(latent_dim=16), digits[:n])
                options = {"epochs": epochs, "device": "cpu", "progress": False}
                train(model, digits[:n], RECIPE, **options)
                model.requires_grad_(False)
                row = {"run": f"{name}, {n}", "seed": seed, "epochs": epochs}
                for part, x in (("learned", digits[:n]), ("test", test)):
                    error = (model.mean_image(model.encode(x)[0]) - x).square().mean(1)
                    row[part] = round(error.mean().item(), 5)
                    spread = error.std().item() / math.sqrt(len(x))
                    row[f"{part}, error"] = round(spread, 6)
                results.append(row)
                print("few-digits", *row.values(), flush=True)
    return results


def drawn_codes(model: VAE, images: Tensor) -> Tensor:
    """A code of each image, drawn from q if the model draws."""
    draws = torch.Generator().manual_seed(1) if model.draws_z else None
    return model(images, generator=draws).z


def mixture(codes: Tensor, n_components: int, seed: int) -> Tensor:
    """Draws (1000, J) from a mixture of Gaussians that is fitted to these codes."""
    fitted = GaussianMixture(n_components, random_state=seed).fit(codes.double())
    return torch.from_numpy(fitted.sample(DRAWS)[0]).float()


def share_of_one_kind(images: Tensor, known: Tensor, kinds: Tensor) -> Tensor:
    """Of the ten digits nearest to each image, the share of the commonest kind."""
    nearest = kinds[torch.cdist(images, known).topk(10, largest=False).indices]
    return (nearest == nearest.mode(1).values[:, None]).float().mean(1)


def share_in_a_gap(draws: Tensor, codes: Tensor, held_out: Tensor) -> float:
    """The share of draws farther from all codes than 99 of 100 held-out codes are."""
    limit = torch.cdist(held_out, codes).amin(1).quantile(0.99)
    return (torch.cdist(draws, codes).amin(1) > limit).float().mean().item()
