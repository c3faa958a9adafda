"""Checks of chapter 3's exercises."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vae_lib import checks


def sampled_elbo(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Exercise A: ``answer(log p(x|z), log p(z), log q)``, (K, B) each, is (B,)."""

    def reference(log_lik: Tensor, log_p: Tensor, log_q: Tensor) -> Tensor:
        return (log_lik + log_p - log_q).mean(0)

    generator = torch.Generator().manual_seed(3)
    some = 2 * torch.randn(3, 4, 3, generator=generator) - 3
    cases = {
        "log p(x|z) = -5, log p(z) = -1, log q = -3": tuple(
            torch.tensor([[[-5.0]], [[-1.0]], [[-3.0]]])
        ),
        "4 codes for 3 images": tuple(some),
    }
    mistakes = {
        "The divergence is added: E_q[log p(z) - log q] is minus a divergence already, "
        "no second minus.": lambda lik, p, q: (lik - (p - q)).mean(0),
        "That is the negative bound, a loss: the bound itself is wanted.": (
            lambda *a: -reference(*a)
        ),
        "That is the reconstruction term alone.": lambda lik, p, q: lik.mean(0),
        "log q is missing: how much narrower than the prior is q? That is what the "
        "divergence charges for.": lambda lik, p, q: (lik + p).mean(0),
        "log p(z) is missing.": lambda lik, p, q: (lik - q).mean(0),
        "log q enters with a minus: the weight is divided by q.": (
            lambda lik, p, q: (lik + p + q).mean(0)
        ),
        "A mean over the codes, not a sum.": lambda *a: reference(*a) * len(a[0]),
        "You take the logarithm of the mean weight; the ELBO is the mean of the "
        "logarithms.": lambda lik, p, q: (lik + p - q).logsumexp(0) - math.log(len(q)),
        "You average over the images: the codes are the first axis.": (
            lambda lik, p, q: (lik + p - q).mean(-1)
        ),
        "One value per image: average over the first axis only.": (
            lambda *a: reference(*a).mean()
        ),
    }
    checks.compare(answer, reference, cases, mistakes)


def three_numbers(answer: Callable[[Tensor, Tensor, Tensor], tuple]) -> None:
    """Exercise B: ``answer(p_z, p_x_given_z, q)`` is (log p(x), ELBO, gap)."""

    def kl(q: Tensor, p: Tensor) -> Tensor:
        return (torch.xlogy(q, q) - torch.xlogy(q, p)).sum()

    def reference(p_z, lik, q, sign=-1.0, gap=kl):
        evidence = (lik * p_z).sum()
        bound = (q * lik.log()).sum() + sign * kl(q, p_z)
        return torch.stack([evidence.log(), bound, gap(q, lik * p_z / evidence)])

    def prior_gap(p_z, lik, q):
        return reference(p_z, lik, q, gap=lambda q, posterior: kl(q, p_z))

    def mean_of_logs(p_z, lik, q):
        _, bound, gap = reference(p_z, lik, q)
        return torch.stack([(p_z * lik.log()).sum(), bound, gap])

    def unnormalised(p_z, lik, q):
        return reference(p_z, lik, q, gap=lambda q, posterior: kl(q, lik * p_z))

    p_z, lik = torch.tensor([[0.5, 0.3, 0.2], [0.02, 0.1, 0.4]]).double()
    some = {"q = prior": p_z.tolist()}
    some |= {"q = (0.1, 0.6, 0.3)": [0.1, 0.6, 0.3], "q = (0, 0.25, 0.75)": [0, 1, 3]}
    cases = {
        f"{name} (log p(x), ELBO, gap)": (p_z, lik, torch.tensor(q).double() / sum(q))
        for name, q in some.items()
    }
    for name, arguments in cases.items():
        checks.require(
            not checks.call(answer, name, arguments).isnan().any(),
            f"at {name} you get nan: codes with q = 0 contribute nothing, but to the "
            "computer 0 times infinity is no number.",
        )
    mistakes = {
        "Your ELBO adds the divergence to the prior: it is a price.": (
            lambda *a: reference(*a, sign=1.0)
        ),
        "Your ELBO is the reconstruction term alone.": lambda *a: reference(
            *a, sign=0.0
        ),
        "Your gap is the divergence to the prior: it is the one to the posterior.": (
            prior_gap
        ),
        "Your gap is measured from the posterior to q: q comes first.": (
            lambda *a: reference(*a, gap=lambda q, posterior: kl(posterior, q))
        ),
        "Your posterior does not add up to one: divide by p(x).": unnormalised,
        "Your log p(x) is the mean of logarithms: average first.": mean_of_logs,
        "log p(x), ELBO, gap: the evidence lacks its logarithm.": (
            lambda *a: torch.cat([reference(*a)[:1].exp(), reference(*a)[1:]])
        ),
    }
    checks.compare(answer, reference, cases, mistakes)


def bound_from(answer: Callable[[Tensor, int], float]) -> None:
    """Exercise C: ``answer(log_w, k)``, (N,), is the mean over groups of log means."""

    def reference(log_w: Tensor, k: int) -> Tensor:
        return (log_w.reshape(-1, k).logsumexp(1) - math.log(k)).mean()

    def by_weights(log_w: Tensor, k: int) -> Tensor:
        groups = log_w.reshape(-1, k)
        return (groups.softmax(1) * groups).sum(1).mean()

    some = torch.tensor([-1.0, 2.0, 0.5, -3.0, 1.0, 0.0])
    cases = {
        "the weights 1, 3, 2, 2, k = 2": (torch.tensor([1.0, 3, 2, 2]).log(), 2),
        "six weights, k = 1": (some, 1),
        "six weights, k = 3": (some, 3),
        "six weights of e^-800 and less, k = 3": (some - 805, 3),
    }
    mistakes = {
        "That is the mean of all logarithms, whatever k: the mean of a group belongs "
        "inside the logarithm.": lambda log_w, k: log_w.mean(),
        "A sum of weights in place of their mean: where is k?": (
            lambda log_w, k: log_w.reshape(-1, k).logsumexp(1).mean()
        ),
        "You average the groups inside the logarithm as well: k plays no part.": (
            lambda log_w, k: log_w.logsumexp(0) - math.log(len(log_w))
        ),
        "exp(-800) rounds to zero: use torch.logsumexp.": (
            lambda log_w, k: log_w.exp().reshape(-1, k).mean(1).log().mean()
        ),
        "Your groups are not consecutive: what does reshape(-1, k) put into a row?": (
            lambda log_w, k: reference(log_w.reshape(k, -1).T, k)
        ),
        "You have k groups: groups of k are wanted.": (
            lambda log_w, k: reference(log_w, len(log_w) // k)
        ),
        "You weight the logarithms by the normalised weights: that is a loss with the "
        "right gradient (weights detached), and no lower bound.": by_weights,
        "You average down the columns: a group is a row of reshape(-1, k).": (
            lambda log_w, k: (log_w.reshape(-1, k).logsumexp(0) - math.log(k)).mean()
        ),
        "You take the largest weight of a group, not its mean.": (
            lambda log_w, k: log_w.reshape(-1, k).amax(1).mean()
        ),
    }
    checks.compare(answer, reference, cases, mistakes)
