"""The statements of chapter 11, and the functions that its notebook defines."""

import ast
import math
import re

import nbformat
import numpy as np
import prose
import pytest
import torch
from sklearn.metrics import auc as area_under
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor
from torch.distributions import (
    Binomial,
    Chi2,
    MultivariateNormal,
    Normal,
    kl_divergence,
)
from torch.testing import assert_close

from tools.book import BOOK, notebooks_of, printed_functions
from vae_lib.distributions import bernoulli_log_prob, gaussian_log_prob
from vae_lib.linear_gaussian import LinearGaussianModel
from vae_lib.records import load_record

says = prose.says("11-applications")
PAGE = BOOK / "11-applications.md"
RUNS = load_record("uses")["runs"]
RIVALS = load_record("rivals")
LEVELS = ("0.1", "0.25", "0.5", "1.0")
CODES = "PCA", "auto-encoder", "VAE"
SEEN = torch.tensor([True, False, True, True, False])


pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.fixture(scope="module")
def book() -> dict:
    """What the notebooks import and the functions they define, without running them."""
    names: dict = {}
    for path in notebooks_of(PAGE.stem):
        names |= printed_functions(path)
    return names


def test_what_several_notebooks_define_is_the_same_in_each():
    known: dict[str, str] = {}
    for path in notebooks_of(PAGE.stem):
        for cell in nbformat.read(path, 4).cells:
            for name, code in definitions(cell):
                assert known.setdefault(name, code) == code, (path.stem, name)


def definitions(cell: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """The functions and the constants that a cell defines, and their code."""
    if cell.cell_type != "code":
        return []
    body = ast.parse(cell.source).body
    found = [(node.name, node) for node in body if isinstance(node, ast.FunctionDef)]
    set_here = [node for node in body if isinstance(node, ast.Assign)]
    named = [(ast.unparse(node.targets[0]), node) for node in set_here]
    found += [(name, node) for name, node in named if name.isupper()]
    return [(name, ast.unparse(node)) for name, node in found]


@pytest.fixture
def model() -> LinearGaussianModel:
    weight = torch.tensor(
        [[1.0, 0.4], [-0.3, 1.1], [0.8, 0.2], [0.1, -0.7], [0.5, 0.5]]
    )
    return LinearGaussianModel(weight, torch.tensor([0.2, 0.0, -1.0, 0.3, 0.1]), 0.6)


def part_of(model: LinearGaussianModel, seen: Tensor) -> LinearGaussianModel:
    """The model of some of the pixels: the other rows are left out."""
    return LinearGaussianModel(model.weight[seen], model.mean[seen], model.noise_std)


def moments(model: LinearGaussianModel) -> tuple[Tensor, Tensor]:
    """Mean and covariance of x."""
    identity = torch.eye(len(model.mean))
    return model.mean, model.weight @ model.weight.T + model.noise_std**2 * identity


def conditional(model: LinearGaussianModel, x: Tensor) -> MultivariateNormal:
    """p(x_hidden | x_seen) by the formula for Gaussian vectors: z takes no part."""
    mean, c = moments(model)
    gain = c[~SEEN][:, SEEN] @ torch.linalg.inv(c[SEEN][:, SEEN])
    at = mean[~SEEN] + (x[:, SEEN] - mean[SEEN]) @ gain.T
    return MultivariateNormal(at, c[~SEEN][:, ~SEEN] - gain @ c[SEEN][:, ~SEEN])


@pytest.mark.equation("eq-observed-posterior")
def test_code_given_a_part_predicts_the_rest_as_gaussian_conditioning_does(model):
    x = model.sample(6)
    mean, covariance = part_of(model, SEEN).posterior(x[:, SEEN])
    rest = part_of(model, ~SEEN)
    noise = rest.noise_std**2 * torch.eye(2)
    spread = rest.weight @ covariance @ rest.weight.T + noise
    exact = conditional(model, x)
    assert_close(mean @ rest.weight.T + rest.mean, exact.mean)
    assert_close(spread.expand(6, 2, 2), exact.covariance_matrix)
    difference = model.log_evidence(x) - part_of(model, SEEN).log_evidence(x[:, SEEN])
    assert_close(difference, exact.log_prob(x[:, ~SEEN]))


@pytest.mark.equation("eq-observed-posterior")
def test_bernoulli_pixels_out_of_sight_drop_out_of_the_posterior(book):
    """By brute force: sum p(x, z) over all values of the hidden pixels."""
    z = torch.linspace(-6, 6, 241)[:, None, None]  # (nodes, 1, 1)
    logits = z * torch.tensor([1.0, -2.0, 0.5, 1.5, 3.0]) + 0.3
    x = torch.tensor([[1.0, 0.0, 0.0, 1.0, 0.0]])
    fillings = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 2)  # (4, 2)
    full = x.repeat(4, 1)
    full[:, ~SEEN] = fillings
    prior = Normal(0.0, 1.0).log_prob(z[:, 0])
    joint = bernoulli_log_prob(full, logits) + prior  # (nodes, 4)
    by_hand = joint.logsumexp(1)
    ours = book["seen_log_prob"](x, logits, SEEN)[:, 0] + prior[:, 0]
    assert_close(ours, by_hand)
    # and the filling's probability is a mean over the posterior of the code
    posterior = by_hand.softmax(0)
    hidden = bernoulli_log_prob(fillings, logits[..., ~SEEN]).exp()  # (nodes, 4)
    expected = joint.logsumexp(0).softmax(0)
    assert_close(posterior @ hidden, expected)


def weighted_draws(model, x, mu, logvar, n_trials: int, k: int) -> tuple[Tensor, ...]:
    z = mu + (0.5 * logvar).exp() * torch.randn(n_trials, k, 2)
    zero = torch.zeros(2)
    log_w = part_of(model, SEEN).log_p_x_given_z(x[:, SEEN], z)
    log_w = log_w + gaussian_log_prob(z, zero, zero) - gaussian_log_prob(z, mu, logvar)
    return z, log_w  # (trials, K, 2), (trials, K)


@pytest.mark.equation("eq-self-normalised")
def test_weighted_mean_has_the_error_that_the_formula_predicts(model, book):
    x = model.sample(1)
    mean, covariance = part_of(model, SEEN).posterior(x[:, SEEN])
    mu, logvar = mean[0] + 0.2, covariance.diagonal().log() + 0.5
    z, log_w = weighted_draws(model, x, mu, logvar, 2000, 400)
    estimates = (book["weights"](log_w.T).T[..., None] * z).sum(1)  # (trials, 2)
    # E_q[(w / E w)^2 (h - h0)^2] on a fine grid
    nodes = torch.cartesian_prod(*[torch.linspace(-7, 7, 701)] * 2)
    log_q = gaussian_log_prob(nodes, mu, logvar)
    log_p = MultivariateNormal(mean[0], covariance).log_prob(nodes)
    ratio = (2 * log_p - log_q).exp() * (14 / 700) ** 2
    predicted = (ratio[:, None] * (nodes - mean) ** 2).sum(0) / 400
    assert_close(estimates.var(0) / predicted, torch.ones(2), rtol=0, atol=0.15)
    error = (estimates.mean(0) - mean[0]).abs()
    assert (error < 4 * (predicted / 2000).sqrt() + 1e-3).all()


@pytest.mark.equation("eq-self-normalised")
def test_the_effective_sample_size_lies_between_one_and_all(book):
    effective = book["effective_sample_size"]
    assert_close(effective(torch.full((50, 1), 1 / 50)), torch.tensor([50.0]))
    assert_close(effective(torch.eye(50)[:, :1]), torch.ones(1))
    weights = book["weights"](3 * torch.randn(50, 100) - 700)
    assert_close(weights.sum(0), torch.ones(100))
    assert ((effective(weights) >= 1) & (effective(weights) <= 50)).all()


