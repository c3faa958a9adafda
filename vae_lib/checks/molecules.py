"""Checks of chapter 13's exercises."""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_lib import checks


def log_prob(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise A: ``answer(tokens, x_logits)``, (B, L) and (B, L, V), is (B,)."""

    def until_the_end(tokens):  # the places up to and with the first end token
        is_end = tokens == 0
        return is_end.cumsum(1) - is_end.long() == 0

    def chosen(tokens, scores):
        return scores.gather(2, tokens[..., None])[..., 0]

    def reference(tokens, x_logits, counted=until_the_end, each=chosen, dim=-1):
        scores = each(tokens, x_logits.log_softmax(dim))
        return scores.where(counted(tokens), 0).sum(1)

    def binary(tokens, log_p):  # of a softmax, as if its entries were pixels
        one_hot = F.one_hot(tokens, log_p.shape[2])
        dark = (1 - log_p.exp()).clamp(min=1e-12).log()
        return (one_hot * log_p + (1 - one_hot) * dark).sum(2)

    generator = torch.Generator().manual_seed(13)
    many = torch.randint(1, 5, (8, 6), generator=generator)
    many[torch.arange(6) >= torch.tensor([[0], [1], [2], [3], [4], [5], [5], [2]])] = 0
    logits = 2 * torch.randn(8, 6, 5, generator=generator)
    short = torch.tensor([[2, 1, 0, 0]])
    some = {
        "the string 2, 1 in four places, equal logits": (short, torch.zeros(1, 4, 3)),
        "eight strings of 0 to 5 tokens, any logits": (many, logits),
        "the same with 3 added to the logits": (many, logits + 3),
        "the three that fill their rows, or nearly": (many[4:7], logits[4:7]),
    }
    mistakes = {
        "You count the padding too: the string is over with its first end token.": (
            partial(reference, counted=lambda t: t >= 0)
        ),
        "The end token is left out: to stop is a decision, and has its factor.": (
            partial(reference, counted=lambda t: t > 0)
        ),
        "A mean over the places: the log of a product is a sum.": (
            lambda t, s: reference(t, s) / until_the_end(t).sum(1)
        ),
        "A mean over all places, padding and all: add up those of the string.": (
            lambda t, s: chosen(t, s.log_softmax(-1)).mean(1)
        ),
        "You add up probabilities: add up their logarithms.": (
            lambda t, s: chosen(t, s.softmax(-1)).where(until_the_end(t), 0).sum(1)
        ),
        "You add up over the vocabulary: at each place one token was written.": (
            partial(reference, each=lambda t, log_p: log_p.sum(2))
        ),
        "The logits are no log probabilities yet: where is the softmax?": (
            lambda t, s: chosen(t, s).where(until_the_end(t), 0).sum(1)
        ),
        "The softmax runs over the places: it belongs to the tokens, the last axis.": (
            partial(reference, dim=1)
        ),
        "That is a loss: log p is minus it.": lambda t, s: -reference(t, s),
        "A binary cross-entropy: what was not written has no factor of its own.": (
            partial(reference, each=binary)
        ),
    }
    checks.compare(answer, reference, some, mistakes)


def free_kl(answer: Callable[[Tensor, float], Tensor]) -> None:
    """Exercise B: ``answer(kl, free_bits)``, kl (B, J), is one number."""

    def reference(kl, free_bits):
        return kl.mean(0).clamp(min=free_bits).sum()

    generator = torch.Generator().manual_seed(13)
    noise = -torch.rand(50, 6, generator=generator).log()  # its mean is 1
    kl = noise * torch.tensor([0.01, 0.1, 0.3, 0.5, 2.0, 5.0])
    some = {
        "four examples, no divergences, free_bits = 0.25": (torch.zeros(4, 3), 0.25),
        "fifty examples, six dimensions, free_bits = 0.25": (kl, 0.25),
        "the same, free_bits = 1": (kl, 1.0),
        "the same, free_bits = 0": (kl, 0.0),
        "three examples and two dimensions, free_bits = 0.5": (kl[:3, 3:5], 0.5),
    }
    mistakes = {
        "You hold each example against free_bits: first the mean over the batch.": (
            lambda kl, free: kl.clamp(min=free).mean(0).sum()
        ),
        "You hold the sum against free_bits: each dimension has its own.": (
            lambda kl, free: kl.mean(0).sum().clamp(min=free)
        ),
        "One allowance for all: what one dimension leaves, no other may use.": (
            lambda kl, free: kl.mean(0).sum().clamp(min=free * kl.shape[1])
        ),
        "A sum over the batch: free_bits are nats of a mean example.": (
            lambda kl, free: kl.sum(0).clamp(min=free).sum()
        ),
        "A minimum: that presses what is free, and lets go what is dear.": (
            lambda kl, free: kl.mean(0).clamp(max=free).sum()
        ),
        "That is what lies beyond free_bits: the same slope, but no maximum.": (
            lambda kl, free: (kl.mean(0) - free).relu().sum()
        ),
        "A mean over the dimensions: add them up.": (
            lambda kl, free: kl.mean(0).clamp(min=free).mean()
        ),
    }
    checks.compare(answer, reference, some, mistakes)


def ceiling(answer: Callable[[Tensor], tuple]) -> None:
    """Exercise C: ``answer(log_p)``, (N,), is (outside, uneven) in nats."""

    def of(parts, log_share=lambda log_p: log_p.logsumexp(0)):  # of the whole set
        return lambda log_p: parts(log_share(log_p), log_p.mean(), math.log(len(log_p)))

    def other_way(log_p):  # the divergence from p(.|S) to the uniform one
        inside = log_p.log_softmax(0)
        uneven = (inside.exp() * inside).sum() + math.log(len(log_p))
        return -log_p.logsumexp(0), uneven

    reference = of(lambda s, m, c: (-s, s - m - c))
    generator = torch.Generator().manual_seed(13)
    all_there = torch.randn(50, generator=generator).double().log_softmax(0)
    some = {
        "four strings with 1/4 each": (torch.full((4,), 1 / 4).log(),),
        "four strings with 1/8 each": (torch.full((4,), 0.125).log(),),
        "strings with 1/2, 1/4 and 1/8": (torch.tensor([0.5, 0.25, 0.125]).log(),),
        "fifty strings that share all probability": (all_there,),
        "the same with a tenth of it": (all_there - math.log(10),),
        "the same with exp(-1000) of it": (all_there - 1000,),
    }
    mistakes = {
        "Exchanged: outside comes first.": of(lambda s, m, c: (s - m - c, -s)),
        "The log of the mean: p(S) is the sum of all p(x).": (
            of(lambda s, m, c: (c - s, s - m - c))
        ),
        "Where is N? The even distribution gives each string 1/N.": (
            of(lambda s, m, c: (-s, s - m))
        ),
        "Both signs: what is missing is >= 0.": of(lambda s, m, c: (s, c + m - s)),
        "log p(S) <= 0: outside is minus it.": of(lambda s, m, c: (s, s - m - c)),
        "The sum of log p(x): the ceiling is one for their mean.": (
            of(lambda s, m, c: (-s, s - m * math.exp(c) - c))
        ),
        "The whole gap for one of its parts: take what is outside away from it.": (
            of(lambda s, m, c: (-s, -m - c))
        ),
        "The divergence the other way round: all strings count alike.": other_way,
        "exp(-1000) rounds to zero: stay with logarithms, logsumexp.": (
            of(lambda s, m, c: (-s, s - m - c), lambda log_p: log_p.exp().sum().log())
        ),
    }
    checks.compare(answer, reference, some, mistakes)


def distance(answer: Callable[[Tensor, int], Tensor]) -> None:
    """Exercise D: ``answer(kl, n)``, kl of any shape in nats, n examples."""

    def reference(kl, n):
        return (kl - math.log(n)).clamp(min=0)

    some = {
        "10 nats, two examples": (torch.tensor(10.0), 2),
        "25.2 nats, 10,000 examples": (torch.tensor(25.2), 10_000),
        "1 nat, 10,000 examples": (torch.tensor(1.0), 10_000),
        "no nats, one example": (torch.tensor(0.0), 1),
        "five divergences, 100 examples": (torch.tensor([0, 2, 4.7, 10, 100]), 100),
    }
    mistakes = {
        "A divergence below zero: how far may the codes be from the prior at least?": (
            lambda kl, n: kl - math.log(n)
        ),
        "log n is in bits: nats have the natural logarithm.": (
            lambda kl, n: (kl - math.log2(n)).clamp(min=0)
        ),
        "That is what the code can tell at most: asked for is what is left of kl.": (
            lambda kl, n: kl.clamp(max=math.log(n))
        ),
        "You add log n: what the code tells is taken away from kl.": (
            lambda kl, n: kl + math.log(n)
        ),
        "The wrong way round: kl minus log n.": (
            lambda kl, n: (math.log(n) - kl).clamp(min=0)
        ),
        "n examples are told apart with log n nats, not with n.": (
            lambda kl, n: (kl - n).clamp(min=0)
        ),
    }
    checks.compare(answer, reference, some, mistakes)
