"""Right and wrong answers to chapter 10, with a word that the check says."""

import math

import numpy as np
import torch


def share(mu, logvar):
    return mu.var(0) / (mu.var(0) + logvar.exp().mean(0))


def share_by_loop(mu, logvar):
    found = []
    for means, noise in zip(mu.T.tolist(), logvar.exp().T.tolist(), strict=True):
        mean = sum(means) / len(means)
        signal = sum((m - mean) ** 2 for m in means) / len(means)
        found.append(signal / (signal + sum(noise) / len(noise)))
    return found


def share_by_numpy(mu, logvar):
    signal, noise = np.var(mu.numpy(), axis=0), np.exp(logvar.numpy()).mean(0)
    return 1 - noise / (signal + noise)


def share_by_moments(mu, logvar):
    mu, logvar = mu.double(), logvar.double()
    total = (mu.square() + logvar.exp()).mean(0) - mu.mean(0).square()
    return 1 - logvar.exp().mean(0) / total


def optimum(lam, n_dims, beta, noise_std, square=2, half=0.5, rest=True):
    tau = beta * noise_std**square
    units, rate, error = 0, 0.0, 0.0
    for j, value in enumerate(lam.tolist()):
        if j < n_dims and value > tau:
            units, rate, error = units + 1, rate + half * math.log(value / tau), error
            error += tau
        elif rest or j < n_dims:
            error += value
    return units, rate, error


def optimum_by_codes(lam, n_dims, beta, noise_std):
    """From the divergence of the best codes, dimension by dimension."""
    tau = beta * noise_std**2
    top = lam[:n_dims].clamp(min=tau)
    second, variance = (top - tau) / top, tau / top
    kl = 0.5 * (second + variance - 1 - variance.log())
    saved = (lam[:n_dims] - tau).relu().sum()
    return torch.stack([(second > 0).sum(), kl.sum(), lam.sum() - saved])


def optimum_by_numpy(lam, n_dims, beta, noise_std):
    lam, tau = lam.float().numpy(), np.float32(beta * noise_std * noise_std)
    used = lam[:n_dims][lam[:n_dims] > tau]
    rate = 0.5 * np.log(used / tau).sum()
    return len(used), rate, lam.sum() - (used - tau).sum()


def limits(rates, distortions, k, far=True):
    low, high = 0.0, math.inf
    for i in range(len(rates)):
        price = (distortions[k] - distortions[i]) / (rates[i] - rates[k])
        if rates[i] > rates[k] and (far or abs(i - k) == 1):
            low = max(low, price)
        if rates[i] < rates[k] and (far or abs(i - k) == 1):
            high = min(high, price)
    return low, high


def limits_by_mask(rates, distortions, k):
    slope = (distortions - distortions[k]) / (rates[k] - rates)
    zero, infinity = torch.zeros(1), torch.full((1,), math.inf)
    low = torch.cat([zero, slope[rates > rates[k]]]).max()
    return low, torch.cat([infinity, slope[rates < rates[k]]]).min()


def limits_by_numpy(rates, distortions, k):
    R, D = rates.float().numpy(), distortions.float().numpy()
    up, down = R > R[k], R < R[k]
    low = np.max((D[k] - D[up]) / (R[up] - R[k]), initial=0.0)
    return np.array([low, np.min((D[down] - D[k]) / (R[k] - R[down]), initial=np.inf)])


RIGHT = {
    "told": [share, share_by_loop, share_by_numpy, share_by_moments],
    "linear_optimum": [optimum, optimum_by_codes, optimum_by_numpy],
    "weights_for": [limits, limits_by_mask, limits_by_numpy],
}
WRONG = {
    "told": [
        (lambda mu, logvar: 1 - share(mu, logvar), "share of the noise"),
        (lambda mu, logvar: mu.var(0), "mean code alone"),
        (lambda mu, logvar: mu.var(0) / logvar.exp().mean(0), "by their sum"),
        (
            lambda mu, logvar: mu.std(0) / (mu.std(0) + (logvar / 2).exp().mean(0)),
            "standard deviations do not",
        ),
        (
            lambda mu, logvar: share(torch.cat([mu, -mu]), torch.cat([logvar, logvar])),
            "no variance",
        ),
        (lambda mu, logvar: share(mu.T, logvar.T), "over the images"),
        (
            lambda mu, logvar: mu.var(0) / (mu.var(0) + logvar.mean(0).exp()),
            "not of its logarithm",
        ),
        (lambda mu, logvar: share(mu, logvar / 2), "exp(logvar / 2) is sigma"),
        (
            lambda mu, logvar: mu.var(0) / (mu.var(0) + logvar.exp().var(0)),
            "should be",
        ),
        (lambda mu, logvar: share(mu, logvar).mean(), "shape"),
        (lambda mu, logvar: 13, "shape"),
    ],
    "linear_optimum": [
        (lambda *a: optimum(*a, square=1), "squared"),
        (lambda lam, j, beta, std: optimum(lam, j, 1, std), "where is beta"),
        (lambda lam, j, beta, std: optimum(lam, 7, beta, std), "at most"),
        (lambda *a: optimum(*a, half=1), "one half"),
        (lambda *a: optimum(*a, half=0.5 / math.log(2)), "bits"),
        (lambda *a: optimum(*a, rest=False), "beyond"),
        (
            lambda lam, j, b, s: (
                *optimum(lam, j, b, s)[:2],
                j * b * s**2 + lam[j:].sum(),
            ),
            "less than tau",
        ),
        (
            lambda lam, j, b, s: (
                optimum(lam, j, b, s)[0],
                0.5 * (lam[:j] / (b * s**2)).log().sum(),
                optimum(lam, j, b, s)[2],
            ),
            "negative",
        ),
        (
            lambda lam, j, b, s: (
                *optimum(lam, j, b, s)[:2],
                lam[optimum(lam, j, b, s)[0] :].sum(),
            ),
            "is noisy",
        ),
        (lambda *a: optimum(*a)[:2], "shape"),
    ],
    "weights_for": [
        (lambda *a: limits(*a)[::-1], "exchanged"),
        (lambda *a: limits(*a, far=False), "neighbours"),
        (lambda *a: (-limits(*a)[0], -limits(*a)[1]), "wrong sign"),
        (lambda *a: (limits(*a)[0], math.inf), "larger rate only"),
        (lambda *a: limits(*a)[0], "shape"),
        (lambda rates, distortions, k: (0.58, 1.71), "should be"),
        (
            lambda *a: [1 / w if w else math.inf for w in limits(*a)[::-1]],
            "per nat of rate",
        ),
    ],
}
