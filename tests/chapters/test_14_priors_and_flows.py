"""The statements of chapter 14 on small exact cases, and its numbers."""

import itertools
import math
import re

import nbformat
import pandas as pd
import prose
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torch.func import jacrev
from torch.nn.functional import softplus
from torch.testing import assert_close

from tools.book import NOTEBOOKS
from vae_lib.distributions import gaussian_log_prob
from vae_lib.flows import Coupling, InverseAutoregressive, Planar
from vae_lib.models import VAE, VAEConfig
from vae_lib.records import load_record

pytestmark = pytest.mark.usefixtures("double_precision")
says = prose.says("14-priors-and-flows")

NODES = torch.linspace(-12, 12, 4801, dtype=torch.float64)
# Four images with equal chances, and what the encoder answers to them.
MU = torch.tensor([-2.0, -0.5, 0.3, 1.5], dtype=torch.float64)
STD = torch.tensor([0.3, 0.5, 0.4, 0.8], dtype=torch.float64)
ANSWERS = Normal(MU[:, None], STD[:, None]).log_prob(NODES).exp()  # (4, nodes)
STANDARD = Normal(0.0, 1.0).log_prob(NODES)


def integral(values: Tensor) -> Tensor:
    return torch.trapezoid(values, NODES)


def divergence(q: Tensor, log_p: Tensor) -> Tensor:
    """KL divergence from the density q at the nodes to the other."""
    return integral(torch.xlogy(q, q) - q * log_p)


@pytest.mark.equation("eq-prior-gain")
def test_prior_gains_the_difference_of_two_divergences():
    aggregate = ANSWERS.mean(0)
    other = Normal(0.4, 1.7).log_prob(NODES)
    gains = integral(ANSWERS * (other - STANDARD)).mean()
    assert_close(gains, integral(aggregate * (other - STANDARD)))
    apart = divergence(aggregate, STANDARD) - divergence(aggregate, other)
    assert_close(gains, apart)


@pytest.mark.equation("eq-prior-gain")
def test_no_prior_gains_more_than_the_aggregate_posterior():
    aggregate = ANSWERS.mean(0)
    most = integral(aggregate * (aggregate.log() - STANDARD))
    assert_close(most, divergence(aggregate, STANDARD))
    for _ in range(50):
        weights = torch.rand(4).softmax(0)[:, None]
        moved = Normal(MU[:, None] + 0.1 * torch.randn(4, 1), STD[:, None])
        other = (weights * moved.log_prob(NODES).exp()).sum(0).log()
        assert integral(aggregate * (other - STANDARD)) < most


@pytest.mark.equation("eq-between")
def test_gains_on_own_and_on_new_codes_close_in_from_both_sides():
    """Expectations over all draws of n images, one by one."""
    everyone = ANSWERS.mean(0)
    most, own, new = divergence(everyone, STANDARD), [], []
    for n in (1, 2, 3, 4):
        draws = torch.tensor(list(itertools.product(range(4), repeat=n)))
        mixtures = ANSWERS[draws].mean(1)  # (4**n, nodes)
        log_ratio = mixtures.clamp(min=1e-300).log() - STANDARD
        own.append(integral(mixtures * log_ratio).mean())
        new.append(integral(everyone * log_ratio).mean())
    assert all(a > b > most for a, b in itertools.pairwise(own))
    assert all(a < b < most for a, b in itertools.pairwise(new))


@pytest.mark.equation("eq-mixture-prior", "eq-mixture-products")
def test_mixture_by_products_is_the_mixture():
    model = VAE(VAEConfig(3, (4,), prior="mixture", n_components=5))
    torch.nn.init.normal_(model.prior.logits)
    torch.nn.init.normal_(model.prior.logvar)
    z = torch.randn(2, 7, 3)
    log_p = mixture_of(*model.prior.components()).log_prob(z)
    assert_close(model.prior.log_prob(z), log_p)


