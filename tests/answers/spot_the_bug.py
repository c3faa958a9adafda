"""Right and wrong answers to "Spot the real bug", with a word that the check says."""

import math

import numpy as np
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from vae_lib.models import LOGVAR_BOUND


def kl(mu, logvar):
    return -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(-1)


def loss(x, x_logits, mu, logvar):
    return (bce(x_logits, x, reduction="sum") + kl(mu, logvar).sum()) / len(x)


def loss_by_distributions(x, x_logits, mu, logvar):
    cost = -Bernoulli(logits=x_logits).log_prob(x).sum(1)
    return (
        cost + kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0)).sum(1)
    ).mean()


def loss_by_loop(x, x_logits, mu, logvar):
    total = 0.0
    for i in range(len(x)):
        total += bce(x_logits[i], x[i], reduction="sum") + kl(mu[i], logvar[i])
    return float(total) / len(x)


def root(mu, logvar, eps):
    return mu + torch.sqrt(torch.exp(logvar)) * eps


def sampled(model, x, mu, logvar, eps):
    z = mu + (logvar / 2).exp() * eps
    return model.log_p_x_given_z(x, z) - kl(mu, logvar)


def sampled_by_weights(model, x, mu, logvar, eps):
    q = Normal(mu, (logvar / 2).exp())
    z = q.loc + q.scale * eps
    log_p_z = Normal(0.0, 1.0).log_prob(z).sum(-1)
    return model.log_p_x_given_z(x, z) + log_p_z - q.log_prob(z).sum(-1)


def sampled_by_weight_matrix(model, x, mu, logvar, eps):
    z = mu + logvar.exp().sqrt() * eps
    error = (x - z @ model.weight.T - model.mean) / model.noise_std
    constant = math.log(2 * math.pi * model.noise_std**2)
    return -0.5 * (error**2 + constant).sum(-1) - kl(mu, logvar)


def streamed(log_w, chunk):
    total = torch.full(log_w.shape[1:], -math.inf, dtype=log_w.dtype)
    for part in log_w.split(chunk):
        total = torch.logaddexp(total, torch.logsumexp(part, 0))
    return total - math.log(len(log_w))


def largest_first(log_w, chunk):
    top = log_w.max(dim=0).values
    return top + (log_w - top).exp().mean(0).log()


def logsumexp(log_w, chunk):
    return torch.logsumexp(log_w, 0) - math.log(log_w.shape[0])


def detached(log_w):
    weights = torch.softmax(log_w, dim=0).detach()
    return (weights * log_w).sum(0).mean()


def bound(log_w):
    return logsumexp(log_w, None).mean()


def normalised(log_w):
    with torch.no_grad():
        weights = (log_w - log_w.max(0).values).exp()
        weights = weights / weights.sum(0)
    return (weights * log_w).sum() / log_w.shape[1]


def counted(batches):
    return sum(len(b) * b.mean() for b in batches) / sum(len(b) for b in batches)


def numbers(value):
    """The same number as Python, torch and numpy have it."""
    return [value, torch.tensor(value), np.float64(value)]