def test_metropolis_step_keeps_the_posterior_and_pseudo_gibbs_does_not():
    """Five codes, four fillings: the chain is a matrix, and nothing is sampled."""
    joint = torch.rand(4, 5) ** 3
    joint = joint / joint.sum()  # p(x_H, z | x_O)
    likelihood, posterior = joint / joint.sum(0), joint / joint.sum(1, keepdim=True)
    q = torch.rand(4, 5).softmax(1)  # q(z | x_H, x_O)
    w = joint / q  # weights, up to p(x_O)

    def chain(q: Tensor, accepts: bool) -> Tensor:
        """P[x, z, x', z']: first the code moves, then the filling is drawn anew."""
        ratio = (w[:, None, :] / w[:, :, None]).clamp(max=1.0)  # (x, z, z')
        move = q[:, None, :] * (ratio if accepts else torch.ones_like(ratio))
        move = move + torch.diag_embed(1 - move.sum(2))
        return torch.einsum("xab,yb->xayb", move, likelihood)

    def after(q: Tensor, accepts: bool) -> Tensor:
        return torch.einsum("xa,xayb->yb", joint, chain(q, accepts))

    assert_close(after(q, accepts=True), joint)
    assert (after(q, accepts=False) - joint).abs().sum() > 0.05
    assert_close(after(posterior, accepts=False), joint)


@pytest.mark.equation("eq-mmse")
def test_squared_error_splits_at_the_conditional_mean(model):
    """Any linear estimate under the exact model: moments, no sampling."""
    _, c = moments(model)
    gain = c @ torch.linalg.inv(c + 0.5**2 * torch.eye(5))  # E[x|y] - mean

    def error(g: Tensor) -> Tensor:
        """E|x - g y|^2 of centred x and y = x + noise."""
        rest = torch.eye(5) - g
        return torch.trace(rest @ c @ rest.T) + 0.25 * torch.trace(g @ g.T)

    for g in (torch.eye(5), torch.zeros(5, 5), torch.randn(5, 5)):
        apart = torch.trace((gain - g) @ (c + 0.25 * torch.eye(5)) @ (gain - g).T)
        assert_close(error(g), error(gain) + apart)
    # through the code: E[x|y] = E[E[x|y,z]|y], where y alone adds variance to noise
    x = model.sample(7)
    noisy = LinearGaussianModel(model.weight, model.mean, math.hypot(0.6, 0.5))
    z = noisy.posterior(x)[0]
    decoded = z @ model.weight.T + model.mean
    share = 0.6**2 / (0.6**2 + 0.5**2)
    assert_close(
        decoded + share * (x - decoded), model.mean + (x - model.mean) @ gain.T
    )


@pytest.mark.equation("eq-noisy-pixel")
@pytest.mark.parametrize("s", [0.1, 0.5, 2.0])
def test_noisy_pixel_adds_to_the_logit_what_bayes_rule_says(book, s):
    y, logits = torch.linspace(-1, 2, 31)[:, None], torch.tensor([[-3.0], [0.4], [2.0]])
    y, logits = y.expand(31, 3)[..., None], logits.expand(3, 1)
    lit = torch.sigmoid(logits) * Normal(1.0, s).log_prob(y).exp()
    dark = torch.sigmoid(-logits) * Normal(0.0, s).log_prob(y).exp()
    restored = torch.sigmoid(book["restored_logit"](y, logits, s))
    if s >= 0.5:  # else the densities underflow before their ratio does
        assert_close(restored, lit / (lit + dark))
        ours = book["noisy_log_prob"](y, logits, s) + Normal(0.0, s).log_prob(y)[..., 0]
        assert_close(ours, (lit + dark).log()[..., 0])
    assert ((restored >= 0) & (restored <= 1)).all()
    assert_close(book["restored_logit"](torch.tensor(0.5), logits, s), logits)


@pytest.mark.equation("eq-shell")
@pytest.mark.parametrize("latent_dim", [1, 2, 20, 200])
def test_squared_length_of_a_normal_vector_has_mean_j_and_variance_2j(latent_dim):
    nodes, mass = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(8))
    mass = mass / mass.sum()
    mean = mass @ nodes**2
    variance = mass @ nodes**4 - mean**2
    chi2 = Chi2(torch.tensor(float(latent_dim)))
    assert_close(latent_dim * mean, chi2.mean)
    assert_close(latent_dim * variance, chi2.variance)
    t = torch.linspace(0, 1, 11)  # coordinates of (1-t) z + t z' have variance:
    pairs = torch.cartesian_prod(nodes, nodes)
    both = torch.cartesian_prod(mass, mass).prod(1)
    on_line = (pairs[:, :1] * (1 - t) + pairs[:, 1:] * t) ** 2  # (pairs, t)
    assert_close(both @ on_line, (1 - t) ** 2 + t**2)
    assert float((both @ on_line).min()) == pytest.approx(0.5)


@pytest.mark.equation("eq-great-circle")
def test_great_circle_keeps_the_length_and_turns_evenly(book):
    a, b = torch.randn(2, 9, 20)
    b = b * (a.norm(dim=1) / b.norm(dim=1))[:, None]
    path = torch.stack([book["great_circle"](a, b, t) for t in np.linspace(0, 1, 11)])
    assert_close(path[0], a)
    assert_close(path[-1], b)
    assert_close(path.norm(dim=2), a.norm(dim=1).expand(11, 9))
    step = torch.cosine_similarity(path[1:], path[:-1], dim=2).arccos()
    assert_close(step, step[0].expand(10, 9))
    # stays in the plane of its ends
    stack = torch.stack([a, b, path[4]], 1)  # (9, 3, 20)
    assert torch.linalg.svdvals(stack)[:, 2].max() < 1e-10
    # half way it is the straight line's middle made longer, whatever the lengths are
    a, b = torch.randn(2, 9, 20)
    angle = torch.cosine_similarity(a, b).arccos()[:, None]
    assert_close(book["great_circle"](a, b, 0.5), (a + b) / 2 / (angle / 2).cos())


@pytest.mark.equation("eq-great-circle")
def test_quarter_turn_between_two_draws_has_the_law_of_the_prior():
    """Linear in two independent normal vectors: its covariance decides."""
    for t in torch.linspace(0, 1, 7):
        turn = torch.tensor([torch.cos(math.pi * t / 2), torch.sin(math.pi * t / 2)])
        assert_close(turn @ turn, torch.tensor(1.0))


@pytest.mark.equation("eq-auc")
@pytest.mark.parametrize("ties", [False, True])
def test_area_under_the_curve_counts_pairs(book, ties):
    normal, odd = torch.randn(150), torch.randn(90) + 0.7
    if ties:
        normal, odd = normal.round(), odd.round()
    truth = np.r_[np.zeros(150), np.ones(90)]
    scores = torch.cat([normal, odd]).numpy()
    pairs = [float(o > n) + 0.5 * float(o == n) for o in odd for n in normal]
    found, _ = book["auc"](normal, odd)
    assert found == pytest.approx(sum(pairs) / len(pairs))
    assert found == pytest.approx(roc_auc_score(truth, scores))
    false_alarms, hits, _ = roc_curve(truth, scores)
    assert found == pytest.approx(area_under(false_alarms, hits))
    assert book["auc"](-normal, -odd)[0] == pytest.approx(1 - found)
    assert book["auc"](normal.exp(), odd.exp())[0] == pytest.approx(found)


@pytest.mark.equation("eq-auc")
def test_standard_error_of_the_area_is_the_spread_over_repeats(book):
    auc = book["auc"]
    areas = [auc(torch.randn(80), torch.randn(60) + 0.8)[0] for _ in range(2000)]
    _, error = auc(torch.randn(4000), torch.randn(3000) + 0.8)
    assert torch.tensor(areas).std() == pytest.approx(error * math.sqrt(50), rel=0.1)
    mean = float(Normal(0.0, 1.0).cdf(torch.tensor(0.8 / math.sqrt(2))))
    assert torch.tensor(areas).mean() == pytest.approx(mean, abs=0.006)


