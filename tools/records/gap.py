"""The study "gap": what the bound leaves out, on digits the encoder has seen or not.

The shipped model of the plane and two more runs of its recipe, each on a thousand
training and a thousand test digits; the shipped one on more of each, drawn at random,
and on all test digits, which are not in random order.
log p(x) is a sum over a grid, the best Gaussian is chapter 9's fixed point, and the
encoder's ELBO a Gauss-Hermite sum: no noise.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from tools.book import BUILD
from vae_lib.checkpoints import PRETRAINED, load_pretrained
from vae_lib.data import load_mnist
from vae_lib.evaluation import log_likelihood_by_quadrature
from vae_lib.models import VAE
from vae_lib.runs import train_run

NAME, SEEDS, DIGITS = "mnist-2d", (0, 1, 2), 1000
N_DRAWN, AT_ONCE, HALF = 5000, 500, 5000
LIMIT, NODES = 5.0, 501  # 0.02 apart
NODES_FOR_MODES = 201
STEPS, STARTING_STD = 25, 0.05
FAR = 10.0  # standard deviations of the encoder, which a hundred steps can cover
# Ways to improve the encoder's answers to a hundred test digits by Adam: the number of
# steps, the size of one, and whether it counts in units of the encoder's own width.
WAYS = {
    "100 steps": (100, 0.1, True),
    "1000 steps": (1000, 0.1, True),
    "1000 steps in units of z": (1000, 0.02, False),
}


def run() -> dict:
    """Of each seed, the gap on unseen and seen digits; of the first, what steps do."""
    digits, rows = {part: load_mnist(part).images for part in ("test", "train")}, []
    for seed in SEEDS:
        model = trained(seed, digits["train"])
        for part, images in digits.items():
            found = parts_of(model, images[:DIGITS])
            rows.append({"run": part, "seed": seed} | summaries(found))
            print("gap", rows[-1], flush=True)
    model, few = trained(SEEDS[0], digits["train"]), digits["test"][:100]
    return {
        "runs": rows,
        "random": on_random_digits(model, digits),
        "halves": on_halves(model, digits["test"]),
        "refined": {name: refined(model, few, *WAYS[name]) for name in WAYS},
    }


def on_random_digits(model: VAE, digits: dict[str, Tensor]) -> list[dict]:
    """What the encoder loses on digits drawn at random, for the first are not typical.

    Without the grid, the dearest part: the best Gaussian's ELBO, a tenth of a nat
    below log p(x), says how hard the digits are.
    """
    draws, rows = torch.Generator().manual_seed(0), []
    for part, images in digits.items():
        drawn = images[torch.randperm(len(images), generator=draws)[:N_DRAWN]]
        found = [bounds_of(model, few) for few in drawn.split(AT_ONCE)]
        best, elbo = (torch.cat(bounds) for bounds in zip(*found, strict=True))
        row = {"run": part, "seed": SEEDS[0], "digits": len(drawn)}
        row |= {"best": summary(best), "amortisation": summary(best - elbo)}
        rows.append(row)
        print("gap", rows[-1], flush=True)
    return rows


def on_halves(model: VAE, images: Tensor) -> list[dict]:
    """log p(x) and the gap on all test digits, and on each half of them."""
    log_p_x, gap = torch.cat([by_grid(model, half) for half in images.split(HALF)]).T
    first, last = slice(0, HALF), slice(HALF, None)
    rows = []
    for run, part in (("all", slice(None)), ("first half", first), ("last half", last)):
        row = {"run": run, "seed": SEEDS[0], "digits": len(gap[part])}
        row |= {"log_p_x": summary(log_p_x[part]), "gap": summary(gap[part])}
        thousands = rounded(gap[part].view(-1, DIGITS).mean(1))
        rows.append(row | {"gap_by_thousand": thousands})
        print("gap", rows[-1], flush=True)
    return rows


def by_grid(model: VAE, x: Tensor) -> Tensor:
    """log p(x) and the encoder's gap for each image, (N, 2)."""
    log_p_x = log_likelihood_by_quadrature(model, x, limit=LIMIT, n_nodes=NODES)
    elbo = exact_elbo(model, x, *model.encode(x))
    return torch.stack([log_p_x, log_p_x - elbo], dim=1)


def trained(seed: int, images: Tensor) -> VAE:
    """The model that ships, which has seed 0, or one of another seed, trained now."""
    if seed == 0:
        return load_pretrained(NAME).requires_grad_(False)
    preset, folder = PRETRAINED[NAME], BUILD / "runs" / f"gap-seed{seed}"
    options = {"seed": seed, "resume": True, "step": "by hand"}
    model = train_run(folder, images, preset.config, preset.recipe, **options)
    return model.cpu().requires_grad_(False)


def parts_of(model: VAE, x: Tensor) -> dict[str, Tensor]:
    """log p(x), the gap and its two parts for each image, (N,) each."""
    log_p_x = log_likelihood_by_quadrature(model, x, limit=LIMIT, n_nodes=NODES)
    best, elbo = bounds_of(model, x)
    return {
        "log_p_x": log_p_x,
        "gap": log_p_x - elbo,
        "approximation": log_p_x - best,
        "amortisation": best - elbo,
    }


