"""Checks of chapter 12's exercises."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vae_lib import checks


def combine(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise A: ``answer(means, sizes)``, (W, P) and (W,), is the batch's mean."""
    row = torch.tensor
    generator = torch.Generator().manual_seed(12)
    means = torch.randn(64, 5, generator=generator).double()
    some = {
        "means 1 and 4 of 2 and 1 images": (row([[1.0], [4.0]]), row([2, 1])),
        "four equal shares": (means[:4], row([25, 25, 25, 25])),
        "shares of 6, 5 and 5": (means[:3], row([6, 5, 5])),
        "64 shares of 100 images": (means, row(36 * [2] + 28 * [1])),
        "batches of 256, 256 and 16": (means[:3, :1], row([256, 256, 16])),
    }

    def reference(means: Tensor, sizes: Tensor) -> Tensor:
        return (sizes[:, None] * means).sum(0) / sizes.sum()

    mistakes = {
        "A mean of means: an image of a small share counts for more than another.": (
            lambda means, sizes: means.mean(0)
        ),
        "You divide by the number of shares, not by that of images.": (
            lambda means, sizes: (sizes[:, None] * means).mean(0)
        ),
        "That is the sum over the images: divide by their number.": (
            lambda means, sizes: (sizes[:, None] * means).sum(0)
        ),
        "You add up the means, each should count as often as it has images.": (
            lambda means, sizes: means.sum(0)
        ),
        "The wrong way round: a large share should weigh more.": (
            lambda means, sizes: (means / sizes[:, None]).sum(0) / (1 / sizes).sum()
        ),
    }
    checks.compare(answer, reference, some, mistakes)


def share_of_noise(answer: Callable[[int, int, int, int, int], Tensor]) -> None:
    """Exercise B: ``answer(rank, n_processes, batch, latent_dim, seed)``."""

    def draw(rank: int, n_processes: int, seed: int = 3) -> Tensor:
        name = f"rank = {rank}, n_processes = {n_processes}"
        found = checks.call(answer, name, (rank, n_processes, 400, 5, seed))
        size = len(range(rank, 400, n_processes))
        shapes = f"({size}, 5), got {tuple(found.shape)}"
        checks.require(
            found.shape == (size, 5), f"At {name} the shape should be {shapes}."
        )
        return found

    whole = draw(0, 1)
    checks.require(
        bool(torch.equal(whole, draw(0, 1))),
        "two calls with the same arguments draw different noise: use the seed.",
    )
    checks.require(
        not torch.equal(whole, draw(0, 1, seed=4)),
        "seeds 3 and 4 draw the same noise: use the seed that is given.",
    )
    checks.require(
        abs(whole.mean().item()) < 0.15 and abs(whole.std().item() - 1) < 0.15,
        "one process alone should draw from N(0, 1): mean 0 and deviation 1.",
    )
    for n_processes in (2, 3):
        parts = [draw(rank, n_processes) for rank in range(n_processes)]
        checks.require(
            not torch.equal(parts[0][:100], parts[1][:100]),
            f"{n_processes} processes draw the same noise for different images: draw "
            "for the whole batch, then take the rows of your share.",
        )
        checks.require(
            not torch.equal(torch.cat(parts), whole),
            "you take a block of neighbouring rows: process r has the images r, r + W, "
            "r + 2W and so on.",
        )
        checks.require(
            all(
                torch.equal(parts[r], whole[r::n_processes]) for r in range(len(parts))
            ),
            f"with {n_processes} processes an image gets other noise than with 1: the "
            "seed must not depend on the process, and all draw the whole batch.",
        )
    checks.passed("the noise")


def step_time(
    W, t0, t1, batch, n_parameters, latency, rate, overlap=0.0, *, rounds=2, size=4
):
    """Seconds, as in eq-step-time; the last two for those who forget a factor."""
    computing = batch / W * t1
    sending = rounds * (W - 1) * (latency + size * n_parameters / W / rate)
    return t0 + computing + max(0.0, sending - overlap * computing)


# t0, t1, batch, parameters, latency, rate: the plans of the page, and extremes
PLANS = {
    "batch 256 in one machine": (5e-4, 5e-6, 256, 652_824, 1e-5, 1e11),
    "batch 4096 in one machine": (5e-4, 5e-6, 4096, 652_824, 1e-5, 1e11),
    "batch 256 between machines": (5e-4, 5e-6, 256, 652_824, 5e-5, 1e9),
    "batch 4096 between machines": (5e-4, 5e-6, 4096, 652_824, 5e-5, 1e9),
    "a tiny network with slow messages": (0.0, 4.205e-4, 10, 10, 1e-3, 1e9),
}