@pytest.mark.equation("eq-other-source")
def test_mean_log_probability_is_minus_entropy_minus_divergence(model):
    p, r = torch.rand(2, 12).softmax(1)
    entropy, divergence = -(r @ r.log()), r @ (r / p).log()
    assert_close(r @ p.log(), -entropy - divergence)
    # densities: a Gaussian source r and the exact model, by moments
    mean, c = moments(model)
    source = MultivariateNormal(mean + 0.3, 0.2 * c)
    model_p = MultivariateNormal(mean, c)
    difference = source.mean - mean
    quadratic = torch.trace(torch.linalg.solve(c, source.covariance_matrix))
    quadratic = quadratic + difference @ torch.linalg.solve(c, difference)
    average = -0.5 * (5 * math.log(2 * math.pi) + torch.logdet(c) + quadratic)
    assert_close(average, -source.entropy() - kl_divergence(source, model_p))
    # the narrower source scores higher under p than p's own draws do
    assert average > -model_p.entropy()


@pytest.mark.equation("eq-other-source")
def test_perfect_model_is_fooled_by_its_own_most_probable_picture(book):
    """Score -log p of the true distribution, anomalies all at its mode: area 0."""
    p = torch.tensor([0.3, 0.25, 0.25, 0.2])
    normal = -p.log()[torch.multinomial(p, 5000, replacement=True)]
    odd = -p.log()[torch.zeros(100, dtype=torch.int64)]
    assert book["auc"](normal, odd)[0] == pytest.approx(0.15, abs=0.02)  # ties: 0.3 / 2


def test_letter_is_drawn_as_mnist_draws_digits(book):
    torch.set_default_dtype(torch.float32)
    for character in "AhWj":
        picture = book["letter"](character, "DejaVuSans").reshape(28, 28)
        lit = (picture > 0).nonzero()
        assert (lit.max(0).values - lit.min(0).values + 1).max() == 20
        grid = torch.arange(28.0) + 0.5
        centre = torch.stack([picture.sum(1) @ grid, picture.sum(0) @ grid])
        # within half a pixel, unless the box would leave the frame
        assert ((centre / picture.sum() - 14).abs() <= 0.51).all(), character
        assert picture.min() >= 0 and picture.max() <= 1


def of_seeds(run: str, *names: str) -> list:
    """What the record has under these names, one entry for each seed."""
    rows = [row for row in RUNS if row["run"] == run]
    for name in names:
        rows = [row[name] for row in rows]
    return rows


def mean(run: str, *names: str, part: int = 0) -> float:
    """The mean over the seeds of a recorded number, or of one of a pair."""
    found = [value[part] for value in of_seeds(run, *names)]
    assert len(found) == 3
    return sum(found) / 3


def table(first: str) -> dict[tuple[str, ...], list[str]]:
    """The rows of the page's table whose head begins so, by their first two cells."""
    lines = PAGE.read_text("utf-8").splitlines()
    (start,) = [n for n, line in enumerate(lines) if line.startswith(f"| {first}")]
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return rows
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows[tuple(cells[:2])] = cells[1:]
    return rows


def notebook_text() -> str:
    """What the cells of the second notebook print, its tables too."""
    cells = nbformat.read(notebooks_of(PAGE.stem)[1], 4).cells
    outputs = [o for cell in cells for o in cell.get("outputs", [])]
    texts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs]
    return "\n".join(texts)


def printed(value: float, places: int) -> str:
    return f"{value:.{places}f}"


METHODS = {  # by row of the tables of two sections, the name in the record
    ("mean image", ""): "mean image",
    ("the noisy image", ""): "nothing",
    ("PCA, fed", ""): "PCA, fed",
    ("PCA, closed form", "$\\mathcal N(0, I)$"): "PCA, closed form",
    ("auto-encoder, fed", "none"): "auto-encoder, fed",
    ("VAE, fed", "none"): "VAE, fed",
    ("auto-encoder, best code", "none"): "auto-encoder, no prior",
    ("auto-encoder, posterior mean", "one Gaussian"): "auto-encoder, Gaussian",
    ("auto-encoder, posterior mean", "mixture of ten"): "auto-encoder, mixture",
    ("VAE, posterior mean", "$\\mathcal N(0, I)$"): "VAE, N(0, I)",
    ("VAE, posterior mean", "mixture of ten"): "VAE, mixture",
    ("ten nearest digits", ""): "ten neighbours",
    ("one denoising auto-encoder", ""): "generalist",
    ("four denoising auto-encoders", ""): "specialist",
}


def of_rivals(*names: str) -> float:
    """The mean over seeds of a mean over images in the record of the rivals."""
    found = RIVALS["seeds"]
    for name in names:
        found = [row[name] for row in found]
    return sum(mean for mean, _ in found) / 3


def test_the_table_of_recognition_is_that_of_the_record():
    models = ("pixels", "PCA", "auto-encoder", "VAE")
    for (name, _), (*cells, pixels, twenty) in table("5,000 labels").items():
        straight = pixels, twenty
        part = ("linear probe", "nearest neighbours").index(name)
        for cell, model in zip(cells, models, strict=True):
            value = mean("digits", "named", f"{model}, 5000", part=part)
            assert cell == f"{value:.1f} %"
        for cell, model in zip(straight, ("pixels", "PCA"), strict=True):
            value = sum(named_straight(f"{model}, 5000", part)) / 3
            assert cell == f"{value:.1f} %"


def named_straight(name: str, part: int) -> list[float]:
    """What is named correctly from straightened digits, in %, for each seed."""
    return [row["named"][name][part] for row in RIVALS["made for one"]]


def alone(*names: str) -> list[list[float]]:
    """Means and errors of what is made for one task alone, a pair for each seed."""
    found = RIVALS["made for one"]
    assert [row["seed"] for row in found] == [0, 1, 2]
    for name in names:
        found = [row[name] for row in found]
    return found


def mean_alone(*names: str) -> float:
    return sum(value for value, _ in alone(*names)) / 3


def ahead_alone(task: str, first: int, name: str) -> tuple[list[float], list[float]]:
    """By how much something is ahead of the local estimate, and the errors, by seed."""
    pairs = alone(*task.split(), str(first), "difference", name)
    sign = -1 if task == "filled" else 1
    return [sign * lead for lead, _ in pairs], [error for _, error in pairs]


def test_the_table_of_filled_holes_is_that_of_the_record():
    rows = table("| prior of the code | 5 epochs")
    assert len(rows) == 15
    for row, key in (
        (("auto-encoder, shown holes", "none"), "shown holes"),
        (("network from half to half", ""), "half to half"),
    ):
        _, *cells = rows.pop(row)
        assert cells == [printed(mean_alone("filled", "0", "mean", key), 1), ""]
    for name, key in (("", "linear"), ("local ", "local linear")):
        cells = rows.pop((f"{name}linear regression", ""))
        assert cells[1:] == [printed(of_rivals("filled", "mean", key), 1), ""]
    for key, (_, short, longer) in rows.items():
        assert short == printed(mean("digits", "filled", "mean", METHODS[key]), 1)
        if longer:
            value = mean("digits, longer", "filled", "mean", METHODS[key])
            assert longer == printed(value, 1)


def test_the_table_of_denoising_is_that_of_the_record():
    rows = table("| prior of the code | 0.1")
    assert len(rows) == 16
    _, *cells = rows.pop(("networks of windows", ""))
    found = [mean_alone("restored", s, "0", "mean", "windows") for s in LEVELS[:2]]
    assert cells == [*(printed(cell, 1) for cell in found), "", ""]
    for name, key in (
        ("four wide denoisers", "wide specialist"),
        ("local Wiener filter", "local linear"),
    ):
        cells = [of_rivals("restored", s, "mean", key) for s in LEVELS]
        assert rows.pop((name, ""))[1:] == [printed(cell, 1) for cell in cells]
    for name in ("Wiener filter", "ten nearest digits"):  # these need no training
        key = name.replace("nearest digits", "neighbours")
        cells = [RIVALS["untrained"][s][key][0] for s in LEVELS]
        assert rows.pop((name, ""))[1:] == [printed(cell, 1) for cell in cells]
    for key, (_, *cells) in rows.items():
        for cell, s in zip(cells, LEVELS, strict=True):
            found = mean("digits", "restored", s, "mean", METHODS[key])
            expected = printed(found, 1)
            if key[0].endswith(("code", "mean")):
                name = f"{METHODS[key]}, and pixel"
                with_pixel = mean("digits", "restored", s, "mean", name)
                expected += f" ({with_pixel:.1f})"
            assert cell == expected, (key, s)


