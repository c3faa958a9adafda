"""Right and wrong answers to chapter 13, with a word that the check says."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import Categorical


def by_loop(tokens, x_logits, last=1, mean=False):
    """String by string; last is 0 for one who forgets the end token."""
    found = []
    for row, logits in zip(tokens.tolist(), x_logits, strict=True):
        log_p = torch.log_softmax(logits, dim=1)
        n = row.index(0) + last
        total = sum(float(log_p[t, row[t]]) for t in range(n))
        found.append(total / n if mean else total)
    return found


def by_cross_entropy(tokens, x_logits):
    cost = F.cross_entropy(x_logits.transpose(1, 2), tokens, reduction="none")
    places = torch.arange(tokens.shape[1])
    n = (tokens != 0).sum(1, keepdim=True)
    return -(cost * (places <= n)).sum(1)


def by_categorical(tokens, x_logits):
    each = Categorical(logits=x_logits).log_prob(tokens)
    before = torch.cat([torch.ones(len(tokens), 1), (tokens[:, :-1] > 0).float()], 1)
    return torch.einsum("bl,bl->b", each, before)


def by_one_hot(tokens, x_logits):
    log_p = x_logits.double() - x_logits.double().logsumexp(-1, keepdim=True)
    chosen = (F.one_hot(tokens, x_logits.shape[-1]) * log_p).sum(-1).numpy()
    reached = np.cumprod(tokens.numpy() != 0, axis=1)
    return (chosen * np.pad(reached, ((0, 0), (1, 0)), constant_values=1)[:, :-1]).sum(
        1
    )


def all_places(tokens, x_logits):
    return Categorical(logits=x_logits).log_prob(tokens)


def vocabulary(tokens, x_logits):
    n = (tokens != 0).sum(1, keepdim=True)
    counted = torch.arange(tokens.shape[1]) <= n
    return (x_logits.log_softmax(-1).sum(-1) * counted).sum(1)


def pixels(tokens, x_logits):
    one_hot = F.one_hot(tokens, x_logits.shape[-1]).float()
    cost = F.binary_cross_entropy(x_logits.softmax(-1), one_hot, reduction="none")
    counted = torch.arange(tokens.shape[1]) <= (tokens != 0).sum(1, keepdim=True)
    return -(cost.sum(-1) * counted).sum(1)


def no_softmax(tokens, x_logits):
    counted = torch.arange(tokens.shape[1]) <= (tokens != 0).sum(1, keepdim=True)
    return (x_logits.gather(2, tokens[..., None])[..., 0] * counted).sum(1)


def over_places(tokens, x_logits):
    return no_softmax(tokens, x_logits.log_softmax(1))


def probabilities(tokens, x_logits):
    return no_softmax(tokens, x_logits.softmax(-1))


def bits(kl, free):
    return torch.maximum(kl.mean(dim=0), torch.tensor(free)).sum()


def bits_by_loop(kl, free):
    return sum(max(free, sum(column) / len(column)) for column in kl.T.tolist())


def bits_by_numpy(kl, free):
    return np.maximum(kl.numpy().mean(0), free).sum()


def bits_and_the_rest(kl, free):
    price = kl.mean(0)
    return price.sum() + (free - price).relu().sum()


def parts(log_p):
    outside = -torch.logsumexp(log_p, 0)
    return outside, -math.log(len(log_p)) - log_p.mean() - outside


def parts_by_divergence(log_p):
    uniform = torch.full_like(log_p, 1 / len(log_p))
    inside = log_p.log_softmax(0)
    return [-log_p.logsumexp(0), F.kl_div(inside, uniform, reduction="sum")]


def parts_by_numpy(log_p):
    values = log_p.double().numpy()
    share = np.logaddexp.reduce(values)
    return np.array([-share, share - values.mean() - np.log(values.size)])


def parts_by_the_largest(log_p):
    top = float(log_p.max())
    share = top + math.log(sum(math.exp(v - top) for v in log_p.tolist()))
    mean = sum(log_p.tolist()) / len(log_p)
    return -share, -math.log(len(log_p)) - mean + share


def parts_by_exp(log_p):
    share = log_p.exp().sum().log()
    return -share, share - log_p.mean() - math.log(len(log_p))


def turned(log_p):
    p = log_p.softmax(0)
    return parts(log_p)[0], (p * (p * len(p)).log()).sum()


def least(kl, n):
    return (kl - math.log(n)).clamp(min=0)


def least_by_numpy(kl, n):
    return np.maximum(kl.numpy() - np.log(n), 0)


def least_by_mask(kl, n):
    told = torch.tensor(float(n)).log()
    return torch.where(kl > told, kl - told, 0.0)


def least_by_relu(kl, n):
    return torch.relu(kl + math.log(1 / n))


RIGHT = {
    "log_prob": [by_loop, by_cross_entropy, by_categorical, by_one_hot],
    "free_kl": [bits, bits_by_loop, bits_by_numpy, bits_and_the_rest],
    "ceiling": [parts, parts_by_divergence, parts_by_numpy, parts_by_the_largest],
    "distance": [least, least_by_numpy, least_by_mask, least_by_relu],
}
WRONG = {
    "log_prob": [
        (lambda t, s: all_places(t, s).sum(1), "count the padding"),
        (lambda t, s: by_loop(t, s, last=0), "to stop is a decision"),
        (
            lambda t, s: (
                -F.cross_entropy(
                    s.transpose(1, 2), t, reduction="none", ignore_index=0
                ).sum(1)
            ),
            "end token is left out",
        ),
        (lambda t, s: by_loop(t, s, mean=True), "product is a sum"),
        (lambda t, s: all_places(t, s).mean(1), "padding and all"),
        (probabilities, "probabilities"),
        (vocabulary, "over the vocabulary"),
        (no_softmax, "where is the softmax"),
        (over_places, "runs over the places"),
        (lambda t, s: -by_cross_entropy(t, s), "a loss"),
        (pixels, "binary cross-entropy"),
        (lambda t, s: by_cross_entropy(t, s).exp(), "should be"),
        (lambda t, s: by_cross_entropy(t, s).mean(), "shape"),
        (all_places, "shape"),
    ],
    "free_kl": [
        (
            lambda kl, free: kl.maximum(torch.tensor(free)).sum(1).mean(),
            "first the mean over the batch",
        ),
        (lambda kl, free: max(free, float(kl.sum(1).mean())), "has its own"),
        (
            lambda kl, free: max(free * kl.shape[1], float(kl.sum(1).mean())),
            "One allowance",
        ),
        (lambda kl, free: bits(kl.sum(0, keepdim=True), free), "sum over the batch"),
        (
            lambda kl, free: torch.minimum(kl.mean(0), torch.tensor(free)).sum(),
            "A minimum",
        ),
        (lambda kl, free: bits(kl, free) - free * kl.shape[1], "but no maximum"),
        (lambda kl, free: bits(kl, free) / kl.shape[1], "over the dimensions"),
        (lambda kl, free: bits(kl.T, free), "should be"),
        (lambda kl, free: kl.mean(0).clamp(min=free), "shape"),
        (lambda kl, free: kl.clamp(min=free).sum(1), "shape"),
    ],
    "ceiling": [
        (lambda log_p: parts(log_p)[::-1], "outside comes first"),
        (
            lambda log_p: (
                -log_p.logsumexp(0) + math.log(len(log_p)),
                parts(log_p)[1],
            ),
            "log of the mean",
        ),
        (
            lambda log_p: (parts(log_p)[0], -log_p.mean() - parts(log_p)[0]),
            "Where is N",
        ),
        (lambda log_p: (-parts(log_p)[0], -parts(log_p)[1]), "Both signs"),
        (lambda log_p: (-parts(log_p)[0], parts(log_p)[1]), "minus it"),
        (lambda log_p: (parts(log_p)[0], sum(parts(log_p))), "whole gap"),
        (turned, "all strings count alike"),
        (parts_by_exp, "stay with logarithms"),
        (
            lambda log_p: (
                parts(log_p)[0],
                log_p.logsumexp(0) - log_p.sum() - math.log(len(log_p)),
            ),
            "one for their mean",
        ),
        (lambda log_p: (0.0, sum(parts(log_p))), "should be"),
        (lambda log_p: sum(parts(log_p)), "shape"),
    ],
    "distance": [
        (lambda kl, n: kl - math.log(n), "below zero"),
        (lambda kl, n: torch.relu(kl - math.log2(n)), "in bits"),
        (lambda kl, n: kl - least(kl, n), "tell at most"),
        (lambda kl, n: kl + math.log(n), "You add"),
        (lambda kl, n: torch.relu(math.log(n) - kl), "wrong way round"),
        (lambda kl, n: torch.relu(kl - n), "not with n"),
        (lambda kl, n: kl, "should be"),
        (lambda kl, n: least(kl, n).sum()[None], "shape"),
    ],
}
