"""Right and wrong answers to chapter 3's exercises, with a word that the check says."""

import math

import numpy as np
import torch

from vae_lib.objectives import importance_weighted_bound


def elbo_in_two_terms(log_lik, log_p, log_q, sign=-1.0):
    return log_lik.mean(dim=0) + sign * (log_q - log_p).mean(dim=0)


def elbo_by_loop(log_lik, log_p, log_q):
    total = 0
    for a, b, c in zip(log_lik, log_p, log_q, strict=True):
        total = total + (a - (c - b))
    return total / log_lik.shape[0]


def elbo_by_numpy(*arrays):
    log_lik, log_p, log_q = (array.numpy() for array in arrays)
    return np.mean(log_lik + log_p - log_q, axis=0)


def positive(q, p):
    """Sum of q log(q/p) over the codes that q can draw."""
    on = q > 0
    return float((q[on] * (q[on] / p[on]).log()).sum())


def numbers(p_z, lik, q, sign=-1.0, gap=positive):
    joint = p_z * lik
    likelihood_term = float((q * lik.log()).sum())
    bound = likelihood_term + sign * positive(q, p_z)
    return math.log(joint.sum()), bound, gap(q, joint / joint.sum())


def numbers_by_weights(p_z, lik, q):
    on, joint = q > 0, p_z * lik
    bound = (q[on] * (joint[on] / q[on]).log()).sum()
    posterior = joint.log().softmax(0)
    gap = torch.nn.functional.kl_div(posterior.log(), q, reduction="sum")
    return torch.stack([torch.logsumexp(joint.log(), 0), bound, gap])


def numbers_by_loop(p_z, lik, q):
    p_x = sum(a * b for a, b in zip(p_z.tolist(), lik.tolist(), strict=True))
    bound = gap = 0.0
    for prior, likelihood, share in zip(p_z, lik, q, strict=True):
        if share > 0:
            bound += share * math.log(prior * likelihood / share)
            gap += share * math.log(share * p_x / (prior * likelihood))
    return [math.log(p_x), bound, gap]


def numbers_with_nan(p_z, lik, q):
    evidence = (p_z * lik).sum()
    bound = (q * (p_z * lik / q).log()).sum()
    return evidence.log(), bound, evidence.log() - bound


def logs_of(p_z, lik, q):
    return (p_z * lik.log()).sum(), *numbers(p_z, lik, q)[1:]


def groups_by_loop(log_w, k):
    groups = log_w.split(k)
    return sum(torch.logsumexp(g, 0) - math.log(k) for g in groups) / len(groups)


def groups_by_shift(log_w, k):
    rows = log_w.double().reshape(-1, k)
    top = rows.amax(1, keepdim=True)
    return ((rows - top).exp().mean(1).log() + top[:, 0]).mean()


def groups_by_library(log_w, k):
    return importance_weighted_bound(log_w.reshape(-1, k).T).mean()


def softmaxed(log_w, k):
    rows = log_w.reshape(-1, k)
    return (rows.softmax(1) * rows).sum(1).mean()


RIGHT = {
    "sampled_elbo": [elbo_in_two_terms, elbo_by_loop, elbo_by_numpy],
    "three_numbers": [numbers, numbers_by_weights, numbers_by_loop],
    "bound_from": [groups_by_loop, groups_by_shift, groups_by_library],
}
WRONG = {
    "sampled_elbo": [
        (lambda *a: elbo_in_two_terms(*a, sign=1.0), "added"),
        (lambda *a: -elbo_in_two_terms(*a), "loss"),
        (lambda *a: elbo_in_two_terms(*a, sign=0.0), "alone"),
        (lambda lik, p, q: (lik + p).mean(0), "log q is missing"),
        (lambda lik, p, q: (lik - q).mean(0), "log p(z) is missing"),
        (lambda lik, p, q: (lik + p + q).mean(0), "minus"),
        (lambda lik, p, q: (lik + p - q).sum(0), "sum"),
        (lambda a, b, c: importance_weighted_bound(a + b - c), "mean weight"),
        (lambda lik, p, q: (lik + p - q).mean(1), "first axis"),
        (lambda lik, p, q: (lik + p - q).mean(), "per image"),
    ],
    "three_numbers": [
        (lambda *a: numbers(*a, sign=1.0), "price"),
        (lambda *a: numbers(*a, sign=0.0), "alone"),
        (lambda *a: numbers(*a, gap=lambda q, p: positive(q, a[0])), "the prior"),
        (
            lambda *a: numbers(
                *a, gap=lambda q, p: (torch.xlogy(p, p) - torch.xlogy(p, q)).sum()
            ),
            "q comes first",
        ),
        (lambda *a: numbers(*a, gap=lambda q, p: positive(q, a[0] * a[1])), "p(x)"),
        (logs_of, "average first"),
        (lambda *a: (math.exp(numbers(*a)[0]), *numbers(*a)[1:]), "logarithm"),
        (numbers_with_nan, "nan"),
        (lambda *a: numbers(*a)[:2], "shape"),
        (-2.12, "function"),
    ],
    "bound_from": [
        (lambda log_w, k: log_w.mean(), "inside"),
        (lambda log_w, k: log_w.reshape(-1, k).logsumexp(1).mean(), "where is k"),
        (lambda log_w, k: groups_by_loop(log_w, len(log_w)), "no part"),
        (lambda log_w, k: log_w.exp().reshape(-1, k).mean(1).log().mean(), "rounds"),
        (lambda log_w, k: groups_by_loop(log_w.reshape(k, -1).T.ravel(), k), "reshape"),
        (lambda log_w, k: groups_by_loop(log_w, len(log_w) // k), "k groups"),
        (lambda w, k: (w.reshape(-1, k).logsumexp(0) - math.log(k)).mean(), "columns"),
        (softmaxed, "no lower bound"),
        (lambda log_w, k: log_w.reshape(-1, k).max(1).values.mean(), "largest"),
        (lambda log_w, k: log_w.reshape(-1, k).logsumexp(1) - math.log(k), "shape"),
    ],
}
