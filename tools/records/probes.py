"""The study "linear-probe": which of two planes a linear probe reads better, by seed.

An auto-encoder and a VAE with two latent dimensions, as in notebook 11, for three
seeds; the probe learns from 5,000 labels and is judged on the test digits.
"""

import torch
from sklearn.linear_model import LogisticRegression

from vae_lib.autoencoder import AutoEncoder
from vae_lib.data import load_mnist
from vae_lib.models import VAE, VAEConfig
from vae_lib.recipes import Recipe
from vae_lib.training import set_seed, train

SEEDS, LABELS = (0, 1, 2), 5000
CONFIG = VAEConfig(latent_dim=2, hidden_dims=(224, 160), activation="silu")
RECIPE = Recipe(
    epochs=5, batch_size=256, lr=4e-3, schedule="cosine", warmup=0.5, clip_norm=30.0
)
PENALTIES = (0.03, 0.3)
KINDS = {"auto-encoder": AutoEncoder, "VAE": VAE}


def run() -> list[dict]:
    """Of each seed and model, the share of test digits that the probe names, in %."""
    (digits, labels), (test, test_labels) = load_mnist("train"), load_mnist("test")
    chosen_on, results = slice(-10_000, -9000), []
    for seed in SEEDS:
        for name, kind in KINDS.items():
            set_seed(seed)
            model = kind.from_data(CONFIG, digits[:25_000])
            train(model, digits[:25_000], RECIPE, device="cpu", progress=False)
            model.requires_grad_(False)
            known = model.encode(digits[:LABELS])[0]
            views = [known, *(model.encode(x)[0] for x in (digits[chosen_on], test))]
            views = [(view / known.std(correction=0)).numpy() for view in views]
            probes = [LogisticRegression(C=c, max_iter=500) for c in PENALTIES]
            fitted = [probe.fit(views[0], labels[:LABELS]) for probe in probes]
            best = max(fitted, key=lambda p: p.score(views[1], labels[chosen_on]))
            right = torch.from_numpy(best.predict(views[2])) == test_labels
            correct = round(100 * right.double().mean().item(), 2)
            results.append({"run": name, "seed": seed, "correct": correct})
            print("linear-probe", results[-1], flush=True)
    return results
