"""Right and wrong answers to chapter 9's exercises, with a word that the check says."""

import math

import torch
from torch.distributions import Independent, MultivariateNormal, Normal

from vae_lib.distributions import gaussian_kl, gaussian_log_prob, reparameterize


def lme(log_w):
    return torch.logsumexp(log_w, 0) - math.log(len(log_w))


def lme_by_hand(log_w):
    largest = log_w.max(dim=0).values
    return largest + (log_w - largest).exp().mean(0).log()


def lme_by_loop(log_w):
    total = log_w[0].double()
    for row in log_w[1:]:
        total = torch.logaddexp(total, row.double())
    return total - math.log(log_w.shape[0])


def lme_by_numpy(log_w):
    log_w = log_w.double().numpy()
    return log_w.max(0) + torch.tensor(log_w - log_w.max(0)).exp().mean(0).log().numpy()


def parts(model, x, mu, std, n_samples):
    """log p(x|z), log p(z) and log q(z|x), each (K, B)."""
    z = mu + std * torch.randn(n_samples, *mu.shape, dtype=mu.dtype)
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    code = Normal(mu, std).log_prob(z).sum(-1)
    return model.log_p_x_given_z(x, z), prior, code


def estimate(*arguments):
    likelihood, prior, code = parts(*arguments)
    return lme(likelihood + prior - code)


def estimate_by_library(model, x, mu, std, n_samples):
    logvar = 2 * std.log()
    z = reparameterize(mu, logvar, n_samples=n_samples)
    zero = torch.zeros_like(z)
    log_ratio = gaussian_log_prob(z, zero, zero) - gaussian_log_prob(z, mu, logvar)
    return lme_by_hand(model.log_p_x_given_z(x, z) + log_ratio)


def estimate_by_image(model, x, mu, std, n_samples):
    found = []
    for i in range(len(x)):
        q = Independent(Normal(mu[i], std[i]), 1)
        z = q.sample((n_samples,))
        log_w = model.log_p_x_given_z(x[i], z) - q.log_prob(z)
        log_w = log_w - 0.5 * (z**2).sum(1) - math.log(2 * math.pi)
        found.append(float(torch.logsumexp(log_w, 0)) - math.log(n_samples))
    return torch.tensor(found)


def estimate_with(combine):
    return lambda *arguments: combine(*parts(*arguments))


def estimate_with_kl(model, x, mu, std, n_samples):
    likelihood, _, _ = parts(model, x, mu, std, n_samples)
    return lme(likelihood - gaussian_kl(mu, 2 * std.log()))


def estimate_other_std(model, x, mu, std, n_samples):
    z = mu + std * torch.randn(n_samples, *mu.shape, dtype=mu.dtype)
    code = Normal(mu, 1.1 * std).log_prob(z).sum(-1)
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    return lme(model.log_p_x_given_z(x, z) + prior - code)


def ess(log_w):
    return torch.exp(2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0))


def ess_by_shares(log_w):
    shares = torch.softmax(log_w.double(), dim=0)
    return 1 / (shares**2).sum(0)


def ess_by_hand(log_w):
    w = (log_w - log_w.amax(0, keepdim=True)).exp()
    return w.sum(0) ** 2 / (w**2).sum(0)


def ess_by_variance(log_w):
    w = (log_w - log_w.amax(0)).exp()
    return len(w) / (1 + w.var(0, correction=0) / w.mean(0) ** 2)


def ess_plain(log_w):
    return log_w.exp().sum(0) ** 2 / log_w.exp().square().sum(0)


