"""The study "bits": how far other draws of the bits move a model's test ELBO.

Each of the models that ship for the ledger is judged on the same test digits, their
bits drawn anew; the noise of z stays the same.
"""

import torch

from vae_lib.checkpoints import load_pretrained
from vae_lib.data import binarize, load_mnist
from vae_lib.evaluation import evaluate_elbo

NAMES, DRAWS = ("mnist-burda", "mnist-iwae-5", "mnist-iwae-50"), 20


def run() -> list[dict]:
    """The test ELBO of each model for each draw of the bits."""
    test, results = load_mnist("test").images, []
    for name in NAMES:
        model = load_pretrained(name)
        elbos = []
        for seed in range(DRAWS):
            generator = torch.Generator().manual_seed(seed)
            bits = binarize(test, "sample", generator=generator)
            elbos.append(round(evaluate_elbo(model, bits).elbo, 3))
        results.append({"run": name, "elbo": elbos})
        print("bits", results[-1], flush=True)
    return results
