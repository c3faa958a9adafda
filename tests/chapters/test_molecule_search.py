"""The numbers of the page that searches among molecules, held against its record."""

import math

import pandas as pd
import prose
import pytest

from vae_lib.records import load_record

says = prose.says("molecule-search")
TOLD, PLAIN, DEAR = "strings and gap", "strings", "strings, beta 0.1"


@pytest.fixture(scope="module")
def record() -> dict:
    return load_record("molecule-search")


@pytest.fixture(scope="module")
def runs(record) -> pd.DataFrame:
    return pd.DataFrame(record["runs"]).set_index(["run", "seed"])


@pytest.fixture(scope="module")
def writer() -> pd.DataFrame:
    """The network without a code, of the study of the chapter."""
    study = pd.DataFrame(load_record("molecules")["runs"])
    return study[study["run"] == "no code"].reset_index()


def shares(rows) -> pd.Series:
    return 100 * pd.DataFrame(list(rows)).mean()


def span(values) -> tuple[float, float]:
    return min(values), max(values)


def test_what_the_page_says_of_scores_and_of_two_alphabets(record, writer):
    scores = record["mutated"]["scores"]
    assert scores["valid"] > 0.9995 and scores["novel"] == 1
    says("novel, and # % are different", 100 * scores["unique"])
    study = pd.DataFrame(load_record("molecules")["runs"])
    plain = shares(study[study["run"] == "gru"]["scores"])
    words = "have # % that are valid, of these # %", plain["valid"], plain["unique"]
    says(*words)
    says("different ones and # % that", plain["novel"])
    other = pd.DataFrame(record["selfies"])
    assert ((writer["elbo"] - other["log_p_x"]).round(1) == 0.5).all()
    two = [shares(rows["written"]) for rows in (writer, other)]
    says("that of SMILES has # %", two[0]["invalid"])
    per_cent = [100 * part / (100 - part["invalid"]) for part in two]
    outside = [part["outside"] for part in per_cent]
    says("thrown away, # % of what SMILES", outside[0])
    says("of the set against # % of SELFIES, and # %", outside[1], 100 - outside[0])
    says("against # % is of the", 100 - outside[1])


def test_what_the_page_says_of_probes(record, runs):
    gap = runs["probes"].str["gap"]
    says("warm-up` explains # to # of the", *span(gap[PLAIN]))
    counts = record["counts"]
    words = "counts of tokens #, counts of pairs #"
    says(words, *(counts[k]["gap"] for k in ("tokens", "pairs")))
    says("nearly have it, #", counts["pairs"]["logp"])
    says("them now explains # to # of", *span(gap[TOLD]))
    says("not about its mean, explains # to #", *span(runs.loc[TOLD, "head"]))
    dipole, logp = (runs["probes"].str[name] for name in ("dipole", "logp"))
    assert (logp[TOLD] < logp[PLAIN]).all()
    assert (dipole[TOLD].mean() - dipole[PLAIN].mean()) < 0


def test_the_books_of_the_gap(runs, record, writer):
    told, plain = runs.loc[TOLD], runs.loc[PLAIN]
    nothing = -0.5 * math.log(2 * math.pi * math.e)
    says("property brings # to # nats", *span(told["log_p_y"] - nothing))
    says("costs # to # more", *span(told["kl"] - plain["kl"]))
    better = told["log_p_x_given_z"] - plain["log_p_x_given_z"]
    says("better, too, by # to # nats", *span(better))
    lost = {
        name: rows["log_p_x_given_z"] - rows["log_p_x_given_another"]
        for name, rows in (("told", told), ("plain", plain))
    }
    says("would be # to # nats lower", *span(lost["told"].round()))
    says("against # to # without", *span(lost["plain"].round()))
    spans = *span(plain["kl"]), *span(told["kl"])
    says("from # to # to # to #", *spans)
    says("for # nats of the strings'", (plain["elbo"] - told["elbo"]).mean())
    pair = told["elbo"] + told["log_p_y"]
    assert (pair - plain["elbo"] - nothing).round(1).eq(0.5).all()
    linear = -0.5 * math.log(1 - record["counts"]["pairs"]["gap"])
    simple = writer["elbo"] + nothing + linear
    says("reach $#$ nats, half a nat", simple.mean())
    says("above the pair's $#$", pair.mean())
    assert (simple - pair).round(1).between(0.4, 0.6).all()
    study = pd.DataFrame(load_record("molecules")["runs"])
    warmed = study[study["run"] == "warm-up"]
    assert round((warmed["log_p_x"] - warmed["elbo"]).mean(), 1) == 0.1
    says("R^2$ of # is worth # nats", 0.9, 0.5 * math.log(1 / (1 - 0.9)))
    says("s = \\sqrt{P/#}$", 240)
    says("and # for one property", math.sqrt(1 / 240))
    assert round(math.sqrt(3 / 240), 1) == 0.1


