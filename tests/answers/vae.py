"""Right and wrong answers to chapter 7's exercises, with a word that the check says."""

import statistics

import torch
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional as F

from vae_lib.evaluation import evaluate_elbo


def terms(mu, log_std, x_logits, x):
    kl = -0.5 * (1 + 2 * log_std - mu**2 - (2 * log_std).exp())
    return kl, F.binary_cross_entropy_with_logits(x_logits, x, reduction="none")


def by_sums(*batch, kl_weight=1.0, bce_weight=1.0):
    kl, bce = terms(*batch)
    return (kl_weight * kl.sum() + bce_weight * bce.sum()) / len(kl)


def by_distributions(mu, log_std, x_logits, x):
    kl = kl_divergence(Normal(mu, torch.exp(log_std)), Normal(0 * mu, 1 + 0 * mu))
    p = Bernoulli(logits=x_logits, validate_args=False)
    return kl.sum(-1).mean() - p.log_prob(x).sum(-1).mean()


def by_softplus(mu, log_std, x_logits, x):
    bce = F.softplus(x_logits) - x * x_logits
    losses = []
    for m, v, b in zip(mu, 2 * log_std, bce, strict=True):
        losses.append(0.5 * (m @ m + v.exp().sum() - v.sum() - len(v)) + b.sum())
    return sum(losses) / len(losses)


def as_number(*batch):
    return by_sums(*batch).item()


def of_terms(combine):
    return lambda *batch: combine(*terms(*batch))


def with_probabilities(mu, log_std, x_logits, x, eps=0.0):
    p = torch.sigmoid(x_logits)
    log_p = x * torch.log(p + eps) + (1 - x) * torch.log(1 - p + eps)
    return terms(mu, log_std, x_logits, x)[0].sum(1).mean() - log_p.sum(1).mean()


def with_cut_probabilities(mu, log_std, x_logits, x):
    bce = F.binary_cross_entropy(torch.sigmoid(x_logits), x, reduction="sum") / len(x)
    return terms(mu, log_std, x_logits, x)[0].sum(1).mean() + bce


def sampled(model, n):
    return model.sample(n)


def decoded(model, n):
    shape = (n, model.config.latent_dim)
    return torch.sigmoid(model.decode(Normal(0.0, 1.0).sample(shape)))


def as_array(model, n):
    return decoded(model, n).detach().numpy()


def one_by_one(model, n):
    codes = torch.randn(n, 1, model.config.latent_dim)
    return torch.cat([model.mean_image(z) for z in codes])


def with_seed(model, n):
    torch.manual_seed(1)
    return decoded(model, n)


def from_codes(draw):
    return lambda model, n: model.mean_image(draw(n, model.config.latent_dim))


def from_posterior(model, n):
    mu, logvar = model.encode(torch.rand(n, 784))
    return model.mean_image(mu + torch.exp(logvar / 2) * torch.randn(mu.shape))


def by_hand(model, x, n_samples, std=0.5, kl=1.0, reduce=torch.mean):
    mu, logvar = model.encode(x)
    divergence = kl * terms(mu, logvar / 2, x, x)[0].sum(1)
    at_mean = model.log_p_x_given_z(x, model.decode(mu)) - divergence
    total = 0
    for _ in range(n_samples):
        z = mu + torch.exp(std * logvar) * torch.randn_like(mu)
        total = total + model.log_p_x_given_z(x, model.decode(z))
    return reduce(at_mean), reduce(total / n_samples - divergence)


def all_at_once(model, x, n_samples):
    drawn, at = (
        model(x, n_samples=n_samples),
        model(x, eps=torch.zeros(len(x), model.config.latent_dim)),
    )
    elbo = (drawn.log_p_x_given_z - drawn.kl).mean()
    return [float((at.log_p_x_given_z - at.kl).mean()), float(elbo)]


def of_picture(model, x, n_samples):
    output = model(x, n_samples=n_samples)
    at_mean = model.log_p_x_given_z(x, model.mean_image(output.mu)) - output.kl
    return at_mean.mean(), (output.log_p_x_given_z - output.kl).mean()


def by_reports(model, x, n_samples):
    at = model(x, eps=torch.zeros(len(x), model.config.latent_dim))
    generator = torch.manual_seed(1)
    several = evaluate_elbo(model, x.repeat(n_samples, 1), generator=generator)
    return (at.log_p_x_given_z - at.kl).mean(), several.elbo


def log_of_mean(model, x, n_samples):
    output = model(x, n_samples=n_samples)
    inside = output.log_p_x_given_z.exp().mean(0).log() - output.kl
    return all_at_once(model, x, 1)[0], inside.mean()


def by_erfinv(n):
    return 2**0.5 * torch.erfinv(2 * (torch.arange(n) + 0.5) / n - 1)


def by_inv_cdf(n):
    return [statistics.NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)]


def by_icdf(n):
    edges = torch.linspace(0, 1, n + 1)
    return Normal(0.0, 1.0).icdf((edges[1:] + edges[:-1]) / 2)