def test_the_table_of_anomalies_is_that_of_the_record():
    kinds = {
        "mirrored digits": ("anomalies", "mirrored"),
        "digits upside down": ("anomalies", "upside down"),
        "letters": ("anomalies", "letters"),
        "animals": ("anomalies", "other pictures"),
        "an unseen four": ("unseen", "4"),
        "an unseen one": ("unseen", "1"),
        "half the size": ("anomalies", "half the size"),
    }
    for (name, _), cells in table("what is odd").items():
        run = {"animals": "digits", "digits": "animals"}[name.split(",")[0]]
        first = of_seeds(run, "anomalies", "other pictures")[0]
        for cell, score in zip(cells, first, strict=True):
            value = mean(run, "anomalies", "other pictures", score)
            assert cell == printed(value, 2), (name, score)
    rows = table("area under the curve")
    assert {name for name, _ in rows} == set(kinds)
    for (name, _), cells in rows.items():
        names = kinds[name]
        area = RIVALS["areas"][
            names[1] if names[0] == "anomalies" else f"unseen {names[1]}"
        ]
        assert cells.pop() == printed(area[0], 2), name
        for cell, score in zip(cells, of_seeds("digits", *names)[0], strict=True):
            value = mean("digits", *names, score)
            assert cell.strip("*") == printed(value, 2), (name, score)


def test_the_tested_chain_moves_as_rarely_as_the_page_says():
    moved = [row["filled"]["moved"] for row in RUNS if row["run"] == "digits"]
    few = [100 * row["tested chain"] for row in moved]
    many = [100 * row["tested chain, 2000 steps"] for row in moved]
    says("of its moves # or # in 100", min(few), max(few))
    later = says("are accepted, later #, and")
    assert {round(share) for share in many} == {later}


def test_sentences_about_holes_and_noise_are_those_of_the_record():
    def apart(run: str, task: str, method: str) -> float:
        names = task.split() + ["difference", method]
        return mean(run, *names)

    short, longer = "digits", "digits, longer"
    one, ten = "auto-encoder, Gaussian", "auto-encoder, mixture"
    best = "auto-encoder, no prior"
    says("auto-encoder is # behind the VAE", apart(short, "filled", one))
    says("a mixture of ten #, in the", apart(short, "filled", ten))
    says("of the # by which its best code", apart(longer, "filled", best))
    recovered = 1 - apart(longer, "filled", ten) / apart(longer, "filled", best)
    assert recovered == pytest.approx(5 / 6, abs=0.02)
    names = best, ten, "VAE, N(0, I)", "ten neighbours"
    found = [mean("animals", "filled", "mean", name) for name in names]
    says("best code #, with a mixture #, the", *found[:2])
    says("#, the VAE #, ten neighbours #", *found[1:])
    says("the ten nearest is # ahead, with", -apart(short, "filled", "ten neighbours"))
    chains = "chain that always moves", "tested chain", "tested chain, 2000 steps"
    moving, tested, long = (mean(short, "filled", "mean", name) for name in chains)
    says("that always moves has #, the", moving)
    says("in the limit exact, #: of", tested)
    says("which is exact never, has #", mean(short, "filled", "mean", "VAE, N(0, I)"))
    says("2,000 steps it comes to #.", long)
    says("behind, it is # behind.", -apart(short, "restored 1.0", one))
    says("codes it is # behind, and", -apart(short, "restored 1.0", one))
    mixtures = [apart(short, "restored 1.0", name) for name in ("VAE, mixture", ten)]
    says("mixture, the VAE is # decibels ahead", mixtures[0] - mixtures[1])
    says("with a mixture has # then", mean(longer, "restored", "0.5", "mean", ten))
    says("$r_d$, by # decibels", apart(longer, "restored 0.1", one))
    says("behind it by # at", -apart(longer, "restored 1.0", one))
    level = "auto-encoder, no prior, and pixel"
    says("if only by # decibels at", -apart(short, "restored 0.1", level))
    ten = float(table("| prior of the code | 0.1")["ten nearest digits", ""][-1])
    best = of_seeds(longer, "restored", "1.0", "mean", "VAE, mixture")
    low, high = says("a mixture is # to # behind them")
    assert all(low - 0.05 < ten - value < high + 0.05 for value, _ in best)
    best = "auto-encoder, no prior"
    says("without a prior it is behind by #.", -apart(longer, "restored 1.0", best))


def test_what_a_fitted_prior_leaves_and_recovers_holds_for_every_seed():
    more = load_record("uses")["more holes"]
    assert [row["seed"] for row in more] == [3, 4, 5]

    def left(rows: list[dict], prior: str) -> list[float]:
        name = f"auto-encoder, {prior}"
        return [row["filled"]["difference"][name][0] for row in rows]

    def percent(rows: list[dict]) -> list[float]:
        pairs = zip(left(rows, "mixture"), left(rows, "no prior"), strict=True)
        return [100 * (1 - fitted / without) for fitted, without in pairs]

    six = [row for row in RUNS if row["run"] == "digits"] + more
    longer = [row for row in RUNS if row["run"] == "digits, longer"]
    fitted, without = left(six, "mixture"), left(six, "no prior")
    says("it is # to # behind, for six", min(fitted), max(fitted))
    says("leaves # to #, by seed,", min(fitted), max(fitted))
    says("in the mean #, and recovers", sum(fitted) / 6)
    says("of the # by which the best code", sum(without) / 6)
    late = left(longer, "mixture")
    says("and # to # are left", min(late), max(late))
    for rows, words in (
        (six, ("recovers # to # % of the", "makes up for # to # %")),
        (longer, ("it recovers # to # %.", "a longer training # to # %")),
    ):
        for text in words:
            says(text, min(percent(rows)), max(percent(rows)))


def test_sentences_about_the_rivals_are_those_of_their_record():
    chosen = RIVALS["chosen"]
    says("from the # nearest (*local*)", chosen["filled"][0])
    says("regression on the # nearest by", chosen["filled"][0])
    ahead = [
        seed["filled"]["difference"]["VAE, N(0, I)"][0] for seed in RIVALS["seeds"]
    ]
    says("nearest by # to #, by seed", min(ahead), max(ahead))
    says("digits is # to # ahead, by seed", min(ahead), max(ahead))
    behind = of_rivals("filled", "mean", "linear") - of_rivals(
        "filled", "mean", "VAE, N(0, I)"
    )
    says("matrix, is only # behind", behind)
    least, most = chosen["1.0"][0], chosen["0.1"][0]
    says("alone, # of them", least)
    says("strongest noise and # for", most)
    leads = []
    for s in ("0.25", "0.5"):
        rows = [seed["restored"][s]["mean"] for seed in RIVALS["seeds"]]
        codes = [k for k in rows[0] if k.startswith(("auto", "VAE", "PCA"))]
        best = max(sum(row[k][0] for row in rows) for k in codes)
        leads.append((sum(row["wide specialist"][0] for row in rows) - best) / 3)
    says("denoisers, by # and #; at", *leads)
    (ten, _), (local, _) = (
        RIVALS["untrained"]["1.0"]["ten neighbours"],
        RIVALS["seeds"][0]["restored"]["1.0"]["mean"]["local linear"],
    )
    says("# decibels ahead of the local filter", ten - local)
    best = max(mean("digits", "restored", "0.1", "mean", k) for k in codes)
    assert round(of_rivals("restored", "0.1", "mean", "local linear") - best) == 6


def test_what_is_made_for_the_hole_is_ahead_of_models_that_never_saw_one():
    shown, half = (
        mean_alone("filled", "0", "mean", name)
        for name in ("shown holes", "half to half")
    )
    local = of_rivals("filled", "mean", "local linear")
    vae = of_rivals("filled", "mean", "VAE, N(0, I)")
    says("neither: with # it is", shown)
    says("half to half, with #, is", half)
    says("half to half (#)", half)
    says("shown holes (#); local", shown)
    says("regression on stored digits (#) |", local)
    says("one start, the VAE (#), then", vae)
    assert half < shown < local < vae - 3
    for name, first, words in (
        ("half to half", 0, "image it is # to # ahead of the local"),
        ("half to half", 5000, "5,000 on # to #; the"),
        ("shown holes", 0, "holes is # to # ahead, with"),
        ("shown holes", 5000, "and # to # on the others"),
    ):
        leads, _ = ahead_alone("filled", first, name)
        says(words, min(leads), max(leads))
        assert min(leads) > 0
    for name, words in (
        ("half to half", "by seed, with an error of #, and"),
        ("shown holes", "ahead, with errors of #, and"),
    ):
        says(words, sum(ahead_alone("filled", 0, name)[1]) / 3)