def bounds_of(model: VAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """The ELBO (N,) of the best Gaussian for each image, and that of the encoder's."""
    elbo = exact_elbo(model, x, *model.encode(x))
    # The fixed point may miss a better Gaussian: the encoder's is one of the family.
    best = torch.maximum(exact_elbo(model, x, *best_gaussian(model, x)), elbo)
    return best, elbo


def summaries(parts: dict[str, Tensor]) -> dict:
    """What of them goes into the record, with the mean gap of each hundred digits."""
    hundreds = rounded(parts["gap"].view(-1, 100).mean(1))
    found = {name: summary(part) for name, part in parts.items()}
    return found | {"gap_by_hundred": hundreds}


def refined(model: VAE, x: Tensor, n: int, lr: float, by_width: bool) -> dict:
    """Where n steps of Adam from the encoder's answers end, below the best Gaussians.

    At a hundred digits a few are left more than a nat below; moved is the longest way
    along an axis, in units of the encoder's standard deviation.
    """
    mu, logvar = model.encode(x)
    std = torch.exp(0.5 * logvar)
    unit = std if by_width else torch.ones_like(std)
    shift, stretch = (torch.zeros_like(mu, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.Adam([shift, stretch], lr=lr)

    def improved() -> Tensor:
        return exact_elbo(model, x, mu + unit * shift, logvar + stretch, n=5)

    for _ in range(n):
        optimizer.zero_grad()
        (-improved().sum()).backward()
        optimizer.step()
    best_mu, best_logvar = best_gaussian(model, x)
    below = exact_elbo(model, x, best_mu, best_logvar, n=5) - improved().detach()
    far = ((best_mu - mu).abs() / std).amax(1) > FAR
    return {
        "stuck": int((below > 1).sum()),
        "arrived": int((below < 0.1).sum()),
        "mean_below": round(below.mean().item(), 3),
        "moved": round((unit * shift.detach() / std).abs().max().item(), 1),
        "far": int(far.sum()),
        "far_and_stuck": int((far & (below > 1)).sum()),
    }


def summary(values: Tensor) -> dict:
    """Mean, its standard error, median and largest."""
    error = values.std() / math.sqrt(len(values))
    numbers = (values.mean(), error, values.median(), values.max())
    names = ("mean", "error", "median", "largest")
    return dict(zip(names, rounded(torch.stack(numbers)), strict=True))


def rounded(values: Tensor) -> list[float]:
    return [round(value, 3) for value in values.tolist()]


def hermite(n: int) -> tuple[Tensor, Tensor]:
    """Noise (n * n, 1, 2) and weights (n * n,) of expectations under N(0, I)."""
    nodes, w = (torch.tensor(a).float() for a in np.polynomial.hermite_e.hermegauss(n))
    eps = torch.cartesian_prod(nodes, nodes)[:, None]
    return eps, torch.cartesian_prod(w, w).prod(1) / (2 * math.pi)


def joint(model: VAE, x: Tensor, z: Tensor) -> Tensor:
    """log p(x, z) of codes (..., N, 2) for images (N, D): (..., N)."""
    x_logits = model.decode(z)
    log_p_x_given_z = (x * x_logits).sum(-1) - softplus(x_logits).sum(-1)
    return log_p_x_given_z + model.prior.log_prob(z)


def exact_elbo(model: VAE, x: Tensor, mu: Tensor, logvar: Tensor, n: int = 9) -> Tensor:
    """The ELBO (N,) of N(mu, diag(exp(logvar))), by n * n codes for each image."""
    eps, w = hermite(n)
    std, total = torch.exp(0.5 * logvar), torch.zeros(len(x))
    for noise, mass in zip(eps, w, strict=True):
        total += mass * joint(model, x, mu + std * noise)
    entropy = 0.5 * (logvar + math.log(2 * math.pi * math.e)).sum(-1)
    return (total + entropy).double()


def best_gaussian(model: VAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """mu and logvar (N, 2) of the Gaussian with the largest ELBO for each image.

    The fixed point of eq-best-gaussian, from the mode that a grid shows.
    """
    (eps, w), mu = hermite(5), modes(model, x)
    logvar = torch.full_like(mu, 2 * math.log(STARTING_STD))
    for _ in range(STEPS):
        std = torch.exp(0.5 * logvar)
        push, turn = torch.zeros_like(mu), torch.zeros_like(mu)
        for noise, mass in zip(eps, w, strict=True):
            z = (mu + std * noise).requires_grad_()
            (slope,) = torch.autograd.grad(joint(model, x, z).sum(), z)
            push, turn = push + mass * slope, turn + mass * slope * noise
        curvature = (-turn / std).clamp(min=1.0)
        mu = mu + 0.5 * (push / curvature).clamp(-3 * std, 3 * std)
        logvar = logvar - 0.5 * (logvar + curvature.log())
    return mu, logvar


def modes(model: VAE, x: Tensor) -> Tensor:
    """The node (N, 2) of a grid at which p(x, z) is largest."""
    nodes = torch.linspace(-LIMIT, LIMIT, NODES_FOR_MODES)
    found, height = torch.zeros(len(x), 2), torch.full((len(x),), -torch.inf)
    for z in torch.cartesian_prod(nodes, nodes).split(2000):
        x_logits = model.decode(z)
        log_joint = x @ x_logits.T - softplus(x_logits).sum(1) + model.prior.log_prob(z)
        highest, at = log_joint.max(1)
        found = torch.where((highest > height)[:, None], z[at], found)
        height = torch.maximum(height, highest)
    return found