def fit(log_joint, mu, logvar, steps=400, entropy=0.5, sign=1.0, frozen=False):
    mu, logvar = (t.clone().requires_grad_() for t in (mu, logvar))
    optimizer = torch.optim.Adam([logvar] if frozen else [mu, logvar], lr=0.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        z = mu + torch.randn(64, len(mu)) * torch.exp(0.5 * logvar)
        loss = -(log_joint(z).mean() + entropy * logvar.sum())
        (sign * loss).backward()
        optimizer.step()
        schedule.step()
    return mu.detach(), logvar.detach()


def fit_by_curvature(log_joint, mu, logvar):
    """Exact for a Gaussian posterior: Newton's step and the inverse curvatures."""
    mu = mu.double()
    slope = torch.autograd.functional.jacobian(log_joint, mu)
    curvature = torch.autograd.functional.hessian(log_joint, mu)
    return mu - torch.linalg.solve(curvature, slope), -torch.log(-curvature.diagonal())


def fit_with_fixed_noise(log_joint, mu, logvar):
    eps = torch.randn(500, len(mu))
    eps = torch.cat([eps, -eps])
    mu, logvar = (t.clone().requires_grad_() for t in (mu, logvar))
    optimizer = torch.optim.LBFGS(
        [mu, logvar], max_iter=100, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        z = mu + (logvar / 2).exp() * eps
        loss = -log_joint(z).mean() - logvar.sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    return [mu, logvar]


def fit_marginal(log_joint, mu, logvar):
    """The mean and the variances of the posterior itself."""
    best, _ = fit_by_curvature(log_joint, mu, logvar)
    curvature = torch.autograd.functional.hessian(log_joint, mu.double())
    return best, torch.log(-torch.linalg.inv(curvature).diagonal())


def fit_with_prior_twice(log_joint, mu, logvar):
    """With the KL in place of the entropy."""
    return fit_by_curvature(lambda z: log_joint(z) - 0.5 * (z**2).sum(), mu, logvar)


def fit_with_other_logvar(other, *arguments):
    mu, logvar = fit_by_curvature(*arguments)
    return mu, other(logvar)


RIGHT = {
    "log_mean_exp": [lme, lme_by_hand, lme_by_loop, lme_by_numpy],
    "estimate": [estimate, estimate_by_library, estimate_by_image],
    "effective_sample_size": [ess, ess_by_shares, ess_by_hand, ess_by_variance],
    "fit": [fit, fit_by_curvature, fit_with_fixed_noise],
}
WRONG = {
    "log_mean_exp": [
        (lambda log_w: log_w.exp().mean(0).log(), "leaves the range"),
        (
            lambda log_w: log_w.max() + (log_w - log_w.max()).exp().mean(0).log(),
            "of each image",
        ),
        (lambda log_w: log_w.mean(0), "ELBO"),
        (lambda log_w: log_w.logsumexp(0), "divides by K"),
        (lambda log_w: lme(log_w - log_w.amax(0)), "come back"),
        (lambda log_w: lme(log_w.T), "first axis"),
        (lambda log_w: lme(log_w.flatten()), "draws only"),
        (lambda log_w: lme(log_w).exp(), "logarithm is asked"),
        (lambda log_w: lme(log_w) + 0.1, "should be"),
        # The mean, and not the largest, subtracted: exp() overflows.
        (lambda w: w.mean(0) + (w - w.mean(0)).exp().mean(0).log(), "leaves the range"),
    ],
    "estimate": [
        (estimate_with(lambda a, b, c: lme(a + b)), "log q(z) is missing"),
        (estimate_with(lambda a, b, c: lme(a - c)), "prior is missing"),
        (estimate_with(lambda a, b, c: lme(a + b + c)), "wrong sign"),
        (estimate_with(lambda a, b, c: lme(a - b + c)), "wrong sign"),
        (estimate_with(lambda a, b, c: (a + b - c).mean(0)), "average logarithms"),
        (estimate_with(lambda a, b, c: (a + b - c).logsumexp(0)), "number of samples"),
        (estimate_with_kl, "each needs its own"),
        (estimate_other_std, "same mu and std"),
        (estimate_with(lambda a, b, c: lme(a + b - c).sum()), "one value per image"),
        (estimate_with(lambda a, b, c: lme(a + b - c) + 1), "off by"),
        (lambda *arguments: None, "return"),
    ],
    "effective_sample_size": [
        (ess_plain, "leaves the range"),
        (lambda log_w: ess(log_w) / len(log_w), "share"),
        (lambda log_w: 1 / ess(log_w), "Upside down"),
        (lambda log_w: log_w.sum(0) ** 2 / (log_w**2).sum(0), "for the weights"),
        (lambda log_w: len(log_w) / ess(log_w) - 1, "relative variance"),
        (lambda log_w: ess(log_w.T), "first axis"),
        (lambda log_w: ess(log_w.flatten()), "draws only"),
        (lambda log_w: ess(log_w).clamp(max=4), "should be"),
    ],
    "fit": [
        (lambda *a: fit(*a, entropy=0.0), "entropy"),
        (lambda *a: fit(*a, entropy=1.0), "too wide"),
        (lambda *a: fit(*a, frozen=True), "mean is off"),
        (lambda *a: fit(*a, sign=-1.0, steps=100), "direction"),
        (lambda *a: fit(*a, steps=3), "below the best"),
        (fit_marginal, "own variances"),
        (fit_with_prior_twice, "in it already"),
        (lambda *a: fit_with_other_logvar(torch.exp, *a), "log sigma^2"),
        (lambda *a: fit_with_other_logvar(lambda s: s / 2, *a), "log sigma^2"),
        (lambda *a: fit(*a)[0], "pair"),
        (lambda *a: None, "stopped"),
        (lambda log_joint, mu, logvar: (mu, logvar * math.nan), "not finite"),
        (
            lambda log_joint, mu, logvar: (
                MultivariateNormal(mu, torch.eye(2)).mean,
                logvar,
            ),
            "mean is off",
        ),
    ],
}