def test_windows_are_ahead_in_the_weakest_noise_and_level_in_the_next():
    for first, words in (
        (0, "filter by # to # decibels, image"),
        (5000, "of 0.1, and # to # on digits"),
    ):
        leads, errors = ahead_alone("restored 0.1", first, "windows")
        says(words, min(leads), max(leads))
        assert max(errors) < 0.1
    leads, _ = ahead_alone("restored 0.25", 0, "windows")
    says("between # behind it and # ahead", -min(leads), max(leads))
    windows = [
        mean_alone("restored", s, "0", "mean", "windows") for s in ("0.1", "0.25")
    ]
    says("of windows (#) |", windows[0])
    says("windows at 0.25 (#);", windows[1])
    says(
        "Wiener filter (#); wide", of_rivals("restored", "0.1", "mean", "local linear")
    )
    wide = [of_rivals("restored", s, "mean", "wide specialist") for s in LEVELS]
    says("wide denoisers (#) |", wide[0])
    says("wide denoisers (#, #), after", *wide[1:3])
    says("wide denoisers (#) behind", wide[3])
    says("local filter (#); wide", of_rivals("restored", "1.0", "mean", "local linear"))
    says("ten stored digits (#)", RIVALS["untrained"]["1.0"]["ten neighbours"][0])
    coded = of_seeds("digits", "restored", "0.1", "mean")[0]
    codes = [k for k in coded if k.startswith(("auto", "VAE", "PCA"))]
    best = max(mean("digits", "restored", "0.1", "mean", k) for k in codes)
    says("fitted prior (#); a code", best)
    assert round(windows[0] - best) == 8  # in words: by eight decibels


def test_straightened_digits_are_read_better_than_the_code():
    def leads(run: str, n: int, part: int) -> list[float]:
        codes = of_seeds(run, "named", f"auto-encoder, {n}")
        found = zip(named_straight(f"PCA, {n}", part), codes, strict=True)
        return [straight - code[part] for straight, code in found]

    short = {
        (n, part): leads("digits", n, part) for n in (1000, 5000) for part in (0, 1)
    }
    ends = [[min(found), max(found)] for found in short.values()]
    (few_probe, few_near, probe, near) = ends
    says("of its code, by # to # points", min(map(min, ends)), max(map(max, ends)))
    says("by the probe by # to # points, by neigh", *probe)
    says("by neighbours by # to #; with", *near)
    says("labels by # to # and by # to #.", *few_probe, *few_near)
    cells = nbformat.read(notebooks_of(PAGE.stem)[0], 4).cells
    in_notebook = prose.in_text("\n".join(cell.source for cell in cells), "notebook")
    in_notebook("by # to # by neighbours, where", *near)
    in_notebook("labels they are ahead by # to # points", *few_near[:1], few_probe[1])
    assert all(round(lead) == 2 for lead in probe)
    longer = [leads("digits, longer", n, part) for n, part in short]
    says("epochs, by # to #.)", min(map(min, longer)), max(map(max, longer)))
    for part in (0, 1):
        pixels = named_straight("pixels, 5000", part)
        assert min(pixels) > max(named_straight("PCA, 5000", part))
    says("straightened pixels (# % by", sum(named_straight("pixels, 5000", 1)) / 3)
    says("PCA of straightened digits (# %)", sum(named_straight("PCA, 5000", 1)) / 3)
    says(
        "auto-encoder's code (# %)",
        mean("digits", "named", "auto-encoder, 5000", part=1),
    )


def test_what_longer_training_changes_among_the_rivals_is_in_the_record():
    """Codes of twenty epochs against denoisers of five: ahead at 0.5, only there."""
    for s, ahead in zip(LEVELS[:3], (False, False, True), strict=True):
        codes = of_seeds("digits, longer", "restored", s, "mean")
        rivals = [seed["restored"][s]["mean"] for seed in RIVALS["seeds"]]
        for name in ("local linear", "wide specialist"):
            most = max(seed[name][0] for seed in rivals)
            for seed in codes:
                assert (seed["auto-encoder, mixture"][0] > most) is ahead, (s, name)


def test_what_the_text_says_of_moves_and_of_a_black_pixel():
    whole = re.search(r"whole image: (\d+)% accepted", notebook_text())[1]
    says("true image, # in 100 are", int(whole))
    says(
        "one run), against about # where",
        round(
            100
            * sum(
                seed["tested chain"] for seed in of_seeds("digits", "filled", "moved")
            )
            / 3
        ),
    )
    wrong = 0.5 * math.erfc(0.5 / 0.1 / math.sqrt(2))  # the noise passes one half
    says("wrong sign only $#$ of", wrong)


def test_entropies_along_a_walk_are_those_that_the_notebook_prints():
    text = prose.shown(notebooks_of(PAGE.stem)[0])
    found = re.search(r"(\d+), (\d+) and (\d+) nats", text).groups()
    ends, line, circle = map(int, found)
    says("# {term}`nats <nat>` at the ends, #", ends, line)
    says("pale, and # in that of", circle)


def test_sentences_about_codes_and_scores_are_those_of_the_record():
    kept = [mean("digits", "kept", "test", m) for m in ("auto-encoder", "VAE", "PCA")]
    says("pixels, is #, # and # on", kept[2], *kept[:2])
    models = "pixels", "auto-encoder", "VAE"
    found = [mean("animals", "named", f"{m}, 5000", part=1) for m in models]
    says("name # % of", found[0])
    says("'s code # % and the VAE's # %", *found[1:])
    planes = "PCA", "auto-encoder", "VAE"
    found = [mean("digits", "named", f"{m}, plane, 5000", part=1) for m in planes]
    says("right for # % of", found[0])
    says("the auto-encoder and for # %", found[2])
    says("PCA, for # % with", found[1])
    names = [f"{m}, plane, 5000" for m in planes]
    longer = [mean("digits, longer", "named", name, part=1) for name in names]
    says("the shares are #, # and # %", *longer)
    away = {
        name: sum(seed[0][0] for seed in of_seeds("digits", "half way", name)) / 3
        for name in ("VAE", "auto-encoder", "PCA", "pixels", "test images")
    }
    says("the VAE's line is at #", away["VAE"])
    says("A test digit itself is at # on", away["test images"])
    small = mean("digits", "anomalies", "half the size", "VAE, -log p + background")
    says("digits are found with #", small)
    one = mean("digits", "unseen", "1", "VAE, -log p")
    says("of # from the log-likelihood", one)
    of_letters = [
        mean("digits", "anomalies", "letters", score)
        for score in ("VAE, -log p", "VAE, -log p + background")
    ]
    says("letters fall from # to #", *of_letters)
    logs = [
        mean("animals", "anomalies", "mean log p", k)
        for k in ("other pictures", "normal")
    ]
    says("# nats against # on average", *logs)


