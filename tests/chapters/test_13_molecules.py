"""The statements of chapter 13 on small exact cases, and its numbers."""

import itertools
import math

import numpy as np
import pandas as pd
import prose
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Categorical, Normal
from torch.testing import assert_close

from vae_lib.configs import SequenceConfig
from vae_lib.molecules import load_molecules
from vae_lib.objectives import effective_beta
from vae_lib.records import load_record
from vae_lib.sequences import SequenceVAE
from vae_lib.tokens import END, categorical_log_prob

pytestmark = pytest.mark.usefixtures("double_precision")
says = prose.says("13-molecules")
V, L = 4, 3
CONFIG = SequenceConfig(1, 8, 4, n_tokens=V, length=L)
NODES, WEIGHTS = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(40))
WEIGHTS = WEIGHTS / math.sqrt(2 * math.pi)


def strings(length: int = L, n_tokens: int = V) -> Tensor:
    """Every string that ends within so many places."""
    rows = []
    for n in range(length):
        letters = itertools.product(range(1, n_tokens), repeat=n)
        rows += [[*row, *[END] * (length - n)] for row in letters]
    return torch.tensor(rows)


@pytest.mark.equation("eq-token-likelihood", "eq-strings-sum")
@pytest.mark.parametrize("decoder", ["gru", "window", "parallel"])
def test_strings_sum_to_one_with_their_end_and_to_their_length_without(decoder):
    config = SequenceConfig(1, 8, 4, n_tokens=V, length=L + 1, decoder=decoder)
    model, z = SequenceVAE(config).requires_grad_(False), torch.randn(1, 1)

    def log_p(rows: Tensor) -> Tensor:
        """log p of each place of these rows, (rows, L + 1)."""
        logits = model.decode(z.expand(len(rows), -1), rows)
        return Categorical(logits=logits).log_prob(rows)

    ended = strings(L + 1)
    letters = (ended != END).sum(1)
    places = torch.arange(L + 1)
    with_end = (log_p(ended) * (places <= letters[:, None])).sum(1).exp()
    without = (log_p(ended) * (places < letters[:, None])).sum(1).exp()
    codes = z.expand(len(ended), -1)
    assert_close(
        with_end, categorical_log_prob(ended, model.decode(codes, ended)).exp()
    )
    rest = torch.tensor([*itertools.product(range(1, V), repeat=L + 1)])
    unended = log_p(rest).sum(1).exp().sum()
    assert_close(with_end.sum() + unended, torch.tensor(1.0))
    # The mean of the number of tokens, one more place where none of L + 1 ends.
    mean = (with_end * (letters + 1)).sum() + unended * (L + 1)
    assert_close(without.sum(), mean)


@pytest.mark.equation("eq-softmax-bce")
@pytest.mark.parametrize("n_tokens", [2, 3, 19])
def test_cross_entropies_of_yes_and_no_are_once_to_twice_that_of_tokens(n_tokens):
    logits = 3 * torch.randn(50, n_tokens)
    p = logits.softmax(-1)
    token = Categorical(logits=logits).sample()
    one_hot = F.one_hot(token, n_tokens).double()
    bce = F.binary_cross_entropy(p, one_hot, reduction="none").sum(-1)
    others = torch.log1p(-p).sum(-1) - torch.log1p(-p.gather(1, token[:, None]))[:, 0]
    ce = -p.gather(1, token[:, None])[:, 0].log()
    assert_close(bce, ce - others)
    assert (bce >= ce).all() and (bce <= 2 * ce + 1e-12).all()
    if n_tokens == 2:
        assert_close(bce, 2 * ce)
    every = [
        F.binary_cross_entropy(p, row.expand_as(p), reduction="none").sum(-1)
        for row in torch.eye(n_tokens)
    ]
    assert (torch.stack(every).neg().exp().sum(0) < 1).all()


def test_those_cross_entropies_are_least_at_the_true_probabilities():
    true = torch.tensor([0.5, 0.3, 0.15, 0.05])
    logits = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12)

    def loss():
        optimizer.zero_grad()
        p = logits.softmax(0)
        value = F.binary_cross_entropy(p, true, reduction="sum")
        value.backward()
        return value

    optimizer.step(loss)
    assert_close(logits.softmax(0), true, atol=1e-4, rtol=0)