@pytest.mark.equation("eq-vampprior")
def test_vampprior_is_the_mean_of_answers_to_learned_images():
    model = VAE(VAEConfig(2, (4,), prior="vamp", n_components=3, n_pixels=6))
    z = torch.randn(9, 2)
    mu, logvar = model.encode(torch.sigmoid(model.prior.pixels))
    each = gaussian_log_prob(z[:, None], mu, logvar)  # (9, 3)
    assert_close(model.prior.log_prob(z), torch.logsumexp(each, 1) - math.log(3))


def mixture_of(mu: Tensor, logvar: Tensor, logits: Tensor) -> MixtureSameFamily:
    parts = Independent(Normal(mu, (0.5 * logvar).exp()), 1)
    return MixtureSameFamily(Categorical(logits=logits), parts)


@pytest.mark.equation("eq-change-of-variables")
def test_density_is_that_of_the_origin_less_the_log_determinant():
    model = VAE(VAEConfig(3, (4,), prior="flow", n_couplings=3, flow_dim=8))
    for weights in model.prior.parameters():
        torch.nn.init.normal_(weights, std=0.5)

    def forth(u):
        for layer in reversed(model.prior.layers):
            u = layer.inverse(u)
        return u

    for u in torch.randn(5, 3):
        log_det = torch.linalg.slogdet(jacrev(forth)(u)).logabsdet
        expected = Normal(0.0, 1.0).log_prob(u).sum() - log_det
        assert_close(model.prior.log_prob(forth(u)), expected)


@pytest.mark.parametrize("kind", ["coupling", "autoregressive"])
def test_triangular_maps_have_the_sum_of_log_scales(kind):
    if kind == "coupling":
        layer, given = Coupling(5, 8), ()
    else:
        layer, given = InverseAutoregressive(5, 1, 8), (torch.ones(1),)
    for weights in layer.parameters():
        torch.nn.init.normal_(weights, std=0.5)
    z = torch.randn(5)
    jacobian = jacrev(lambda z: layer(z, *given)[0])(z)
    assert_close(jacobian.triu(1), torch.zeros(5, 5))
    assert_close(layer(z, *given)[1], jacobian.diag().log().sum())


def planar(z: Tensor, u: Tensor, w: Tensor, b: float = 0.3) -> Tensor:
    return z + u * torch.tanh(z @ w + b)


@pytest.mark.equation("eq-planar-determinant")
def test_planar_map_has_this_determinant():
    u, w = torch.randn(2, 4)
    for z in torch.randn(5, 4):
        slope = 1 - torch.tanh(z @ w + 0.3) ** 2
        assert_close(jacrev(planar)(z, u, w).det(), 1 + slope * (u @ w))


@pytest.mark.equation("eq-planar-condition")
def test_planar_map_is_made_fit_by_the_square_and_not_by_the_norm():
    u, w = torch.randn(2, 10_000, 6)
    a = (u * w).sum(1)
    more = (softplus(a) - 1 - a)[:, None] * w
    squared = u + more / w.square().sum(1, keepdim=True)
    assert_close((squared * w).sum(1), softplus(a) - 1)
    assert (softplus(a) - 1 > -1).all()
    by_norm = u + more / w.norm(dim=1, keepdim=True)
    assert ((by_norm * w).sum(1) < -1).double().mean() > 0.02
    layer = Planar(6, 1, 3)  # the library's, whatever its network says
    for weights in layer.parameters():
        torch.nn.init.normal_(weights, std=2.0)
    assert layer(torch.randn(1000, 6), torch.randn(1000, 1))[1].isfinite().all()


@pytest.mark.equation("eq-planar-condition")
def test_fit_planar_map_takes_every_value_once_along_w():
    u, w = torch.tensor([-0.9, 0.5]), torch.tensor([1.0, -0.1])
    assert -1 < u @ w < -0.9
    along = torch.linspace(-6, 6, 1001)[:, None] * w / w.square().sum()
    moved = torch.stack([planar(z, u, w) for z in along]) @ w
    assert (moved.diff() > 0).all()


