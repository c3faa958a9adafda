"""Right and wrong answers to chapter 6's exercises, with a word that the check says."""

import numpy as np
import torch


def by_eigh(x, n, end=True, mean=1, back=1):
    centred = x - mean * x.mean(0)
    vectors = torch.linalg.eigh(centred.T @ centred).eigenvectors
    chosen = vectors[:, -n:] if end else vectors[:, :n]
    return back * x.mean(0) + centred @ chosen @ chosen.T


def by_low_rank(x, n):
    mean = x.mean(dim=0, keepdim=True)
    u, s, vh = torch.linalg.svd(x - mean)
    return (u[:, :n] * s[:n]) @ vh[:n] + mean


def by_numpy(x, n):
    x = x.double().numpy()
    values, vectors = np.linalg.eigh(np.cov(x.T))
    directions = vectors[:, np.argsort(values)[::-1][:n]]
    return (x - x.mean(0)) @ directions @ directions.T + x.mean(0)


def scaled(x, n):
    return x.std(0) * by_eigh(x / x.std(0), n)


def columns(x, n):
    chosen = torch.linalg.svd(x - x.mean(0), full_matrices=False)[2][:, :n]
    return x.mean(0) + (x - x.mean(0)) @ chosen @ chosen.T


def without_lengths(x, n):
    u, _, vh = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    return u[:, :n] @ vh[:n] + x.mean(0)


def as_fraction(bits):
    return bits.double() @ 2.0 ** -torch.arange(1.0, bits.shape[1] + 1).double()


def from_fraction(numbers, n_pixels):
    pixels = []
    for _ in range(n_pixels):
        numbers = 2 * numbers
        pixels.append((numbers >= 1).float())
        numbers = numbers - pixels[-1]
    return torch.stack(pixels, 1)


def as_integer(bits):
    rows = bits.int().tolist()
    return torch.tensor([int("".join(map(str, r)), 2) for r in rows]).double()


def from_integer(numbers, n_pixels):
    rows = [f"{int(n):0{n_pixels}b}" for n in numbers.tolist()]
    return torch.tensor([[int(c) for c in row] for row in rows])


def as_rising_powers(bits):
    return (bits * 2.0 ** torch.arange(bits.shape[1]).double()).sum(1) - 7


def from_rising_powers(numbers, n_pixels):
    return ((numbers + 7).long()[:, None] >> torch.arange(n_pixels)) & 1


def single(bits):
    return bits @ 2.0 ** -torch.arange(1.0, bits.shape[1] + 1)


def distances(pictures, digits):
    return torch.cdist(pictures.double(), digits.double())


def by_loop(pictures, first, second, digits, labels):
    count = 0
    for picture, a, b in zip(pictures, first, second, strict=True):
        kind = labels[(digits - picture).square().sum(1).argmin()]
        count += int(kind) not in (int(a), int(b))
    return count / len(pictures)


def by_numpy_share(*case):
    pictures, first, second, digits, labels = (part.numpy() for part in case)
    squares = ((pictures[:, None] - digits) ** 2).sum(-1)
    kinds = labels[squares.argmin(1)]
    return np.mean(~((kinds == first) | (kinds == second)))


def by_topk(pictures, first, second, digits, labels, largest=False):
    nearest = distances(pictures, digits).topk(1, largest=largest).indices[:, 0]
    ends = torch.stack([first, second], 1)
    return 1 - (labels[nearest][:, None] == ends).any(1).double().mean()


def either(pictures, first, second, digits, labels):
    kinds = labels[distances(pictures, digits).argmin(1)]
    return ((kinds != first) | (kinds != second)).float().mean()


RIGHT = {
    "rebuilt": [by_eigh, by_low_rank, by_numpy],
    "one_number": [
        (as_fraction, from_fraction),
        (as_integer, from_integer),
        (as_rising_powers, from_rising_powers),
    ],
    "third_kind": [by_loop, by_numpy_share, by_topk],
}
WRONG = {
    "rebuilt": [
        (lambda x, n: by_eigh(x, n, mean=0, back=0), "Subtract the mean"),
        (lambda x, n: by_eigh(x, n, back=0), "Add the mean"),
        (lambda x, n: by_eigh(x, n, end=False), "least variance"),
        (columns, "not its columns"),
        (without_lengths, "lengths"),
        (scaled, "standard deviations"),
        (lambda x, n: by_eigh(x, n)[:, :n], "shape"),
        (lambda x, n: by_eigh(x, n + 1), "should be"),
    ],
    "one_number": [
        ((single, from_fraction), "torch.float32"),
        ((lambda bits: single(bits).double(), from_fraction), "single precision"),
        ((lambda bits: as_integer(bits).long(), from_integer), "torch.int64"),
        ((lambda bits: as_fraction(bits).tolist(), from_fraction), "no tensor"),
        ((lambda bits: bits, from_fraction), "shape"),
        ((lambda bits: bits.double().mean(1), from_fraction), "same number"),
        ((as_fraction, lambda n, d: from_fraction(n, d).flip(1)), "reverse"),
        ((as_fraction, lambda n, d: 1 - from_fraction(n, d)), "changed places"),
        ((as_fraction, lambda n, d: from_fraction(n, d).roll(1, 1)), "late or early"),
        ((as_fraction, lambda n, d: (n[:, None] > torch.rand(d)).int()), "should be"),
        ((as_fraction, lambda n, d: n), "shape"),
        (as_fraction, "two functions"),
    ],
    "third_kind": [
        (either, "both"),
        (lambda *case: 1 - by_topk(*case), "ends' kinds"),
        (lambda p, a, b, x, y: by_topk(p, a, a, x, y), "second end"),
        (lambda p, a, b, x, y: by_topk(p, b, b, x, y), "first end"),
        (lambda *case: by_topk(*case, largest=True), "farthest"),
        (lambda *case: by_loop(*case) * len(case[0]), "count"),
        (lambda p, a, b, x, y: by_topk(p, a, b, x, torch.arange(len(x))), "label"),
        (lambda p, a, b, x, y: distances(p, x).argmin(1), "shape"),
    ],
}