RIGHT = {
    "beta": numbers(1 / 25),
    "loss": [loss, loss_by_distributions, loss_by_loop],
    "std_ratio": numbers(0.0498),
    "draw": [
        root,
        lambda mu, logvar, eps: mu + torch.exp(0.5 * logvar) * eps,
        lambda mu, logvar, eps: torch.addcmul(mu, eps, torch.exp(logvar) ** 0.5),
    ],
    "floor": numbers(2.1945),
    "bounded_kl": [
        lambda mu, logvar: kl(mu, logvar.clamp(min=-20, max=20)),
        lambda mu, logvar: kl(mu, logvar.clamp(max=30.0)),
        lambda mu, logvar: kl(mu, torch.minimum(logvar, torch.tensor(20.0))),
        lambda mu, logvar: kl_divergence(
            Normal(mu, (logvar.clamp(-30, 20) / 2).exp()), Normal(0.0, 1.0)
        ).sum(-1),
    ],
    "last_weight": numbers(128.0),
    "average": [
        counted,
        lambda batches: torch.cat(batches).mean(),
        lambda batches: np.concatenate([b.numpy() for b in batches]).mean(),
    ],
    "excess": numbers(10 / 21 + 0.4),
    "sampled_elbo": [sampled, sampled_by_weights, sampled_by_weight_matrix],
    "shortfall": numbers(1.15),
    "log_mean": [streamed, largest_first, logsumexp],
    "slope": numbers(-0.0881),
    "surrogate": [detached, bound, normalised],
}
WRONG = {
    "beta": [
        (25, "other way"),
        (1 / 50, "dimensions"),
        (1 / 784, "pixels"),
        (1.0, "one reduction"),
        (0.5, "double the batch"),
        (math.nan, "is not it"),
        (None, "expected numbers"),
    ],
    "loss": [
        (
            lambda x, o, m, s: bce(o, x, reduction="sum") + kl(m, s).mean(),
            "KL averaged",
        ),
        (
            lambda x, o, m, s: bce(o, x, reduction="sum") / len(x) + kl(m, s).sum(),
            "KL summed",
        ),
        (lambda x, o, m, s: bce(o, x, reduction="sum") + kl(m, s).sum(), "are sums"),
        (lambda x, o, m, s: bce(o, x) + kl(m, s).mean(), "pixels"),
        (lambda *a: -loss(*a), "minus the ELBO"),
        (
            lambda x, o, m, s: bce(o, x, reduction="sum") / len(x) - kl(m, s).mean(),
            "price",
        ),
        (
            lambda x, o, m, s: (
                bce(o, x, reduction="sum") / len(x) + kl(m, s).mean() / m.shape[1]
            ),
            "over its dimensions",
        ),
        (lambda *a: None, "return"),
    ],
    "std_ratio": [
        (math.exp(3), "other way"),
        (math.exp(-6), "divide"),
        (1.0, "root"),
        (0.06, "draw with both"),
        (0.04, "draw with both"),
        (torch.ones(2), "one number"),
    ],
    "draw": [
        (lambda m, s, e: m + s.exp() * e, "variance"),
        (lambda m, s, e: m + (2 * s).exp() * e, "should be"),
        (lambda m, s, e: m + s.exp() / 2 * e, "Half"),
        (lambda m, s, e: m + s / 2 * e, "logarithm"),
        (lambda m, s, e: (s / 2).exp() * e, "mean"),
        (lambda m, s, e: m + (s / 2).exp() + e, "should be"),
    ],
    "floor": [
        (math.exp(2) - 3, "twice"),
        (0.0, "clamp"),
        ((math.exp(4) - 5) / 2, "log sigma"),
        (math.exp(2) / 2 - 3, "bracket"),
        (3.0, "scan"),
        (-3.0, "scan"),
    ],
    "bounded_kl": [
        (lambda m, s: kl(m, s.clamp(min=2, max=20)), "narrower than the prior"),
        (lambda m, s: kl(m, s.clamp(min=-20)), "not finite"),
        (lambda m, s: kl(m, s), "not finite"),
        (lambda m, s: kl(m, s.clamp(min=-20, max=2)), "changed"),
        (lambda m, s: kl(m, s.clamp(min=0, max=20)), "should be"),
        (lambda m, s: kl(m, s.clamp(max=0)), "should be"),
        (lambda m, s: kl(m, s.clamp(-2, 20)), "0.37"),
        # The library's own soft bound: finite, but it bends what must not change.
        (
            lambda m, s: kl(m, LOGVAR_BOUND * torch.tanh(s / LOGVAR_BOUND)),
            "should be",
        ),
        ("a word", "a function"),
    ],
    "last_weight": [
        (513 / 5, "fair share"),
        (513, "full batch"),
        (5, "share one"),
        (1 / 128, "other way"),
        (1, "equal batches"),
        (100, "compare two"),
    ],
    "average": [
        (lambda b: torch.stack([part.mean() for part in b]).mean(), "program"),
        (lambda b: sum(p.mean() for p in b) / sum(map(len, b)), "too small"),
        (lambda b: b[-1].mean(), "should be"),
        (lambda b: torch.cat(b).sum() / len(b), "should be"),
        (lambda b: torch.cat(b).sum(), "should be"),
        (lambda b: torch.cat(b).median(), "should be"),
    ],
    "excess": [
        (-10 / 21 - 0.4, "sign"),
        (1.0, "half a nat"),
        (0.0, "subtract"),
        (0.9, "subtract"),
        (math.inf, "is not it"),
    ],
    "sampled_elbo": [
        (lambda p, x, m, s, e: sampled(p, x, m, s, 0 * e), "mean code"),
        (
            lambda p, x, m, s, e: p.log_p_x_given_z(x, m + s.exp() * e) - kl(m, s),
            "variance",
        ),
        (
            lambda p, x, m, s, e: sampled(p, x, m, s, e) + 2 * kl(m, s),
            "wrong sign",
        ),
        (lambda p, x, m, s, e: sampled(p, x, m, s, e) + kl(m, s), "Where is"),
        (lambda p, x, m, s, e: p.log_p_x_given_z(x, e) - kl(m, s), "prior"),
        (lambda p, x, m, s, e: p.log_evidence(x), "should be"),
        (lambda p, x, m, s, e: sampled(p, x, m, s, e).mean(), "shape"),
        (lambda p, x, m, s, e: p.nope, "stopped"),
    ],
    "shortfall": [
        (0.5966, "other direction"),
        (-1.1534, "positive"),
        (0.0, "averaged"),
        (-2.2655, "log p(x)"),
        (1.3, "average log w"),
        (1.0, "average log w"),
    ],
    "log_mean": [
        (
            lambda w, c: torch.stack([logsumexp(p, c) for p in w.split(c)]).mean(0),
            "program",
        ),
        (lambda w, c: w.mean(0), "average the logs"),
        (lambda w, c: torch.logsumexp(w, 0), "log K"),
        (
            lambda w, c: logsumexp(
                torch.stack([logsumexp(p, c) for p in w.split(c)]), c
            ),
            "not equal",
        ),
        (lambda w, c: w.exp().mean(0).log(), "underflowed"),
        (lambda w, c: w.max(0).values, "should be"),
        (lambda w, c: torch.logsumexp(w, 0) - math.log(c), "by the chunk"),
        (lambda w, c: w.max() + (w - w.max()).exp().mean(0).log(), "should be"),
        (lambda w, c: logsumexp(w, c).mean(), "shape"),
    ],
    "slope": [
        (0.04743, "bound's own"),
        (1.0881, "first"),
        (0.0881, "sign"),
        (-1.0, "autograd"),
        (0.5, "autograd"),
    ],
    "surrogate": [
        (lambda w: (torch.softmax(w, 0) * w).sum(0).mean(), "program"),
        (lambda w: (torch.softmax(w, 0) * w.detach()).sum(0).mean(), "wrong factor"),
        (lambda w: (torch.softmax(w, 1).detach() * w).sum(0).mean(), "dimension"),
        (lambda w: (torch.softmax(w, 0).detach() * w).sum(), "the sum"),
        (lambda w: w.mean(), "ELBO"),
        (lambda w: -detached(w), "sign"),
        (lambda w: detached(w.detach()), "stopped"),
        (lambda w: None, "stopped"),
    ],
}