def test_a_verdict_about_scores_is_the_same_for_every_seed():
    ae, vae = "auto-encoder, squared error", "VAE, squared error"
    turned = [("anomalies", k) for k in ("mirrored", "upside down", "letters")]
    for names in turned:
        assert all(seed[vae][0] > seed[ae][0] for seed in of_seeds("digits", *names))
    for names in [*turned, ("unseen", "4")]:
        for seed in of_seeds("digits", *names):
            assert seed[vae][0] > seed["VAE, -log p"][0]
    # the nearest stored digit: second or third, then third or fourth, first nowhere
    places = [*turned, ("unseen", "4")], ((2, 3), (2, 3), (3, 4), (3, 4))
    for names, (high, low) in zip(*places, strict=True):
        part, what = names
        area, error = RIVALS["areas"][what if part == "anomalies" else f"{part} {what}"]
        for seed in of_seeds("digits", *names):
            others = [value for value, _ in seed.values()]
            assert high <= 1 + sum(value > area for value in others) <= low
            if high == 3:  # not told apart from the next score
                assert min(abs(value - area) for value in others) < error
    # the ten digits that were left out in turn: clear leads, none, clear lags
    (first, *_) = of_seeds("digits", "unseen")
    leads = {k: found[ae][0] - found[vae][0] for k, found in first.items()}
    errors = {k: max(found[ae][1], found[vae][1]) for k, found in first.items()}
    assert {k for k in leads if leads[k] > 2 * errors[k]} == set("034689")
    assert {k for k in leads if abs(leads[k]) < errors[k]} == set("27")
    assert {k for k in leads if leads[k] < -2 * errors[k]} == set("15")
    # what does not carry over to the animals
    for run, *names in (
        ("digits", "unseen", "4"),
        ("animals", "anomalies", "upside down"),
        ("animals", "unseen", "1"),
        ("animals", "unseen", "6"),
    ):
        assert all(seed[vae][0] < seed[ae][0] for seed in of_seeds(run, *names))
    ahead = [
        seed[vae][0] > seed[ae][0]
        for seed in of_seeds("animals", "anomalies", "other pictures")
    ]
    assert set(ahead) == {False, True}


def test_what_one_run_gives_is_what_the_notebook_printed():
    def printed_after(name: str) -> list[float]:
        line = re.search(rf"^{name} (.*)$", notebook_text(), re.M)[1]
        return [float(n) for n in re.findall(r"-?\d+\.\d+", line)]

    says("much longer, has # on the first 1,000", printed_after("mnist-20d")[0])
    numbers = r" +([\d.]+) +[\d.]+ +([\d.]+) +([\d.]+)$"
    for name, words in {"ten": "among as many have", "tuned": "digits has"}.items():
        (found,) = re.findall(f"^{name} neighbours{numbers}", notebook_text(), re.M)
        says(f"{words} #, # ± # ahead", *map(float, found))
    off, effective = printed_after("fitted")
    says("effective sample size, #, and is off by #", effective, off)
    (off, _), (less, ess) = printed_after("encoder"), printed_after("prior")
    says("posterior mean of $z$ by # on", off)
    says("one of about #, and miss it by #", ess, less)
    one, mean, *_ = printed_after("auto-encoder")  # the hole, by one code and by many
    (found,) = re.findall(r"without a prior: ([\d.]+), ([\d.]+) d", notebook_text())
    without, best = map(float, found)
    says("best code has #, its most", without)
    says("the mixture, #, and the", one)
    says("the mean over draws #. What", mean)
    rows = {
        s: [printed_after(f"{name}, {s}") for name in ("auto-encoder", "VAE")]
        for s in ("0.1", "0.25", "1.0")
    }
    weak = rows["0.1"], rows["0.25"]
    says("by # and # decibels for the", *(-row[0][2] for row in weak))
    says("mixture and by # and # for", *(-row[1][2] for row in weak))
    says("by # ± # and # ± #. There", *rows["1.0"][0][2:4], *rows["1.0"][1][2:4])
    says("code has # with the mixture", rows["1.0"][0][0])
    says("answer to the end, #: so", best)


def test_clipped_noise_has_the_decibels_of_the_exercise():
    noise = torch.randn(1_000_000)
    for s, words in ((1.0, "0.258$, or # decibels"), (0.25, "0.0312$, or # decibels")):
        for pixel in (0.0, 1.0):
            error = (pixel + s * noise).clamp(0, 1) - pixel
            decibel = -10 * error.square().mean().log10()
            assert decibel == pytest.approx(says(words), abs=0.06)


def test_empty_page_is_as_far_out_as_the_exercise_says():
    lit = torch.arange(785.0)
    p = Binomial(784, torch.tensor(0.1)).log_prob(lit).exp()
    logs = lit * math.log(0.1) + (784 - lit) * math.log(0.9)
    mean = p @ logs
    std = (p @ (logs - mean).square()).sqrt()
    says("The empty page has $784\\log 0.9 = #$", logs[0])
    says("so the mean is $# - #\\cdot # = #$", logs[0], 78.4, math.log(9), mean)
    says("the standard deviation $2.197\\cdot 8.4 = #$", std)
    says("= #$ standard deviations above", (logs[0] - mean) / std)


def test_what_the_animals_say_against_the_digits_is_in_the_record():
    for seed in of_seeds("animals", "half way"):
        assert seed["VAE, circle"][1][0] < seed["PCA"][1][0]
    for seed in of_seeds("animals", "filled", "mean"):
        order = "ten neighbours", "VAE, N(0, I)", "auto-encoder, mixture"
        means = [seed[name][0] for name in (*order, "auto-encoder, no prior")]
        assert means == sorted(means)
        assert seed["tested chain"][0] < seed["chain that always moves"][0]
    names = "auto-encoder, plane, 5000", "VAE, plane, 5000"
    pairs = zip(*(of_seeds("animals", "named", name) for name in names), strict=True)
    assert {ae[1] > vae[1] for ae, vae in pairs} == {False, True}
    for seed in of_seeds("animals", "restored", "1.0", "mean"):
        assert abs(seed["auto-encoder, Gaussian"][0] - seed["VAE, N(0, I)"][0]) < 0.1
    for seed in of_seeds("animals", "restored", "0.1", "difference"):
        assert abs(seed["auto-encoder, Gaussian, and pixel"][0]) < 0.05
    level = mean("animals", "restored", "1.0", "mean", "VAE, N(0, I)")
    says("$1$, with # decibels each", level)


def test_the_list_of_what_is_different_for_animals_is_in_the_record():
    def leads(ahead: str, behind: str, part: int) -> list[float]:
        rows = of_seeds("animals", "named")
        return [row[ahead][part] - row[behind][part] for row in rows]

    for part in (0, 1):  # by the probe and by neighbours
        for name in CODES:
            assert min(leads("pixels, 5000", f"{name}, 5000", part)) > 0
    for n, signs in ((1000, [-1, -1, 1]), (5000, [-1, -1, 0])):
        found = leads(f"VAE, {n}", f"auto-encoder, {n}", 0)
        assert [(x > 0) - (x < 0) for x in found] == signs
    for name in ("auto-encoder", "VAE"):
        assert min(leads("PCA, plane, 5000", f"{name}, plane, 5000", 0)) > 0
    says("each seed, with # %", mean("animals", "named", "PCA, plane, 5000"))

    def hole(name: str) -> float:
        return mean("animals", "filled", "mean", name)

    says("the VAE has #, where the", hole("VAE, fed"))
    says("where the mean image has #;", hole("mean image"))
    best = hole("auto-encoder, no prior")
    assert hole("VAE, fed") < best
    says("best code, #. And that code", best)
    says("that code is # better than", hole("auto-encoder, fed") - best)

    def noise(s: str, name: str) -> float:
        return mean("animals", "restored", s, "mean", name)

    says("best code has # decibels and", noise("0.5", "auto-encoder, no prior"))
    says("posterior mean, with #. With", noise("0.5", "VAE, N(0, I)"))
    for row in of_seeds("animals", "restored", "0.5", "mean"):
        assert row["auto-encoder, no prior"][0] > row["VAE, N(0, I)"][0]
        assert row["VAE, fed"][0] > row["PCA, fed"][0] > row["auto-encoder, fed"][0]
    lead = [
        noise(s, "auto-encoder, Gaussian")
        - max(noise(s, f"VAE, N(0, I){end}") for end in ("", ", and pixel"))
        for s in ("0.1", "0.25")
    ]
    says("auto-encoder is # behind the better of", -lead[0])
    says("at $0.1$ and # ahead at $0.25$", lead[1])
    special = mean("animals", "restored", "0.25", "difference", "specialist")
    says("specialist is # behind", -special)

    def areas(*names: str) -> set[float]:
        rows = of_seeds("animals", *names)
        return {round(area, 2) for row in rows for area, _ in row.values()}

    assert areas("anomalies", "mirrored") == set(says("finds: each has # or #."))
    names, score = ("anomalies", "half the size"), "VAE, -log p + background"
    says("found with # only", mean("animals", *names, score))
    unseen = [mean("animals", "unseen", "6", s) for s in ("VAE, -log p", score)]
    says("giraffes fall from # to #", *unseen)


