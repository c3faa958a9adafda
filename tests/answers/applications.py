"""Right and wrong answers to chapter 11, with a word that the check says."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli


def by_ranks(normal, odd):
    """Mann and Whitney's statistic, from the ranks of all scores together."""
    both = torch.cat([normal, odd])
    ranks = (both[:, None] > both).sum(1) + ((both[:, None] == both).sum(1) + 1) / 2
    n, m = len(normal), len(odd)
    return (ranks[n:].sum() - m * (m + 1) / 2) / (n * m)


def by_loop(normal, odd, tie=0.5):
    won = 0.0
    for v in odd.tolist():
        won += sum(1.0 if v > u else tie if v == u else 0.0 for u in normal.tolist())
    return won / (len(normal) * len(odd))


def by_curve(normal, odd):
    found, reported = [0.0], [0.0]
    for limit in torch.cat([normal, odd]).unique().flip(0):
        found.append(float((odd >= limit).float().mean()))
        reported.append(float((normal >= limit).float().mean()))
    middles = (np.array(found[1:]) + np.array(found[:-1])) / 2
    return (middles * np.diff(reported)).sum()


def by_signs(normal, odd):
    return (1 + (odd[:, None] - normal).sign().mean()) / 2


def circle(a, b, t):  # the page's
    angle = torch.cosine_similarity(a, b, dim=-1).arccos()[..., None]
    way = torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b
    return way / angle.sin()


def walk(a, b, t):
    lengths = (1 - t) * a.norm(dim=-1) + t * b.norm(dim=-1)
    return lengths[..., None] * circle(
        F.normalize(a, dim=-1), F.normalize(b, dim=-1), t
    )


def walk_by_axes(a, b, t):
    """By the part of b that is at right angles to a; lengths apart."""
    la, lb = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    e, cos = a / la, (a * b).sum(-1, keepdim=True) / (la * lb)
    side = b / lb - cos * e
    angle = torch.atan2(side.norm(dim=-1, keepdim=True), cos)
    turned = torch.cos(t * angle) * e + torch.sin(t * angle) * F.normalize(side, dim=-1)
    return (la + t * (lb - la)) * turned


def walk_by_numpy(a, b, t):
    a, b = a.numpy(), b.numpy()
    la, lb = (np.linalg.norm(z, axis=-1, keepdims=True) for z in (a, b))
    omega = np.arccos((a * b).sum(-1, keepdims=True) / (la * lb))
    way = np.sin((1 - t) * omega) * a / la + np.sin(t * omega) * b / lb
    return ((1 - t) * la + t * lb) * way / np.sin(omega)


def raw_angle(a, b, t):
    angle = (a * b).sum(-1, keepdim=True).arccos()
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / angle.sin()


def filled(x, seen, x_logits):
    bce = F.binary_cross_entropy_with_logits(
        x_logits[:, seen], x[seen].expand(len(x_logits), -1), reduction="none"
    )
    return torch.softmax(-bce.sum(1), 0) @ torch.sigmoid(x_logits)


def filled_by_distributions(x, seen, x_logits):
    log_p = Bernoulli(logits=x_logits).log_prob(x)[:, seen].sum(1)
    weights = (log_p - log_p.logsumexp(0)).exp()
    return (weights[:, None] * Bernoulli(logits=x_logits).mean).sum(0)


def filled_by_loop(x, seen, x_logits):
    logs = []
    for row in x_logits:
        towards = torch.where(x > 0.5, row, -row)[seen]
        logs.append(float(F.logsigmoid(towards).sum()))
    weights = [math.exp(log - max(logs)) for log in logs]
    total = sum(
        w * torch.sigmoid(row) for w, row in zip(weights, x_logits, strict=True)
    )
    return total / sum(weights)


def log_p(x, seen, x_logits):
    return Bernoulli(logits=x_logits[:, seen]).log_prob(x[seen]).sum(1)