@pytest.mark.equation("eq-ceiling")
def test_the_gap_to_the_ceiling_is_what_is_outside_and_what_is_uneven():
    everything = torch.randn(40).softmax(0)
    inside = everything[:9]
    gap = -math.log(9) - inside.log().mean()
    conditional = inside / inside.sum()
    uneven = (1 / 9 * (1 / 9 / conditional).log()).sum()
    assert_close(gap, uneven - inside.sum().log())
    assert gap > 0 and uneven > 0
    best = torch.full((9,), 1 / 9)
    assert_close(best.log().mean(), torch.tensor(-math.log(9)))


def elbo(model: SequenceVAE, x: Tensor, mu: Tensor, std: Tensor) -> Tensor:
    """The ELBO of N(mu, std^2) for each string, by quadrature, (B,)."""
    z = (mu + std * NODES[:, None])[..., None]  # (nodes, B, 1)
    log_p = categorical_log_prob(x, model.decode(z, x))
    kl = 0.5 * (mu**2 + std**2 - 1 - (std**2).log())
    return WEIGHTS @ log_p - kl


def test_a_decoder_without_a_code_is_best_left_without_one():
    """Of all encoders the empty one, and with it the bound is log p(x)."""
    model = SequenceVAE(CONFIG).requires_grad_(False)
    model.decoder.start.weight.zero_()
    model.decoder.gru.weight_ih_l0[:, CONFIG.embedding_dim :] = 0
    x = strings()
    zero = torch.zeros(len(x))
    log_p = categorical_log_prob(x, model.decode(torch.zeros(len(x), 1), x))
    assert_close(elbo(model, x, zero, zero + 1), log_p)
    for mu, std in itertools.product((-1.0, 0.3), (0.2, 1.0, 2.0)):
        assert (elbo(model, x, zero + mu, zero + std) < log_p - 0.01).all()


@pytest.mark.equation("eq-too-many-nats")
def test_nats_beyond_the_logarithm_are_distance_from_the_prior():
    mu, std = torch.linspace(-2, 2, 8), torch.full((8,), 0.05)
    kl = 0.5 * (mu**2 + std**2 - 1 - (std**2).log())
    z = torch.linspace(-6, 6, 60_001)
    each = Normal(mu[:, None], std[:, None]).log_prob(z)  # (8, nodes)
    mixture, prior = each.logsumexp(0) - math.log(8), Normal(0, 1).log_prob(z)
    distance = torch.trapezoid(mixture.exp() * (mixture - prior), z)
    information = torch.trapezoid((each.exp() * (each - mixture)).mean(0), z)
    assert_close(kl.mean(), information + distance, atol=1e-6, rtol=0)
    assert information <= math.log(8) and distance >= kl.mean() - math.log(8)
    assert kl.mean() - math.log(8) > 0.5  # here the bound says something


@pytest.fixture
def runs() -> pd.DataFrame:
    table = pd.DataFrame(load_record("molecules")["runs"])
    table["valid"] = 100 * table["scores"].str["valid"]
    return table.set_index(["run", "seed"])


def test_the_record_has_three_seeds_of_each_run(runs):
    assert runs.groupby("run").size().eq(3).all()
    n = {split: len(load_molecules(split).tokens) for split in ("train", "test")}
    assert n == {"train": 100_000, "test": 30_165}
    assert (runs["log_p_x"] >= runs["elbo"] - 0.2).all()


def mean(runs: pd.DataFrame, run: str, key: str) -> float:
    return runs.loc[run, key].mean()


def test_what_the_page_says_of_set_and_ceiling(runs):
    sets = [load_molecules(split).tokens for split in ("train", "test")]
    n, longest = sum(map(len, sets)), max(int((x != END).sum(1).max()) for x in sets)
    says("They are # strings, of # kinds", n, int(torch.cat(sets).max()))
    says("with at most # before it", longest)
    says("log 130165 = #$ nats", -math.log(n))
    says("recurrent network>` one, reaches $#$", mean(runs, "no code", "log_p_x"))
    says("log 30165 = #$ nats", math.log(len(sets[1])))