def speed_up(answer: Callable[..., float]) -> None:
    """Exercise C: ``answer(W, *plan, overlap)``, the plan as in PLANS."""

    def gain(W, *plan, **factors):
        return step_time(1, *plan) / step_time(W, *plan, **factors)

    def ratio(change):
        """The gain where the time with W processes is another one."""
        return lambda W, *plan: step_time(1, *plan) / change(W, *plan)

    some = {
        f"W = {W}, {name}, overlap {overlap}": (W, *PLANS[name], overlap)
        for name in PLANS
        for W in (1, 2, 8)
        for overlap in (0.0, 0.5, 0.9)
    }
    mistakes = {
        "Upside down: a speed-up above 1 means that W processes are faster.": (
            lambda *a: 1 / gain(*a)
        ),
        "A ring has 2(W - 1) rounds, there and back.": lambda *a: gain(*a, rounds=1),
        "A number has four bytes.": lambda *a: gain(*a, size=1),
        "Each of the rounds sends a piece of 4P/W bytes, not the whole vector.": (
            lambda W, *a: gain(W, *a, size=4 * W)
        ),
        "Where is the latency of the rounds?": ratio(
            lambda W, *a: step_time(W, *a[:4], 0.0, *a[5:])
        ),
        "t0 is not shared: every process spends it.": ratio(
            lambda W, t0, *a: step_time(W, t0 / W, *a)
        ),
        "The images of the batch are shared among the W processes.": ratio(
            lambda W, t0, t1, batch, *a: step_time(W, t0, t1, W * batch, *a)
        ),
        "That is the page's model: where does the overlap enter?": ratio(
            lambda W, *a: step_time(W, *a[:6])
        ),
        "More cannot be hidden than is sent: no step is shorter than its computing.": (
            ratio(lambda W, *a: step_time(W, *a[:6]) - a[6] * a[1] * a[2] / W)
        ),
        "A share of the computing hides, not that share of the sending.": ratio(
            lambda W, *a: (
                (1 - a[6]) * step_time(W, *a[:6])
                + a[6] * step_time(W, *a[:3], 0, 0.0, 1.0)
            )
        ),
        "Sending hides behind the computing of one process, batch / W images.": ratio(
            lambda W, *a: step_time(W, *a[:6], W * a[6])
        ),
        "t0 hides nothing.": ratio(
            lambda W, *a: step_time(W, *a[:6], a[6] * (1 + W * a[0] / a[1] / a[2]))
        ),
    }
    checks.compare(answer, gain, some, mistakes)


def best_processes(answer: Callable[..., int]) -> None:
    """Exercise D: ``answer(t0, t1, batch, n_parameters, latency, rate, most)``."""

    def reference(*arguments):
        *plan, most = arguments
        return min(range(1, most + 1), key=lambda W: step_time(W, *plan))

    def formula(*arguments, sign=-1, two=2, whole=round):
        t0, t1, batch, n_parameters, latency, rate, most = arguments
        a = batch * t1 + sign * 8 * n_parameters / rate
        return min(most, max(1, whole(math.sqrt(max(a, 0.0) / (two * latency)))))

    some = {f"{name}, at most 64": (*PLANS[name], 64) for name in PLANS}
    some["batch 4096 in one machine, at most 4"] = (
        *PLANS["batch 4096 in one machine"],
        4,
    )
    mistakes = {
        "The rounded formula is not always the best whole number: compare the times "
        "of both neighbours.": formula,
        "Rounding down is not always right: compare the times of both neighbours.": (
            lambda *a: formula(*a, whole=int)
        ),
        "More processes than there are: mind `most`.": lambda *a: reference(
            *a[:-1], 1000
        ),
        "All of them is not the best: each one more makes the ring longer.": (
            lambda *a: a[-1]
        ),
        "Sending the gradient is subtracted in A, not added.": (
            lambda *a: formula(*a, sign=1)
        ),
        "A over 2 latencies, not over one.": lambda *a: formula(*a, two=1),
    }
    checks.compare(answer, reference, some, mistakes)