def test_what_the_page_says_of_walks(runs):
    walks = runs["walks"].apply(pd.Series)
    weak, dear = walks.loc[PLAIN], walks.loc[DEAR]
    says("tried: # to # % can be", *span(100 * weak["valid"].astype(float)))
    assert (weak["ends"] == 0).all() and weak["different"].between(4, 5).all()
    says("ends right in # to # %", *span(100 * dear["ends"].astype(float)))
    assert dear["different"].between(10, 11).all()
    assert dear["valid"].between(0.72, 0.8).all()
    says("which has # nats, below", runs.loc[(PLAIN, 0), "kl"])
    says("below with one of #,", runs.loc[(DEAR, 0), "kl"])


@pytest.fixture(scope="module")
def found(record) -> pd.DataFrame:
    """Wanted molecules by search (column) and training (row)."""
    rows = pd.DataFrame(record["discovery"])
    assert (rows["proposed"] == 1000).all()
    return rows.groupby(["search", "seed"])["best"].mean().unstack().T


def test_what_the_page_says_of_what_is_found(found, record):
    def whole(name: str) -> tuple[float, float]:
        """From the least to the most, rounded as one rounds halves: to even ones."""
        return span(found[name].round())

    assert whole("prior") == (0, 3) and (found["mutation"] == 10).all()
    kept = pd.DataFrame(record["discovery"]).groupby("search")["kept"].mean()
    assert 0.3 < kept["prior"] / 1000 < 0.36
    assert whole("near, strings") == (2, 6)
    says("chance, and # to # where", *whole("near, strings, beta 0.1"))
    told = *whole(f"near, {TOLD}"), *whole(f"near, {TOLD}, beta 0.1")
    assert told == (16, 20, 22, 26)
    says("it finds # to # and # to #", 16.5, 20.5, 22, 26.5)
    says("then writes # to # of those", *whole("trained on"))
    assert whole("strings, trained on") == (42, 46)
    says("same way, writes # to #, by", 42, 46.5)
    slope = found[f"down, {TOLD}"] - found[f"near, {TOLD}"]
    assert 5 < slope.min() and slope.max() <= 9
    slope = found[f"down, {TOLD}, beta 0.1"] - found[f"near, {TOLD}, beta 0.1"]
    assert slope.min() < 0 < slope.max()
    assert (found["mutation, chosen"] == 5).all()
    head = ", chosen by the head"
    best = max((f"near, {TOLD}", f"down, {TOLD}"), key=lambda n: found[n + head].mean())
    assert best == f"near, {TOLD}"
    says("among codes finds # to #, and", *span(found[best + head]))
    words = "trained on # to #, and # to #"
    both = *span(found["trained on" + head]), *span(found["strings, trained on" + head])
    says(words, *both)


def test_what_is_wanted_among_the_proposals_in_the_table(record):
    rows = pd.DataFrame(record["discovery"]).groupby(["search", "seed"])
    sums = rows[["proposed", "kept", "best"]].sum()
    share = (100 * sums["best"] / sums["kept"]).unstack().T
    there = (100 * sums["kept"] / sums["proposed"]).unstack().T
    both = sums.groupby("search").sum()
    chance = 304 / 30_165 * both["kept"]
    for name in ("prior", "near, strings"):
        assert both["best"][name] <= chance[name]
    for name in (DEAR, TOLD, f"{TOLD}, beta 0.1"):
        assert (share[f"near, {name}"] > 5 * 100 * 304 / 30_165).all()
    writers, near = ["trained on", "strings, trained on"], f"near, {TOLD}, beta 0.1"
    words = "the table, # % against # to # %"
    says(words, there[near].mean(), *span(there[writers].to_numpy().ravel()))
    for end, words in {
        "": "# to # % are wanted, and of both writers' # to # %",
        ", chosen by the head": "chooses, # to # % against # to # %",
    }.items():
        led = share[[name + end for name in writers]]
        says(words, *span(share[near + end]), *span(led.to_numpy().ravel()))
        assert (led.max(axis=1) < share[near + end]).all()


def test_what_the_page_says_of_goals(record):
    goals = pd.DataFrame(record["goals"])
    goals = goals.set_index(["goal", "way", "seed"]).sort_index()
    best = goals.loc["logp", "top_1"].unstack()
    assert best.loc["mutation"].min() > 3.75
    assert best.loc[["near", "gradient"]].max().max() < 3.7
    failed = (100 * goals.loc["dipole", "failed"]).unstack()
    codes = failed.loc[["near", "gradient"]].to_numpy().ravel()
    says("codes, # to # against # to #", *span(failed.loc["mutation"]), *span(codes))
    failed = (100 * goals.loc["logp", "failed"]).unstack()
    codes = failed.loc[["near", "gradient"]].to_numpy().ravel()
    says("slope, # to # against # to #", *span(codes), *span(failed.loc["mutation"]))
    says("prior fail least, # to #", *span(failed.loc["prior"]))
    ten = goals.loc["dipole", "top_10"].unstack()
    assert ten.idxmax().nunique() > 1
    slope = (goals.loc["logp", "top_10"].unstack()).T
    assert (slope["gradient"] > slope["near"]).all()