@pytest.mark.equation("eq-best-scale")
def test_best_scale_gains_what_the_formula_says():
    z = 2.3 * torch.randn(1000, 4) + 0.5
    m = z.square().mean()

    def log_p(s2):
        return Normal(0.0, s2.sqrt()).log_prob(z).sum(1).mean()

    one = torch.ones(())
    assert_close(log_p(m) - log_p(one), 4 / 2 * (m - 1 - m.log()))
    assert all(log_p(m * factor) < log_p(m) for factor in (0.9, 0.99, 1.01, 1.1))


def leads() -> pd.DataFrame:
    """The lead of each run of 40 dimensions, by seed."""
    rows = pd.DataFrame(load_record("priors")["wide"])
    rows["lead"] = rows["lead"].str[0]
    return rows.pivot(index="run", columns="seed", values="lead")


def test_page_says_what_training_with_them_gains():
    found = leads()
    priors = found.loc[["mixture", "vamp", "flow"]]
    says("priors lead by # to #", priors.min(axis=None), priors.max(axis=None))
    says("autoregressive ones lead by # at most", found.loc["iaf"].max())
    cold = -found.loc["standard, no warm-up"]
    says("the warm-up loses # to # nats", cold.min(), cold.max())
    assert (found.loc["planar"] < 0).all() and priors.idxmax().nunique() > 1


def test_page_says_what_gap_the_models_leave():
    rows = pd.DataFrame(load_record("priors")["wide"])
    gaps = rows.groupby("run")["gap"].agg(["min", "mean", "max"])
    says("leaves a gap of # nats", gaps.loc["standard", "mean"])
    bounds = rows.groupby("run")["elbo"].mean()
    says("the bound has gained #", bounds["iaf"] - bounds["standard"])
    says("it is still # to #", gaps.loc["iaf", "min"], gaps.loc["iaf", "max"])


def test_page_says_how_far_codes_go_in_the_plane():
    rows = pd.DataFrame(load_record("priors")["plane"])
    far = rows.groupby("run")["farthest"].max()
    says("some lie at #, #, #", far["mixture"], far["vamp"], far["flow"])
    assert far["standard"] < 6
    by_seed = rows.pivot(index="run", columns="seed", values="elbo")
    assert by_seed.idxmax().nunique() > 1
    assert (by_seed.max(axis=1) - by_seed.min(axis=1) > 1).all()


def printed(notebook: str, cell: str) -> list[float]:
    """The numbers that this cell of a notebook of the chapter printed, in order."""
    file = NOTEBOOKS / f"14-priors-and-flows{notebook}.ipynb"
    cells = nbformat.read(file, as_version=4).cells
    (found,) = (c for c in cells if c.id == cell)
    (output,) = found.outputs
    text = output.get("text") or output["data"]["text/plain"]
    return [float(n) for n in re.findall(r"(?<!\w)[-+]?\d+\.?\d*(?![\w)])", text)]


@pytest.mark.book
def test_page_says_what_the_first_notebook_prints():
    rate, prior, information = printed("", "parts-shown")
    says("pays # nats on average; # of them", rate, information)
    says("information, and # are the prior's", prior)
    table = printed("", "more-table")
    assert table[-3:] == [60000, 0.36, 0.34]
    says("With all 60,000 it is # and # nats", *table[-2:])
    one, ten, fifty = printed("", "several-shown")[-5::2]
    says("gains # nats, ten # and fifty #", one, ten, fifty)
    says("fifty pseudo-inputs *lose* # nats", -printed("", "fitted-shown")[-2])


@pytest.mark.book
def test_page_says_what_the_second_notebook_prints():
    gaps = printed("-2", "gaps")
    says("Gaussian leaves # nats of gap", gaps[0])
    says("but for a seam and leave #", min(gaps))
    says("for # % of random pairs", printed("-2", "slip")[1])