def test_who_is_ahead_in_the_plane_by_the_probe_is_not_settled():
    def leads(rows: list[dict]) -> list[float]:
        names = "VAE, plane, 5000", "auto-encoder, plane, 5000"
        pairs = [[row["named"][name][0] for name in names] for row in rows]
        return [round(vae - ae, 2) for vae, ae in pairs]

    more = load_record("uses")["more planes"]
    assert [row["seed"] for row in more] == [3, 4, 5, 6]
    three = leads([row for row in RUNS if row["run"] == "digits, longer"])
    says("then by #, # and # points", *three)
    ahead, behind = leads(more)[:2], leads(more)[2:]
    says("ahead by # and # for two", *ahead)
    says("behind by # and # for two", *(-lead for lead in behind))
    assert min(three + ahead) > 0 > max(behind)
    share = more[0]["named"]["VAE, plane, 5000"][0] / 100
    says("a standard error of #.", 100 * (share * (1 - share) / 10_000) ** 0.5)


def test_not_all_that_is_ahead_in_noise_needs_more_than_the_vae():
    untrained = RIVALS["untrained"]
    wiener = [untrained[s]["Wiener filter"][0] for s in ("0.1", "0.25")]
    answers = "VAE, N(0, I)", "VAE, N(0, I), and pixel"
    vae = [
        max(mean("digits", "restored", s, "mean", name) for name in answers)
        for s in ("0.1", "0.25")
    ]
    says("with # and # decibels against # and #", *wiener, *vae)
    assert wiener[0] > vae[0] and wiener[1] > vae[1]
    for row in of_seeds("digits", "restored", "0.1", "mean"):
        noisy, _ = row["nothing"]
        coded = [name for name in row if name != "nothing"]
        assert noisy > max(row[name][0] for name in coded)
    says("noisy image, with #, is", noisy)
    names = "digits, longer", "restored", "0.25", "mean"
    pca, ae = (mean(*names, f"{name}, fed") for name in CODES[:2])
    says("with # against #).", ae, pca)
    assert ae < pca


def test_what_a_code_saves_of_the_errors_is_what_the_first_notebook_says():
    cells = nbformat.read(notebooks_of(PAGE.stem)[0], 4).cells
    says = prose.in_text("\n".join(cell.source for cell in cells), "notebook")
    saved = []
    for n in (100, 1000, 5000):
        wrong = [
            100 - mean("digits", "named", f"{name}, {n}", part=1)
            for name in ("pixels", "auto-encoder")
        ]
        saved.append(1 - wrong[1] / wrong[0])
    assert saved[0] == pytest.approx(1 / 4, abs=0.01)
    assert saved[1] == pytest.approx(1 / 3, abs=0.01)
    says("1,000 and # % with 5,000", 100 * saved[2])


def test_stored_digits_are_ahead_of_the_shipped_model_on_other_thousands():
    rows = load_record("uses")["thousands"]
    assert [row["first"] for row in rows] == [2000, 4000, 5000, 7000, 9000]
    found = []
    for name in ("ten neighbours", "tuned neighbours"):
        leads, errors = zip(*(row["ahead"][name] for row in rows), strict=True)
        assert min(lead / error for lead, error in zip(leads, errors, strict=True)) > 1
        found += [sum(leads) / 5, math.hypot(*errors) / 5]
    says("others they are # ± # ahead", *found[:2])
    says("and the weighted mean # ± #.", *found[2:])


def test_the_circle_is_ahead_half_way_on_three_thousand_pairs():
    *rows, shipped = load_record("uses")["more pairs"]
    assert [row["seed"] for row in rows] == [0, 1, 2]

    def share(name: str, rows: list[dict] = rows) -> float:
        return sum(row["mean"][name][1][0] for row in rows) / len(rows)

    def leads(name: str) -> list[float]:
        found = [row["difference"][name] for row in rows]
        assert all(error < 0.0045 for _, error in found)
        return [lead for lead, _ in found]

    lines = table("share of one kind")
    for way, end in (("straight line", ""), ("great circle", ", circle")):
        (cells,) = (cells for (name, _), cells in lines.items() if name == way)
        expected = [printed(share(f"{name}{end}"), 3) for name in CODES]
        assert cells == [*expected, printed(share(f"VAE{end}", [shipped]), 3)]
    pca, ae, vae = (leads(f"{name}, circle - {name}") for name in CODES)
    gains = [sum(found) / 3 for found in (pca, vae, ae)]
    says("PCA by #, the VAE by #, the", *gains[:2])
    says("by #, the auto-encoder by #.", *gains[1:])
    assert min(pca + ae + vae) > 0
    circles = share("VAE, circle"), share("PCA, circle")
    says("lines and circles (#, PCA's #, straight", *circles)
    of_all = {name: share(name) for name in rows[0]["mean"] if name != "test images"}
    assert max(of_all, key=of_all.get) == "VAE, circle"
    straight = [share(name) for name in ("pixels", *CODES)]
    says("straight lines # to #; errors", min(straight), max(straight))
    says("two images has #, and", share("pixels"))
    says("ends of the walks have #.", share("test images"))
    for name, words in (
        ("VAE, circle - PCA, circle", "ahead of PCA's by # to #, by seed"),
        ("VAE, circle - auto-encoder, circle", "auto-encoder's by # to #; its"),
        ("VAE - PCA", "line is ahead of PCA's by # to #."),
    ):
        says(words, min(leads(name)), max(leads(name)))
        assert min(leads(name)) > 0
    errors = {
        k: [row["difference"][k][1] for row in rows] for k in rows[0]["difference"]
    }
    across = max(max(v) for k, v in errors.items() if k.startswith("VAE"))
    says("a difference has an error of # then", across)
    within = max(errors["VAE, circle - VAE"] + errors["PCA, circle - PCA"])
    says("and line of one model #.", within)


def test_longer_codes_and_stored_digits_are_ahead_of_the_circle_half_way():
    record = load_record("uses")
    rows = record["more middles"]
    assert [row["seed"] for row in rows] == [0, 1, 2]
    for row, known in zip(rows, record["more pairs"], strict=False):
        for name in CODES:  # the same models and pairs
            circle = f"{name}, circle"
            assert row["mean"][circle] == known["mean"][circle]

    def share(name: str) -> float:
        return sum(row["mean"][name][1][0] for row in rows) / 3

    def leads(name: str) -> tuple[list[float], list[float]]:
        found = zip(*(row["difference"][name] for row in rows), strict=True)
        return tuple(list(part) for part in found)

    def length(way: str) -> list[float]:
        return [row["length"]["VAE"][way] for row in rows]

    def away(name: str) -> list[float]:
        return [mean for row in rows for mean, _ in row["to the ends"][name]]

    cells = table("share of one kind")[
        "line, made longer", printed(share("PCA, longer"), 3)
    ]
    assert cells == [printed(share(f"{name}, longer"), 3) for name in CODES] + ["–"]
    factors = [[float(row["chosen"][name]) for row in rows] for name in CODES]
    says("VAE #, # and #, by seed (from", *factors[2])
    assert set(factors[0] + factors[1]) == {says("is level), for the others #.")}
    for row in rows:  # from 2.8 on the share is level
        shares = [share for share, _ in row["tried"]["VAE"].values()]
        assert list(row["tried"]["VAE"])[3] == "2.8"
        assert shares[:4] == sorted(shares[:4])
        assert max(shares[3:]) - min(shares[3:]) < 0.003 < shares[3] - shares[2]
    for line, circle in zip(length("line"), length("circle"), strict=True):
        says("VAE by a factor of # on", circle / line)
    says("codes are # to # long then", min(length("longer")), max(length("longer")))
    says("have # and the shell has #;", sum(length("circle")) / 3, 20**0.5)
    ahead, errors = leads("VAE, longer - VAE, circle")
    says("have #, # and # more than", *ahead)
    says("with errors of # to #.", min(errors), max(errors))
    ahead, errors = leads("PCA, longer - VAE, circle")
    says("PCA's are # to # ahead", min(ahead), max(ahead))
    says("with errors of #; the", max(errors))
    ahead, _ = leads("auto-encoder, longer - auto-encoder, circle")
    says("gain # to # on its own", min(ahead), max(ahead))
    at = away("VAE, longer")
    says("are at # to # from either end", min(at), max(at))
    for at in away("VAE, circle"):
        says("and the circle's at #.", at)
    says("still scores more (#); the", share("VAE, longer"))
    says("longer ones score more (#), on", share("VAE, longer"))
    says(
        "average has #, the mean of ten #,",
        share("one stored"),
        share("ten stored"),
    )
    says("the plain average (#), farther", share("one stored"))
    says("the mean of ten (#), nearer", share("ten stored"))
    says("a share of #, like digits", share("ten stored"))
    ahead, _ = leads("ten stored - VAE, circle")
    says("it is # to # ahead of the VAE's", min(ahead), max(ahead))
    says("both ends, at # and #.", *away("ten stored")[:2])
    says("nearest one has #, and", share("one stored"))
    says("farther away, at # and #.", *away("one stored")[:2])
    assert max(away("ten stored")) < min(away("VAE, circle")) < min(away("one stored"))