def test_what_the_page_says_of_both_decoders_and_of_the_lost_codes(runs):
    says("ends at an ELBO of $#$ on molecules", mean(runs, "gru", "elbo"))
    says("kept, and # % of what", mean(runs, "gru", "valid"))
    says("The parallel one ends at $#$", mean(runs, "parallel", "elbo"))
    assert (runs.loc["parallel", "valid"] < 2).all()
    says("autoregressive one is # nats", mean(runs, "gru", "kl"))
    assert runs.loc["parallel", "active_units"].max() == 2
    low, high = runs.loc["parallel", "kl"].agg(["min", "max"])
    says("divergence is # to # nats in three", low, high)
    says("have ELBOs of $#$, $#$, $#$", *runs.loc["parallel", "elbo"])
    for decoder, words in {
        "parallel": "$#$ instead of $#$, with # nats in",
        "window": "to $#$ from $#$ without a code, with # nats",
    }.items():
        warmed = f"{decoder}, warm-up"
        ends = mean(runs, warmed, "elbo"), mean(runs, decoder, "elbo")
        says(words, *ends, mean(runs, warmed, "kl"))
    for decoder in ("parallel", "window"):
        better = runs.loc[f"{decoder}, warm-up", "elbo"] - runs.loc[decoder, "elbo"]
        assert (better > 1).all()


def test_seed_for_seed_no_code_is_best(runs):
    with_code = runs.drop("no code", level="run")[["elbo", "log_p_x"]]
    for _, rows in with_code.groupby("run"):
        assert (rows.droplevel("run") < runs.loc["no code", rows.columns]).all().all()


def test_what_the_page_says_of_the_cures(runs):
    def lost(run: str, key: str) -> float:
        return mean(runs, "gru", key) - mean(runs, run, key)

    says("warm-up keeps # nats of code", mean(runs, "warm-up", "kl"))
    says("and loses # nats of ELBO", lost("warm-up", "elbo"))
    says("Free bits keep #, just", mean(runs, "free bits", "kl"))
    says("what is free, and lose #.", lost("free bits", "elbo"))
    lose = [lost(run, "log_p_x") for run in ("warm-up", "free bits")]
    says("both lose less, # and # nats", *lose)
    rebuilt = 100 * mean(runs, "beta 0.1", "rebuilt")
    says("holds a molecule, # % of them", rebuilt)
    says("ELBO is # nats lower", lost("beta 0.1", "elbo"))
    says(
        "keeps # nats, and is # nats lower",
        mean(runs, "window, warm-up", "kl"),
        lost("window, warm-up", "elbo"),
    )
    for run in ("warm-up", "free bits", "beta 0.1", "window, warm-up"):
        assert (runs.loc[run, "elbo"] < runs.loc["gru", "elbo"]).all()


ROWS = {
    "no code at all": "no code",
    "autoregressive, plain": "gru",
    "KL warm-up": "warm-up",
    "free bits": "free bits",
    r"$\beta = 0.1$": "beta 0.1",
    "window of three tokens": "window",
    "parallel": "parallel",
}


@pytest.mark.parametrize("name", ROWS)
def test_the_pages_table_is_that_of_the_record(name, runs):
    by = runs.loc[ROWS[name]]
    values = [by["elbo"].mean(), by["elbo"].std()]
    empty = "–" if name == "no code at all" else "#"
    values += [] if empty == "–" else [by["kl"].mean()]
    values += [by["log_p_x"].mean()]
    values += [] if empty == "–" else [100 * by["rebuilt"].mean()]
    row = f"| {name} | $# \\pm #$ | {empty} | $#$ | {empty} | # |"
    says(row, *values, by["valid"].mean())