def underflowing(x, seen, x_logits):
    weights = log_p(x, seen, x_logits).exp()
    return weights / weights.sum() @ x_logits.sigmoid()


RIGHT = {
    "auc": [by_ranks, by_loop, by_curve, by_signs],
    "around": [walk, walk_by_axes, walk_by_numpy],
    "fill_in": [filled, filled_by_distributions, filled_by_loop],
    "two_sided": [
        lambda known, logs: (logs - known.median()).abs(),
        lambda known, logs: np.abs(np.median(known.numpy()) - logs.numpy()),
        lambda known, logs: [abs(v - sorted(known)[len(known) // 2]) for v in logs],
    ],
}
WRONG = {
    "auc": [
        (lambda normal, odd: by_ranks(odd, normal), "exchanged"),
        (lambda normal, odd: by_loop(normal, odd, tie=0), "lost"),
        (lambda normal, odd: by_loop(normal, odd, tie=1), "are won"),
        (lambda u, v: by_loop(u, v) * len(u) * len(v), "number of them"),
        (lambda u, v: by_loop(u, v) * len(v), "not by N"),
        (lambda u, v: by_loop(u.mean()[None], v), "mean of the normal"),
        (lambda u, v: (v > u).float().mean(), "stopped"),
        (lambda u, v: v[:, None] > u, "shape"),
    ],
    "around": [
        (lambda a, b, t: (1 - t) * a + t * b, "straight"),
        (raw_angle, "nan"),
        (circle, "the page's circle"),
        (
            lambda a, b, t: (
                F.normalize(circle(a, b, t), dim=-1)
                * walk(a, b, t).norm(dim=-1)[..., None]
            ),
            "to the directions",
        ),
        (
            lambda a, b, t: (
                F.normalize(torch.lerp(a, b, t), dim=-1)
                * walk(a, b, t).norm(dim=-1)[..., None]
            ),
            "constant speed",
        ),
        (lambda a, b, t: walk(b, a, t), "from b to a"),
        (lambda a, b, t: F.normalize(walk(a, b, t), dim=-1), "length 1"),
        (
            lambda a, b, t: (
                walk(a, b, t)
                * (1 - F.cosine_similarity(a, b, -1)[..., None] ** 2).sqrt()
            ),
            "sine",
        ),
        (lambda a, b, t: walk(a, b, t).norm(dim=-1), "shape"),
        (7, "function"),
    ],
    "fill_in": [
        (lambda x, seen, f: filled(x, seen | True, f), "hidden pixels"),
        (lambda x, seen, f: filled(x, ~seen, f), "those of the hidden"),
        (lambda x, seen, f: f.sigmoid().mean(0), "the same"),
        (lambda x, seen, f: (log_p(x, seen, f).softmax(0) @ f).sigmoid(), "logits"),
        (lambda x, seen, f: f[log_p(x, seen, f).argmax()].sigmoid(), "best draw"),
        (
            lambda x, seen, f: (
                (log_p(x, seen, f) / seen.sum()).softmax(0) @ f.sigmoid()
            ),
            "their mean",
        ),
        (underflowing, "0 / 0"),
        (lambda x, seen, f: torch.where(seen, x, filled(x, seen, f)), "seen ones too"),
        (lambda x, seen, f: filled(x, seen, f)[~seen], "shape"),
    ],
    "two_sided": [
        (lambda known, logs: known.median() - logs, "Without a sign"),
        (lambda known, logs: logs - known.median(), "never negative"),
        (lambda known, logs: -logs, "plain score"),
        (lambda known, logs: (logs - known.mean()).abs(), "mean"),
        (lambda known, logs: (logs - known[len(known) // 2]).abs(), "should be"),
        (lambda known, logs: (logs - logs.median()).abs(), "to be judged"),
        (lambda known, logs: (logs - known.median()) ** 2, "square"),
        (lambda known, logs: (logs - known.median()).abs().mean(), "shape"),
    ],
}