def test_what_stored_digits_leave_over_finds_letters_and_the_four():
    rows = load_record("uses")["left over"]
    assert [row["seed"] for row in rows] == [0, 1, 2]
    assert RIVALS["chosen"]["0.5"][0] == 100

    def leads(name: str) -> tuple[list[float], list[float]]:
        found = zip(*(row["ahead"][name] for row in rows), strict=True)
        return tuple(list(part) for part in found)

    area = {k: v for k, (v, _) in rows[0]["area"].items()}
    both = area["0.5, letters, from 0"], area["0.5, unseen 4"]
    says("leaves over (#, #), or", *both)
    says("level: local regression (#, #)", *both)
    says(
        "it finds letters with #, # to # ahead",
        both[0],
        *spread(leads, "letters, from 0, VAE"),
    )
    says(
        "finds the four with #, # to # ahead",
        both[1],
        *spread(leads, "unseen 4, auto-encoder"),
    )
    errors = leads("letters, from 0, VAE")[1] + leads("unseen 4, auto-encoder")[1]
    says("(standard errors # to #, the", min(errors), max(errors))
    turned = "mirrored", "upside down"
    early, late = (
        [x for t in turned for x in leads(f"{t}, from {n}, VAE")[0]] for n in (0, 5000)
    )
    says("within # with an error of #", max(map(abs, early)), 0.005)
    says("and # to # behind on 600", -max(late), -min(late))
    for t in turned:
        for n in (0, 5000):
            assert set(leads(f"{t}, from {n}, VAE")[1]) == {0.005}
    # by the choice for another noise, too
    assert area["1.0, letters, from 0"] > 0.96 and area["1.0, unseen 4"] > 0.87


def spread(leads, name: str) -> tuple[float, float]:
    """The smallest and the largest lead."""
    return min(leads(name)[0]), max(leads(name)[0])


DENSE = load_record("uses")["densities"]
OF_CODE, OF_SUM = "auto-encoder, density", "VAE, error and density"


def dense(what: str, score: str) -> float:
    """The mean over the seeds of an area by the densities of codes."""
    return sum(row["area"][what][score][0] for row in DENSE) / len(DENSE)


def dense_leads(kinds: list[str], pair: str) -> tuple[list[float], list[float]]:
    """Leads in area and their errors, by kind and seed."""
    found = [row["ahead"][what][pair] for what in kinds for row in DENSE]
    return tuple(list(part) for part in zip(*found, strict=True))


def test_the_table_of_densities_is_that_of_the_record():
    kinds = {"mirrored digits": "mirrored", "digits upside down": "upside down"}
    kinds |= {what: what for what in ("letters", "animals", "half the size")}
    kinds = {name: f"{what}, from 0" for name, what in kinds.items()}
    kinds |= {"an unseen four": "unseen 4", "an unseen one": "unseen 1"}
    rows = table("what does not belong |")
    assert {name for name, _ in rows} == set(kinds)
    parts = "density", "error and density"
    scores = [f"{name}, {part}" for name in CODES for part in parts] + ["left over"]
    for (name, _), cells in rows.items():
        for cell, score in zip(cells, scores, strict=True):
            known = score in DENSE[0]["area"][kinds[name]]
            expected = printed(dense(kinds[name], score), 3) if known else "–"
            assert cell == expected, (name, score)


def test_densities_are_of_the_models_of_the_other_record_and_fifty_is_chosen():
    assert [row["seed"] for row in DENSE] == [0, 1, 2]
    for row, known in zip(DENSE, of_seeds("digits"), strict=True):
        for what in ("mirrored", "upside down", "half the size", "letters"):
            areas, expected = row["area"][f"{what}, from 0"], known["anomalies"][what]
            for name in CODES:
                score = f"{name}, squared error"
                assert areas[score][0] == pytest.approx(expected[score][0], abs=0.0015)
        for tried in row["held out"].values():
            assert tried["50"][0] > tried["10"][0] + 2 * sum(tried["50"][1:])
    of_ae = DENSE[0]["held out"]["auto-encoder"]
    says("encoder $#$ nats against $#$ in", of_ae["50"][0], of_ae["10"][0])


def test_what_densities_of_codes_find_is_in_the_record():
    letters, four, one = "letters, from 0", "unseen 4", "unseen 1"
    half = "half the size, from 0"
    found = [dense(what, OF_CODE) for what in (letters, four, half, one)]
    says("or better (#, #), small digits with #", *found[:3])
    says("and an unseen one with #; on", found[3])
    says("the auto-encoder's codes (#, #), on letters", *found[:2])
    says("the VAE's sum (#), on", dense(letters, OF_SUM))
    says("density of PCA's codes (#) | none", dense(four, "PCA, density"))
    says("the auto-encoder's codes (#, #), at half", *found[2:])
    says("at half size of the VAE's (#) |", dense(half, "VAE, density"))
    lost, _ = dense_leads(
        ["animals, from 0"], f"{OF_CODE} - auto-encoder, squared error"
    )
    assert -0.01 < min(lost) and max(lost) < 0
    left = f"{OF_CODE} - left over"
    leads, errors = dense_leads([letters], left)
    says("codes with #, # and # more than", *leads)
    says("errors up to #, the images", max(errors))
    later, _ = dense_leads(["letters, from 5000"], left)
    says("5,000 on with #, # and # more.", *later)
    assert min(leads + later) > 0
    (behind, *ahead), errors = dense_leads([four], left)
    says("the four it is # behind, # and # ahead", -behind, *ahead)
    says("ahead, with an error of #, and", max(errors))
    of_pca, errors = dense_leads([four], "PCA, density - left over")
    says("of PCA's codes # ± # ahead.", of_pca[0], errors[0])


def test_error_and_density_are_ahead_on_mirrored_and_turned_digits():
    kinds = [f"{t}, from {n}" for n in (0, 5000) for t in ("mirrored", "upside down")]
    ae_sum, error = "auto-encoder, error and density", "VAE, squared error"
    pairs = f"{OF_SUM} - {error}", f"{ae_sum} - {error}", f"{OF_SUM} - {ae_sum}"
    (vae, of_vae), (ae, of_ae), (both, of_both) = (
        dense_leads(kinds, pair) for pair in pairs
    )
    says("sum is # to # ahead of its squared", min(vae), max(vae))
    says("the auto-encoder's # to #; the", min(ae), max(ae))
    says("VAE's is # to # ahead of the auto-encoder's", min(both), max(both))
    errors = of_vae + of_ae + of_both
    says("auto-encoder's (errors # to #)", min(errors), max(errors))
    assert min(lead / error for lead, error in zip(vae, of_vae, strict=True)) > 3
    assert min(ae) >= 0 < min(both)
    signs = dense_leads(kinds, f"{OF_SUM} - {OF_CODE}")[0]
    assert min(signs) < 0 < max(signs)