@pytest.mark.parametrize("name", ["window", "parallel"])
def test_the_rows_of_warmed_decoders_are_those_of_the_record(name, runs):
    by = runs.loc[f"{name}, warm-up"]
    values = [by["elbo"].mean(), by["elbo"].std(), by["kl"].mean()]
    values += [by["log_p_x"].mean(), 100 * by["rebuilt"].mean(), by["valid"].mean()]
    printed = prose.BOOK / "13-molecules.md"
    rows = [r for r in printed.read_text("utf-8").split("\n") if "the same, KL" in r]
    row = rows[["window", "parallel"].index(name)]
    found = [
        float(x) for x in row.replace("$", "").replace("\\pm", "|").split("|")[2:8]
    ]
    assert found == pytest.approx(values, abs=0.051)


def test_what_the_page_says_of_too_many_nats_and_of_the_mass(runs):
    paid = runs.loc["beta 0.1"]
    says("$\\beta = 0.1$ pay # nats for their", paid["kl"].mean())
    says("with # to # nats their mixture", paid["kl"].min(), paid["kl"].max())
    says("mixture is # nats from it", paid["kl"].min() - math.log(30_165))
    says("these codes # % of what", paid["valid"].mean())
    says("of the plain run's strings # %", mean(runs, "gru", "valid"))
    says("gives # % of its probability", 100 * mean(runs, "gru", "mass"))
    says(
        "gives # % of its probability",
        100 * runs.loc["gru", "written"].str["test"].mean(),
    )
    hit = runs["written"].str["test"]
    width = (runs["mass_error"] ** 2 + hit * (1 - hit) / 20_000) ** 0.5
    far = (runs["mass"] - hit).abs() > 4 * width
    assert set(runs.index[far]) == {("beta 0.1", seed) for seed in (0, 1, 2)}
    written = runs.loc["gru", "written"]
    often = written.str["train"] / 100_000 / (written.str["test"] / 30_165)
    says("written # times as often", often.mean())


def test_the_betas_of_programs_are_those_of_their_reductions():
    def beta(likelihood: str, kl: str, places: int, dims: int, weight: float) -> float:
        sizes = {"batch_size": 40, "n_pixels": places, "latent_dim": dims}
        return effective_beta(likelihood, kl, **sizes, kl_weight=weight)

    tiny = beta("mean", "mean", 22, 50, 1e-5)
    says("and batch, times $#$ | $#$ |", 1e-5, tiny)
    assert beta("batchmean", "batchmean", 60, 56, 0.005) == 0.005
    says("sum, times 0.005 | # |", 0.005)
    # 120 times a mean over 120 places of V entries each.
    says("292$ | #, for $V", beta("mean", "mean", 120 * 55, 292, 1 / 120))
    says("196$ | # |", beta("mean", "mean", 120, 196, 1.0))
    says("0.05 in the end | # |", 0.05 * 36.86)


def test_what_the_page_says_of_where_strings_fall(runs):
    shares = 100 * pd.DataFrame(list(runs.loc["gru", "written"])).mean()
    says("runs, # % are training molecules", shares["train"])
    kept, other = shares["test"], shares["spelt otherwise"]
    says("by letter, # % kept ones and # % one", kept, other)
    assert 24 < shares["outside"] < 26
    says("outside of the set, and # % none", shares["invalid"])
    inside = (shares["train"] + shares["test"]) / 100
    gap = -math.log(130_165) - mean(runs, "gru", "log_p_x")
    words = "costs $-\\log # = #$ of the about # nats"
    says(words, inside, -math.log(inside), gap)
    # Over the whole set the gap is smaller: training molecules are a little likelier.
    often = shares["train"] / 100_000 / (shares["test"] / 30_165)
    assert 0 < math.log(often) < 0.1
    assert round(gap - 100_000 / 130_165 * math.log(often), 1) == 1.3
    scores = pd.DataFrame(list(runs.loc["gru", "scores"])).mean()
    names = ("valid", "unique", "novel")
    says("plain runs have #, # and # %", *(100 * scores[name] for name in names))
    says("would have a novelty of # %", 100 * 30_165 / 130_165)
    weak = pd.DataFrame(list(runs.loc["beta 0.1", "scores"])).mean()
    says("ten nats, have # %; of", 100 * weak["novel"])
    says("half as many, # % are unique", 100 * weak["unique"])


