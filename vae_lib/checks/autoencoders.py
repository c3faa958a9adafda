"""Checks of chapter 6's exercises."""

from collections.abc import Callable

import torch
from torch import Tensor

from vae_lib import checks


def rebuilt(answer: Callable[[Tensor, int], Tensor]) -> None:
    """Exercise A: ``answer(x, n_components)`` is x after PCA, of x's shape (N, D)."""

    def through(x: Tensor, chosen: slice, mean: Tensor) -> Tensor:
        directions = torch.linalg.svd(x - mean, full_matrices=False)[2][chosen]
        return mean + (x - mean) @ directions.T @ directions

    def right(x: Tensor, n: int) -> Tensor:
        return through(x, slice(n), x.mean(0))

    def columns(x: Tensor, n: int) -> Tensor:
        directions = torch.linalg.svd(x - x.mean(0), full_matrices=False)[2][:, :n]
        return x.mean(0) + (x - x.mean(0)) @ directions @ directions.T

    def without_lengths(x: Tensor, n: int) -> Tensor:
        u, _, directions = torch.linalg.svd(x - x.mean(0), full_matrices=False)
        return x.mean(0) + u[:, :n] @ directions[:n]

    mistakes = {
        "Subtract the mean first: otherwise the first direction is spent on "
        "it.": lambda x, n: through(x, slice(n), 0 * x.mean(0)),
        "Add the mean again: what comes back should lie where the data "
        "lie.": lambda x, n: right(x, n) - x.mean(0),
        "These are the directions of least variance: eigh sorts eigenvalues "
        "upwards.": lambda x, n: through(x, slice(x.shape[1] - n, None), x.mean(0)),
        "The directions are the rows of svd's third result, not its columns.": columns,
        "Your codes have lost their lengths: where are the singular "
        "values?": without_lengths,
        "Do not divide by the standard deviations: it is the squared error of x itself "
        "that should be small.": lambda x, n: x.std(0) * right(x / x.std(0), n),
    }
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(30, 5, generator=generator) @ torch.ones(5, 5).tril()
    x = x.double() * torch.tensor([3.0, 1.0, 2.0, 0.5, 0.2]) + 4  # correlated columns
    cases = {
        "1 component of 5": (x, 1),
        "3 components of 5": (x.float(), 3),
        "4 components of 5": (x, 4),
    }
    checks.compare(answer, right, cases, mistakes, rtol=1e-3, atol=1e-3)


def one_number(answer: tuple[Callable, Callable]) -> None:
    """Exercise B: ``answer`` is (pack, unpack): pictures from one float64 each."""
    checks.require(
        isinstance(answer, tuple) and len(answer) == 2 and all(map(callable, answer)),
        "expected two functions: (pack, unpack)",
    )
    pack, unpack = answer

    def round_trip(bits: Tensor) -> Tensor:
        return unpack(pack(bits), bits.shape[1])

    cases, generator = {}, torch.Generator().manual_seed(6)
    for n_pixels in (2, 8, 49):
        ends = torch.tensor([[0.0], [1.0]]).expand(2, n_pixels)
        random = torch.rand(20, n_pixels, generator=generator) < 0.5
        bits = torch.cat([ends, random.float()])  # (22, D)
        cases[name := f"pictures of {n_pixels} pixels"] = (bits,)
        numbers = checks.call(pack, name, (bits,))
        shape = tuple(numbers.shape)
        checks.require(
            shape == (22,), f"one number for each of 22 pictures, got shape {shape}"
        )
        kind = getattr(pack(bits.clone()), "dtype", "no tensor")
        checks.require(
            kind == torch.float64,
            f"expected numbers in double precision, torch.float64, got {kind}",
        )
        single = torch.equal(numbers, numbers.float().double())
        checks.require(
            n_pixels < 24 or not single,
            "your numbers have 24 binary digits, single precision: make pixels and "
            "powers of two double before they meet",
        )
        same = (numbers[:, None] == numbers) & (bits[:, None] != bits).any(-1)
        checks.require(not same.any(), f"two different {name} have the same number")
    mistakes = {
        "The pixels come back in reverse order.": lambda bits: bits.flip(1),
        "Black and white have changed places.": lambda bits: 1 - bits,
        "The pixels come back one place late or early.": lambda bits: bits.roll(1, 1),
    }
    checks.compare(round_trip, lambda bits: bits, cases, mistakes)


def third_kind(answer: Callable[..., Tensor]) -> None:
    """Exercise C: ``answer(pictures, first, second, digits, labels)`` is a share."""

    def share(p, a, b, x, y, sign=1) -> Tensor:
        kinds = y[(sign * torch.cdist(p, x)).argmin(1)]
        return ((kinds != a) & (kinds != b)).double().mean()

    mistakes = {
        "Every kind differs from one of the two ends: ask for one that differs from "
        "both.": lambda p, a, b, x, y: 1.0,
        "That is the share of the ends' kinds.": lambda *case: 1 - share(*case),
        "You forget the second end.": lambda p, a, b, x, y: share(p, a, a, x, y),
        "You forget the first end.": lambda p, a, b, x, y: share(p, b, b, x, y),
        "That is the digit farthest away.": lambda *case: share(*case, sign=-1),
        "A share is a mean, not a count.": lambda p, *rest: len(p) * share(p, *rest),
        "That compares a place in the list with a kind: look its label "
        "up.": lambda p, a, b, x, y: share(p, a, b, x, torch.arange(len(x))),
    }
    cases, generator = {}, torch.Generator().manual_seed(6)
    for n in (20, 45):
        pictures, digits = torch.randn(2, n, 3, generator=generator)
        labels, first = torch.randint(5, (2, n), generator=generator)
        second = (first + torch.randint(1, 5, (n,), generator=generator)) % 5
        cases[f"{n} pictures"] = (pictures, first, second, digits, labels)
    checks.compare(answer, share, cases, mistakes)