def icdf(probabilities):
    return Normal(0.0, 1.0).icdf(probabilities)


RIGHT = {
    "batch_loss": [by_sums, by_distributions, by_softplus, as_number],
    "new_digits": [sampled, decoded, one_by_one, as_array],
    "two_values": [by_hand, all_at_once, by_reports],
    "fair_ticks": [by_erfinv, by_inv_cdf, by_icdf],
}
WRONG = {
    "batch_loss": [
        (lambda m, s, *rest: by_sums(m, s / 2, *rest), "it is log sigma"),
        (of_terms(lambda kl, bce: kl.sum() + bce.sum()), "add up the batch"),
        (of_terms(lambda kl, bce: kl.sum(1).mean() + bce.sum()), "1/B"),
        (of_terms(lambda kl, bce: kl.sum() + bce.sum(1).mean()), "the KL summed"),
        (of_terms(lambda kl, bce: kl.sum(1).mean() + bce.mean()), "D times"),
        (of_terms(lambda kl, bce: kl.mean() + bce.sum(1).mean()), "dimensions"),
        (of_terms(lambda kl, bce: kl.mean() + bce.mean()), "everything"),
        (lambda *batch: by_sums(*batch, kl_weight=-1), "wrong sign"),
        (lambda *batch: by_sums(*batch, bce_weight=-1), "reward"),
        (lambda *batch: -by_sums(*batch), "minus it"),
        (lambda *batch: by_sums(*batch, kl_weight=2), "one half"),
        (lambda *batch: by_sums(*batch, kl_weight=0), "Where is the KL?"),
        (with_probabilities, "rounds to 1"),
        (with_cut_probabilities, "-100"),
        (lambda *batch: with_probabilities(*batch, eps=1e-8), "p rounds to 1"),
        (lambda m, v, p, x: by_sums(m, v, torch.sigmoid(p), x), "twice"),
        (
            lambda m, v, p, x: (
                by_sums(m, v, p, x, bce_weight=0)
                + ((torch.sigmoid(p) - x) ** 2).sum(1).mean()
            ),
            "squared error",
        ),
        (of_terms(lambda kl, bce: kl.sum(1) + bce.sum(1)), "shape"),
        (lambda m, v, p, x: by_sums(m, 2 * v, p, x), "should be"),
    ],
    "new_digits": [
        (from_posterior, "encoder"),
        (lambda model, n: model.decode(torch.randn(n, 3)), "logits"),
        (lambda model, n: torch.bernoulli(decoded(model, n)), "black or white"),
        (lambda model, n: decoded(model, 1).expand(n, 784), "the same"),
        (from_codes(torch.rand), "N(0, I)"),
        (from_codes(lambda *shape: 20 * torch.rand(shape) - 10), "N(0, I)"),
        (from_codes(lambda n, j: torch.randn(n, 1).expand(n, j)), "independent"),
        (from_codes(lambda *shape: (torch.rand(shape) - 0.5) * 12**0.5), "normally"),
        (lambda model, n: decoded(model, 10), "shape"),
        (with_seed, "the seed"),
    ],
    "two_values": [
        (lambda *case: by_hand(*case)[:1] * 2, "needs draws"),
        (lambda *case: by_hand(*case)[::-1], "needs draws"),
        (lambda *case: by_hand(*case)[1:] * 2, "mu itself"),
        (lambda *case: by_hand(*case, std=1), "a variance"),
        (lambda *case: by_hand(*case, kl=0), "pay it"),
        (lambda *case: by_hand(*case, kl=-1), "not added"),
        (lambda *case: [-v for v in by_hand(*case)], "that is a loss"),
        (lambda *case: by_hand(*case, reduce=torch.sum), "over the images"),
        (log_of_mean, "under the logarithm"),
        (of_picture, "mean_image not"),
        (lambda *case: by_hand(*case, reduce=lambda v: v), "two numbers"),
        (lambda *case: by_hand(*case)[0], "stopped"),
        (lambda *case: (*by_hand(*case), 0.0), "two numbers"),
        (lambda *case: (0.0, 0.0), "up to chance"),
    ],
    "fair_ticks": [
        (lambda n: torch.linspace(-3, 3, n), "Equal steps"),
        (lambda n: (torch.arange(n) + 0.5) / n, "probabilities"),
        (lambda n: torch.special.ndtr((torch.arange(n) + 0.5) / n), "inverse"),
        (lambda n: icdf(torch.linspace(0, 1, n)), "infinite"),
        (lambda n: icdf(torch.arange(1, n + 1) / (n + 1)), "n + 1"),
        (lambda n: icdf(torch.arange(n) / n), "left ends"),
        (lambda n: by_erfinv(n).flip(0), "order"),
        (lambda n: torch.logit((torch.arange(n) + 0.5) / n), "logistic"),
        (lambda n: by_erfinv(n)[1:], "shape"),
    ],
}