def told_model() -> SequenceVAE:
    """A small model of strings with a head whose noise is not the usual one."""
    model = SequenceVAE(SequenceConfig(1, 8, 4, n_tokens=V, length=L, n_properties=1))
    model.head.logvar.data.fill_(-0.7)
    return model.requires_grad_(False)


@pytest.mark.equation("eq-property-bound")
def test_the_bound_of_a_pair_is_below_it_by_the_distance_from_its_posterior():
    model, x = told_model(), strings()[:6]
    y = torch.randn(6, 1)
    z = NODES[:, None, None].expand(-1, 6, 1)  # nodes of the prior

    def log_pair(z: Tensor) -> Tensor:
        """log p(x|z) + log p(y|z), (nodes, 6)."""
        log_p_y = Normal(model.head.mean(z), (model.head.logvar / 2).exp()).log_prob(y)
        return categorical_log_prob(x, model.decode(z, x)) + log_p_y[..., 0]

    evidence = (log_pair(z) + WEIGHTS.log()[:, None]).logsumexp(0)
    mu, logvar = model.encode(x)
    q, prior = Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0)
    drawn = mu + (logvar / 2).exp() * z  # nodes of q
    log_w = log_pair(drawn) + (prior.log_prob(drawn) - q.log_prob(drawn))[..., 0]
    bound = (WEIGHTS[:, None] * log_w).sum(0)
    away = (WEIGHTS[:, None] * (evidence - log_w)).sum(0)  # KL(q || p(z | x, y))
    assert_close(evidence - bound, away)
    assert (away > 0).all()
    output = model(x, y, eps=z)
    each = output.log_p_x_given_z - output.kl
    assert_close((WEIGHTS[:, None] * each).sum(0), bound)


@pytest.mark.equation("eq-r2-nats")
def test_a_property_is_worth_half_the_log_of_what_is_left_of_its_variance():
    y, told = torch.randn(500), 0.3 * torch.randn(500)
    told = told + 0.8 * y
    left, whole = (y - told).square().mean(), y.var(correction=0)

    def best(errors: Tensor, around: Tensor) -> Tensor:
        """The mean log density at the best of many spreads."""
        spreads = around.sqrt() * torch.linspace(0.5, 2, 301)[:, None]
        return Normal(0.0, spreads).log_prob(errors).mean(1).max()

    gain = best(y - told, left) - best(y - y.mean(), whole)
    assert_close(gain, -0.5 * torch.log(left / whole), atol=1e-4, rtol=0)


@pytest.mark.equation("eq-r2-nats")
@pytest.mark.parametrize("bent", [0.0, 0.6])
@pytest.mark.parametrize("weight, spread", [(0.8, 0.6), (0.5, 0.5), (1.5, 0.3)])
def test_a_code_for_the_property_alone_brings_no_more_than_it_costs(
    bent, weight, spread
):
    """y on a fine grid; q is the exact posterior, or one that is off."""
    y = torch.linspace(-9, 9, 4001)
    step = y[1] - y[0]
    hump = Normal(torch.tensor([-0.8, 0.8]), 0.6).log_prob(y[:, None]).exp().mean(1)
    density = (1 - bent) * Normal(0.0, 1.0).log_prob(y).exp() + bent * hump
    density = density / (density.sum() * step)
    variance = (density * y.square()).sum() * step
    entropy = -(density * density.log()).sum() * step
    normal = 0.5 * torch.log(2 * math.pi * math.e * variance)
    for off in (0.0, 0.2):
        precision = 1 + (weight / spread) ** 2
        mu = weight * y / spread**2 / precision + off
        q = Normal(mu, precision**-0.5)
        kl = torch.distributions.kl_divergence(q, Normal(0.0, 1.0))
        z = mu + precision**-0.5 * NODES[:, None]
        log_p_y = (WEIGHTS[:, None] * Normal(weight * z, spread).log_prob(y)).sum(0)
        gain = (density * log_p_y).sum() * step + normal
        price = (density * kl).sum() * step
        assert gain <= price + normal - entropy + 1e-6
        if bent == 0 and off == 0 and weight**2 + spread**2 == pytest.approx(1):
            assert_close(gain, price, atol=1e-5, rtol=0)  # level, not above
