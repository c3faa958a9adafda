"""The live figures say what Python says, to mouse, finger and keyboard alike."""

import itertools
import json
import math
import re

import numpy as np
import prose
import pytest
import torch
from live_figure import BOOK, DRAWN, LiveFigure
from torch.distributions import Normal, kl_divergence

from tools.book import ROOT
from tools.site.browser import wait_until
from vae_lib.data import load_mnist
from vae_lib.distributions import gaussian_kl, reparameterize
from vae_lib.linear_gaussian import LinearGaussianModel
from vae_lib.models import VAE, VAEConfig
from vae_lib.objectives import effective_beta, importance_weighted_bound

pytestmark = [pytest.mark.book, pytest.mark.usefixtures("double_precision")]

FIGURES = {
    "live-bayes-rule": "01-latent-variables",
    "live-kl-divergence": "02-kl-divergence",
    "live-kl-two-humps": "02-kl-divergence",
    "live-elbo-bound": "03-elbo",
    "live-gaussian-kl": "04-gaussian-kl",
    "live-reparameterization": "05-reparameterization",
    "live-loss-scale": "08-likelihoods",
    "live-loss-scale-reference": "loss-scale",
    "live-estimates": "09-evaluation",
    "live-switch-off": "10-latent-dimensions",
    "live-step-time": "12-scaling-up",
}
CLOSE = {"rel": 1e-12, "abs": 1e-12}
REDUCTIONS = ("sum", "batchmean", "mean")


def page_of(name):
    return BOOK / f"{FIGURES[name]}.html"


def shown(figure, pattern):
    """The numbers that the line below the figure gives."""
    found = re.search(pattern, figure.text.replace("\N{MINUS SIGN}", "-"))
    assert found, figure.text
    return [float(number) for number in found.groups()]


@pytest.fixture(scope="module")
def shared(open_page):
    """One page a figure, at any width, for all tests that can put it into order."""
    figures = {}

    def open_figure(name, width=1300):
        if name not in figures:
            figures[name] = LiveFigure(open_page(page_of(name), width), name)
        figure = figures[name]
        if figure.page.viewport_size["width"] != width:
            figure.page.set_viewport_size({"width": width, "height": 900})
            figure.switch("light")
        return figure

    return open_figure


# What holds for every figure


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_loaded_before_it_is_scrolled_to(name, shared):
    figure = shared(name, width=375)
    script = name.removeprefix("live-").removesuffix("-reference")
    assert figure.loaded_before == {"live.js"}
    assert figure.loaded == {"live.js", "tools.js", f"{script}.js"}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_accessible_and_fits_a_phone(name, theme, shared):
    figure = shared(name, width=375)
    figure.switch(theme)
    assert figure.problems == [] and figure.text
    figure.check_fits_and_has_no_barrier()


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_of_a_canvas_stand_out_from_its_paper(theme, shared):
    figure = shared("live-elbo-bound", width=375)
    figure.switch(theme)
    colours = figure.page.evaluate("live.colours()")
    paper = luminance(colours.pop("paper"))
    assert (paper > 0.5) == (theme == "light")
    for name, colour in colours.items():
        dark, light = sorted([luminance(colour), paper])
        least = 3 if name == "line" else 4.5  # lines are marks, the others also text
        assert (light + 0.05) / (dark + 0.05) >= least, name


def test_figure_follows_a_change_of_theme(shared):
    figure = shared("live-elbo-bound")
    picture = "document.querySelector('.live-body canvas').toDataURL()"
    figure.page.evaluate(DRAWN)
    before = figure.page.evaluate(picture)
    switch = "theme => { document.documentElement.dataset.theme = theme }"
    figure.page.evaluate(switch, "dark")
    wait_until(figure.page, f"before => {picture} !== before", before)
    figure.page.evaluate(switch, "light")
    wait_until(figure.page, f"before => {picture} === before", before)


@pytest.mark.long
@pytest.mark.timed
@pytest.mark.parametrize("name", FIGURES)
def test_a_frame_takes_less_than_16_milliseconds(name, shared):
    assert shared(name).frame_time() < 16


def test_line_below_a_figure_is_spoken_when_it_has_settled(open_page):
    figure = LiveFigure(open_page(page_of("live-gaussian-kl")), "live-gaussian-kl")
    spoken = figure.body.locator("[aria-live=polite]")
    assert spoken.inner_text() == ""  # a figure that appears says nothing unasked
    figure.set(mu=0.25)
    figure.set(mu=0.5)
    assert spoken.inner_text() == ""
    figure.page.wait_for_timeout(800)
    assert spoken.inner_text() == figure.text and "0.125" in figure.text


def test_text_stands_without_scripts_and_in_print(browser, shared):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_of("live-elbo-bound").as_uri())
    box = page.locator("#live-elbo-bound")
    assert "only the cut moves" in box.inner_text() and box.is_visible()
    context.close()
    figure = shared("live-elbo-bound")
    figure.page.emulate_media(media="print")
    assert figure.box.is_visible() and not figure.body.is_visible()
    figure.page.emulate_media(media="null")
    assert figure.body.is_visible()


def test_missing_script_is_said_in_one_line(open_page):
    page = open_page(BOOK / "index.html")
    page.route("**/live/elbo-bound.js", lambda route: route.abort())
    page.goto(page_of("live-elbo-bound").as_uri())
    page.locator("#live-elbo-bound").scroll_into_view_if_needed()
    said = page.locator(".live-body:not(:empty)").inner_text()
    assert said == "This figure cannot be shown: elbo-bound.js did not load."


def test_button_moves_smoothly_where_motion_is_welcome(open_page):
    figure = LiveFigure(open_page(page_of("live-elbo-bound")), "live-elbo-bound")
    figure.page.emulate_media(reduced_motion="no-preference")
    figure.body.get_by_role("button").click()
    assert -0.5 <= figure.state["mu"] < 0.5  # on its way
    figure.page.wait_for_timeout(1500)
    assert figure.state["mu"] == pytest.approx(0.5, **CLOSE)


def test_finger_beside_the_grip_scrolls_and_on_the_grip_drags(browser):
    context = browser.new_context(
        has_touch=True, is_mobile=True, viewport={"width": 375, "height": 800}
    )
    page = context.new_page()
    page.problems = []
    page.goto(page_of("live-elbo-bound").as_uri())
    figure = LiveFigure(page, "live-elbo-bound")
    canvas = figure.canvas()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + 20)
    assert figure.state["mu"] == -0.5
    finger = context.new_cdp_session(page)

    def touch(kind, across):
        point = {"x": box["x"] + across * box["width"], "y": box["y"] + 85}
        points = [] if kind == "touchEnd" else [point]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.4)
    for across in (0.5, 0.6, 0.7):
        touch("touchMove", across)
    touch("touchEnd", 0.7)
    assert figure.state["mu"] > 1
    context.close()


# Bayes' rule (chapter 1)


@pytest.fixture
def bayes(shared):
    figure = shared("live-bayes-rule")
    figure.set(x=2, s=0.4)
    return figure


def exact_bayes(x, s):
    """Evidence, and grid and posterior, of the model in exm-two-peaks."""
    z = torch.linspace(-9, 9, 7201)
    joint = (Normal(z**2 + z / 4, s).log_prob(torch.tensor(float(x)))).exp()
    joint = joint * Normal(0.0, 1.0).log_prob(z).exp()
    evidence = torch.trapezoid(joint, z)
    return float(evidence), z, joint / evidence


@pytest.mark.parametrize("x, s", [(-1, 0.4), (0.5, 0.4), (2, 0.4), (5, 0.1), (1, 3)])
def test_evidence_and_posterior_of_the_moving_image_are_those_of_a_grid(bayes, x, s):
    numbers = bayes.set(x=x, s=s)
    evidence, z, p = exact_bayes(x, s)
    mean = float(torch.trapezoid(z * p, z))
    variance = float(torch.trapezoid((z - mean) ** 2 * p, z))
    assert numbers["evidence"] == pytest.approx(evidence, rel=1e-9)
    assert numbers["mean"] == pytest.approx(mean, abs=1e-9)
    assert numbers["std"] == pytest.approx(variance**0.5, rel=1e-9)
    left = float(torch.trapezoid(p[z <= 0], z[z <= 0]))
    assert numbers["negative"] == pytest.approx(left, abs=1e-5)
    rising = p.diff() > 0
    assert numbers["peaks"] == int((rising[:-1] & ~rising[1:]).sum())
    assert shown(bayes, r"p\(x\) = (\S+) at x = (\S+)\.") == pytest.approx(
        [evidence, x], rel=5.1e-3
    )
    assert shown(bayes, r"(\d+) % of it") == pytest.approx([100 * left], abs=0.51)


def test_what_the_text_beside_the_moving_image_says_is_so(bayes):
    assert prose.says("01-latent-variables")("$p(2) = #$") == pytest.approx(
        bayes.numbers["evidence"], abs=5.1e-5
    )
    assert bayes.numbers["peaks"] == 2 and "two peaks" in bayes.text
    for s in (0.1, 0.4, 1, 3):  # the curve's lowest point is f(-1/8) = -1/64
        assert bayes.set(x=-0.05, s=s)["peaks"] == 1
    assert "one peak" in bayes.text
    z = exact_bayes(2, 0.4)[1]
    prior = Normal(0.0, 1.0).log_prob(z)
    told = []
    for s in (0.1, 0.4, 1, 3):
        p = exact_bayes(2, s)[2].clamp(min=1e-300)
        told.append(float(torch.trapezoid(p * (p.log() - prior), z)))
    assert all(a > b for a, b in itertools.pairwise(told)) and told[-1] < 0.1


def test_image_is_moved_by_mouse_keyboard_and_slider(bayes):
    def height(x):
        return (8 + (1 - (x + 1.6) / 7.6) * 174) / 210

    across = (12 + (2.9 + 3.2) / 6.4 * 616) / 640
    bayes.drag((across, height(2)), (across, height(3.5)))
    assert bayes.state["x"] == pytest.approx(3.5, abs=0.05)
    before = bayes.state["x"]
    bayes.canvas().press("ArrowDown")
    bayes.canvas().press("ArrowLeft")  # moves nothing: only the height counts
    assert bayes.state["x"] == pytest.approx(before - 0.05, **CLOSE)
    bayes.drag((across, height(before - 0.05)), (across, 0))
    assert bayes.state["x"] == 5  # it stays on its slider
    bayes.control("noise s").press("Home")
    assert bayes.state["s"] == 0.1
    bayes.control("image x").press("Home")
    assert bayes.state["x"] == -1
    assert bayes.control("image x").get_attribute("aria-valuetext") == "\u22121.00"


# Two Gaussians (chapter 2)


@pytest.fixture
def gaussians(shared):
    figure = shared("live-kl-divergence")
    figure.set(muQ=0, sigmaQ=1, muP=0, sigmaP=2, direction="reverse")
    return figure


def both_divergences(state):
    q = Normal(torch.tensor(state["muQ"]), torch.tensor(state["sigmaQ"]))
    p = Normal(torch.tensor(state["muP"]), torch.tensor(state["sigmaP"]))
    return q, p, [float(kl_divergence(q, p)), float(kl_divergence(p, q))]


def test_two_gaussians_have_the_divergences_of_torch(gaussians):
    generator = torch.Generator().manual_seed(0)
    for mu_q, mu_p, sigma_q, sigma_p in torch.rand(40, 4, generator=generator).tolist():
        state = {
            "muQ": 4 * mu_q - 2,
            "muP": 4 * mu_p - 2,
            "sigmaQ": 0.4 + 1.6 * sigma_q,
            "sigmaP": 0.4 + 1.6 * sigma_p,
        }
        numbers = gaussians.set(**state)
        expected = both_divergences(state)[2]
        assert [numbers["klQP"], numbers["klPQ"]] == pytest.approx(expected, **CLOSE)
        pattern = r"= (\S+) nats, .* = (\S+) nats"
        assert shown(gaussians, pattern) == pytest.approx(expected, abs=5.1e-4)


@pytest.mark.parametrize("direction", ["reverse", "forward"])
def test_shaded_integrand_is_that_of_the_divergence(gaussians, direction):
    gaussians.control("shade").select_option(direction)
    state = gaussians.state | {"muP": 1.2, "sigmaP": 0.5}
    numbers = gaussians.set(**state)
    q, p, _ = both_divergences(state)
    first, second = (q, p) if direction == "reverse" else (p, q)
    z = torch.linspace(-8, 8, 801)
    values = first.log_prob(z).exp() * (first.log_prob(z) - second.log_prob(z))
    expected = [float(values.min()), float(values.max())]
    assert [numbers["lowest"], numbers["highest"]] == pytest.approx(expected, abs=1e-9)


def test_nearly_all_of_the_shaded_area_is_in_sight():
    q, p = Normal(-2.0, 2.0), Normal(2.0, 0.4)  # the worst that the sliders allow
    z = torch.linspace(-8, 8, 80001)
    area = torch.trapezoid(q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z)), z)
    assert float(area) == pytest.approx(float(kl_divergence(q, p)), rel=0.02)


def test_numbers_in_the_text_beside_two_gaussians_are_right(gaussians):
    told = prose.says("02-kl-divergence")("# nats in one direction, #")
    assert shown(gaussians, r"= (\S+) nats, .* = (\S+) nats") == told
    alike = gaussians.set(muQ=0.7, muP=0.7, sigmaQ=1.3, sigmaP=1.3)
    assert alike["klQP"] == alike["klPQ"] == 0 and alike["lowest"] == 0


def test_two_gaussians_are_moved_by_mouse_keyboard_and_slider(gaussians):
    gaussians.set(muQ=-1.5, muP=1.5, sigmaP=1)
    peak = 8 / 200 + (1 - 1 / 1.25) * 164 / 200  # both: the axis ends at 1.25 peaks
    gaussians.drag((0.5 - 1.5 / 16, peak), (0.5 - 0.5 / 16, peak))
    assert gaussians.state["muQ"] == pytest.approx(-0.5, abs=0.1)
    assert gaussians.state["muP"] == 1.5
    gaussians.drag((0.5 + 1.5 / 16, peak), (0.5 + 0.5 / 16, peak))
    assert gaussians.state["muP"] == pytest.approx(0.5, abs=0.1)
    before = gaussians.state["muP"]  # the keys move what was dragged last
    gaussians.canvas().press("ArrowRight")
    gaussians.canvas().press("Shift+ArrowRight")
    assert gaussians.state["muP"] == pytest.approx(before + 0.55, **CLOSE)
    slider = gaussians.control("standard deviation of q")
    slider.press("ArrowRight")
    assert gaussians.state["sigmaQ"] == 1.05
    slider.press("Home")
    assert gaussians.state["sigmaQ"] == 0.4
    assert slider.get_attribute("aria-valuetext") == "0.40"
    slider.fill("1.7")
    state, numbers = gaussians.state, gaussians.numbers
    assert state["sigmaQ"] == 1.7
    expected = both_divergences({k: state[k] for k in state if k != "direction"})[2]
    assert [numbers["klQP"], numbers["klPQ"]] == pytest.approx(expected, **CLOSE)


def test_a_mean_stays_on_its_slider(gaussians):
    gaussians.drag((0.5, 0.3), (2.0, 0.3))
    assert gaussians.state["muQ"] == 2
    gaussians.canvas().press("Shift+ArrowRight")
    assert gaussians.state["muQ"] == 2


# Two humps (chapter 2)


@pytest.fixture
def humps(shared):
    figure = shared("live-kl-two-humps")
    figure.set(d=1.5)
    return figure


def price_of_humps(fit, d):
    """Reverse KL from this Gaussian to the humps, with its slopes, by quadrature."""
    z = torch.linspace(-20, 20, 20001)
    target = torch.logaddexp(Normal(-d, 0.6).log_prob(z), Normal(d, 0.6).log_prob(z))
    t = torch.tensor([fit["mean"], math.log(fit["s"])], requires_grad=True)
    log_q = Normal(t[0], t[1].exp()).log_prob(z)
    price = torch.trapezoid(log_q.exp() * (log_q - target + math.log(2)), z)
    return price.item(), torch.autograd.grad(price, t)[0]


def test_fits_to_two_humps_are_minima_with_the_price_that_is_shown(humps):
    for d in (0.5, 1.0, 1.44, 1.45, 1.5, 1.67, 1.69, 2.0, 2.5):
        numbers = humps.set(d=d)
        fits = [numbers["cover"], *filter(None, [numbers["hump"]])]
        for fit in fits:
            price, slope = price_of_humps(fit, d)
            assert fit["price"] == pytest.approx(price, abs=1e-7)
            assert float(slope.abs().max()) < 1e-6
            assert f"{price:.3f}" in humps.text
        assert (len(fits) == 2) == (d >= 1.45) == ("no fit" not in humps.text)
        assert numbers["forward"] == pytest.approx(math.hypot(0.6, d), **CLOSE)
        cheapest = min(fits, key=lambda fit: fit["price"])
        assert numbers["covers"] == (cheapest["mean"] == numbers["cover"]["mean"])
        assert ("lets one go" in humps.text) == (not numbers["covers"])


def test_reverse_fit_lets_go_where_the_text_says(humps):
    threshold = prose.says("02-kl-divergence")("At $d = #$ both cost")
    assert humps.set(d=threshold - 0.01)["covers"]
    assert not humps.set(d=threshold + 0.01)["covers"]


def test_two_humps_are_moved_by_mouse_keyboard_and_slider(humps):
    top = 8 / 200 + (1 - 0.333 / 0.8) * 164 / 200
    humps.drag((0.5 + 1.5 / 10, top), (0.5 + 2.1 / 10, top))
    assert humps.state["d"] == pytest.approx(2.1, abs=0.1)
    before = humps.state["d"]
    humps.canvas().press("ArrowLeft")
    assert humps.state["d"] == pytest.approx(before - 0.05, **CLOSE)
    slider = humps.control("distance d of the humps from the middle")
    slider.press("Home")
    assert humps.state["d"] == 0.5 and humps.numbers["hump"] is None
    slider.fill("1.8")
    assert humps.state["d"] == 1.8 and not humps.numbers["covers"]
    humps.canvas().press("Shift+ArrowRight")
    humps.canvas().press("Shift+ArrowRight")
    assert humps.state["d"] == 2.5


# The four terms (chapter 4)


@pytest.fixture
def terms(shared):
    figure = shared("live-gaussian-kl")
    figure.set(mu=1, sigma=0.5)
    return figure


def test_four_terms_add_up_to_the_librarys_divergence(terms):
    for mu, sigma in itertools.product((-2, -0.3, 0, 1.7), (0.05, 0.4, 1, 2)):
        numbers = terms.set(mu=mu, sigma=sigma)
        logvar = torch.tensor([2 * math.log(sigma)])
        expected = float(gaussian_kl(torch.tensor([float(mu)]), logvar))
        assert numbers["kl"] == pytest.approx(expected, **CLOSE)
        assert sum(numbers["terms"]) == pytest.approx(expected, **CLOSE)
        cross = -Normal(0.0, 1.0).log_prob(torch.tensor(0.0)) + (mu**2 + sigma**2) / 2
        entropy = Normal(0.0, sigma).entropy()  # another route to the same sum
        assert float(cross - entropy) == pytest.approx(expected, **CLOSE)
        assert numbers["terms"][0] == -0.5
        assert numbers["terms"][2] == pytest.approx(mu**2 / 2, **CLOSE)
        assert shown(terms, r"KL = (\S+) nats") == pytest.approx([expected], abs=5.1e-4)


def test_four_terms_vanish_at_the_prior_alone(terms):
    terms.body.get_by_role("button", name="Go to the prior").click()
    assert terms.state == {"mu": 0, "sigma": 1}
    numbers = terms.numbers
    assert numbers == {"terms": [-0.5, pytest.approx(0), 0, 0.5], "kl": 0}
    for mu, sigma in ((0.05, 1), (-0.05, 1), (0, 1.05), (0, 0.95)):
        assert terms.set(mu=mu, sigma=sigma)["kl"] > 0


def test_halving_sigma_costs_what_the_text_says(terms):
    wide, narrow = terms.set(sigma=0.1), terms.set(sigma=0.05)
    assert narrow["terms"][1] - wide["terms"][1] == pytest.approx(math.log(2))
    assert round(math.log(2), 2) == 0.69 and wide["terms"][3] < 0.01
    assert narrow["terms"][2] == wide["terms"][2]


def test_four_terms_are_moved_by_mouse_keyboard_and_slider(terms):
    peak = 8 / 190 + (1 - 1 / 1.25) * 154 / 190
    terms.drag((0.5 + 1 / 10, peak), (0.5 - 1 / 10, peak))
    assert terms.state["mu"] == pytest.approx(-1, abs=0.1)
    terms.set(mu=1)
    terms.canvas().press("ArrowLeft")
    assert terms.numbers["terms"][2] == pytest.approx(0.95**2 / 2, **CLOSE)
    terms.control("standard deviation \u03c3").press("End")
    assert terms.state["sigma"] == 2


# The bound (chapter 3)


@pytest.fixture
def bound(shared):
    figure = shared("live-elbo-bound")
    figure.set(mu=-0.5, sigma=1.2)
    return figure


@pytest.fixture
def model():
    """The model of the figure: z ~ N(0, 1), x | z ~ N(z, 1), and its image x = 1."""
    return LinearGaussianModel(torch.ones(1, 1), torch.zeros(1), 1.0), torch.ones(1, 1)


def test_bound_and_gap_are_those_of_the_exact_model(bound, model):
    model, x = model
    mean, covariance = model.posterior(x)
    posterior = Normal(mean[0, 0], covariance[0, 0].sqrt())
    nodes, weights = map(torch.tensor, np.polynomial.hermite_e.hermegauss(8))
    for mu, sigma in itertools.product((-1.5, 0, 0.5, 2.5), (0.15, 0.7, 1.6)):
        numbers = bound.set(mu=mu, sigma=sigma)
        q, z = Normal(mu, sigma), mu + sigma * nodes
        log_joint = model.log_p_x_given_z(x, z[:, None]) + Normal(0.0, 1.0).log_prob(z)
        elbo = weights @ (log_joint - q.log_prob(z)) / math.sqrt(2 * math.pi)
        assert numbers["elbo"] == pytest.approx(float(elbo), **CLOSE)
        assert numbers["kl"] == pytest.approx(
            float(kl_divergence(q, posterior)), **CLOSE
        )
        log_evidence = float(model.log_evidence(x))
        assert numbers["logPx"] == pytest.approx(log_evidence, **CLOSE)
        total = numbers["elbo"] + numbers["kl"]
        assert total == pytest.approx(log_evidence, **CLOSE)
        assert numbers["elbo"] > -8  # the base line of the bars
        shown_numbers = shown(bound, r"= (\S+) \+ (\S+) = (\S+) nats")
        expected = [numbers["elbo"], numbers["kl"], log_evidence]
        assert shown_numbers == pytest.approx(expected, abs=5.1e-4)


def test_gap_closes_at_the_posterior_which_the_text_names(bound, model):
    model, x = model
    mean, covariance = model.posterior(x)
    bound.body.get_by_role("button", name="Go to the posterior").click()
    assert bound.state["mu"] == pytest.approx(float(mean), **CLOSE)
    assert bound.state["sigma"] == pytest.approx(float(covariance.sqrt()), **CLOSE)
    assert abs(bound.numbers["kl"]) < 1e-12
    says = prose.says("03-elbo")
    says("bars of one length, $\\log p(x) = #$", model.log_evidence(x))
    says("mean # and standard deviation #", mean, covariance.sqrt())


def test_bound_is_moved_by_mouse_keyboard_and_slider(bound):
    bound.drag((0.4, 0.4), (0.6, 0.4))
    assert bound.state["mu"] > 0.5
    bound.set(mu=0)
    bound.canvas().press("ArrowLeft")
    assert bound.state["mu"] == pytest.approx(-0.05, **CLOSE)
    bound.canvas().press("ArrowUp")  # a key that would move nothing scrolls the page
    assert bound.state["mu"] == pytest.approx(-0.05, **CLOSE)
    bound.control("mean of q").press("End")
    bound.control("standard deviation of q").fill("0.5")
    assert bound.state == {"mu": 2.5, "sigma": 0.5}


# Reparameterization (chapter 5)


@pytest.fixture
def noise(shared):
    figure = shared("live-reparameterization")
    figure.set(mu=1, sigma=0.7, point=30, seed=1)
    return figure


def test_noise_stays_while_samples_move(noise):
    before = noise.numbers
    eps = torch.tensor(before["eps"])
    for mu, sigma in ((-2, 0.1), (0.3, 1.5)):
        after = noise.set(mu=mu, sigma=sigma)
        assert after["eps"] == before["eps"]
        mean = torch.full((40, 1), float(mu), requires_grad=True)
        std = torch.full((40, 1), sigma, requires_grad=True)
        z = reparameterize(mean, 2 * std.log(), eps=eps[:, None])
        assert after["z"] == pytest.approx(z.flatten().tolist(), **CLOSE)
        z[29].backward()  # the point that is followed
        derivatives = [float(mean.grad[29]), float(std.grad[29])]
        assert [after["dzDmu"], after["dzDsigma"]] == pytest.approx(derivatives)
        pattern = r"\u03b5 = (\S+) and z = .* = (\S+)\. Its .* = 1, .* = (\S+)\."
        expected = [before["eps"][29], after["z"][29], before["eps"][29]]
        assert shown(noise, pattern) == pytest.approx(expected, abs=0.0051)


HUNDRED_SEEDS = """({ live }) => Array.from({ length: 100 }, (_, i) => {
    live.set({ seed: i + 1 });
    return live.numbers().eps;
})"""


def test_noise_is_standard_normal_and_the_same_for_everybody(noise, open_page):
    draws = np.ravel(noise.body.evaluate(HUNDRED_SEEDS))
    assert len(set(draws)) == len(draws) == 4000
    assert abs(draws.mean()) < 4 / math.sqrt(4000)
    assert abs(draws.var() - 1) < 4 * math.sqrt(2 / 4000)
    assert abs((draws < -1).mean() - 0.1587) < 4 * math.sqrt(0.1587 * 0.8413 / 4000)
    noise.set(seed=1)
    other = LiveFigure(
        open_page(page_of("live-reparameterization")), "live-reparameterization"
    )
    assert other.numbers["eps"] == noise.numbers["eps"]
    for figure in (other, noise):
        figure.body.get_by_role("button", name="New noise").click()
    assert other.numbers["eps"] == noise.numbers["eps"] != draws[:40].tolist()


def test_samples_are_moved_by_mouse_keyboard_and_slider(noise):
    noise.drag((0.5 + 1 / 12, 0.2), (0.5 - 1 / 12, 0.2))
    assert noise.state["mu"] < -0.5
    noise.set(mu=0)
    noise.canvas().press("ArrowRight")
    assert noise.numbers["z"][0] == pytest.approx(0.05 + 0.7 * noise.numbers["eps"][0])
    noise.control("point followed").press("Home")
    assert noise.numbers["followed"] == min(noise.numbers["eps"])
    noise.control("standard deviation \u03c3").fill("1.5")
    assert noise.state["sigma"] == 1.5


# Estimates that rise to the evidence (chapter 9)

SIZES = (1, 10, 100, 1000)


@pytest.fixture
def estimates(shared):
    figure = shared("live-estimates")
    figure.set(mu=0, sigma=1, draws=1)
    return figure


def test_estimates_are_those_of_the_exact_model(estimates, model):
    model, x = model
    for mu, sigma in itertools.product((-2.5, 0, 1.5), (0.2, 1, 1.5)):
        numbers = estimates.set(mu=mu, sigma=sigma)
        q = Normal(mu, sigma)
        for size, noise, column in zip(
            SIZES, numbers["noise"], numbers["estimates"], strict=True
        ):
            z = mu + sigma * torch.tensor(noise)[:, None]
            assert z.shape == (size, 1) and len(column) == 20
            log_p = model.log_p_x_given_z(x, z)[:, None]
            log_w = log_p + Normal(0.0, 1.0).log_prob(z) - q.log_prob(z)
            estimate = importance_weighted_bound(log_w)
            assert column[0] == pytest.approx(float(estimate), rel=1e-10)
        gap = numbers["logPx"] - numbers["elbo"]
        mean, covariance = model.posterior(x)
        posterior = Normal(mean[0, 0], covariance[0, 0].sqrt())
        assert gap == pytest.approx(float(kl_divergence(q, posterior)), **CLOSE)
        forward = float(kl_divergence(posterior, q))
        assert numbers["forward"] == pytest.approx(forward, **CLOSE)
        assert numbers["logPx"] == pytest.approx(float(model.log_evidence(x)), **CLOSE)


def test_with_the_posterior_every_estimate_is_the_evidence(estimates):
    numbers = estimates.set(mu=0.5, sigma=math.sqrt(0.5))
    assert np.allclose(sum(numbers["estimates"], []), numbers["logPx"], atol=1e-12)


@pytest.mark.equation("eq-log-estimate")
def test_means_rise_from_the_bound_to_the_evidence(estimates):
    numbers = estimates.set(draws=50)
    means, log_p_x = numbers["means"], numbers["logPx"]
    assert (np.diff(means) > 0).all() and abs(means[-1] - log_p_x) < 0.005
    assert means[0] == pytest.approx(numbers["elbo"], abs=0.1)  # four errors
    # Of q = N(0, 1) the weight is the likelihood, whose square has this mean.
    square = math.exp(-1 / 3) / (2 * math.pi * math.sqrt(3))
    v = square / math.exp(2 * log_p_x) - 1
    for size, mean in list(zip(SIZES, means, strict=True))[1:]:
        error = math.sqrt(v / (size * 1000))
        assert abs(mean - (log_p_x - v / (2 * size))) < 4 * error + v / size**2
    above = [max(column) > log_p_x for column in numbers["estimates"]]
    assert all(above)  # as the text says


def test_a_wrong_q_misses_what_the_text_says(estimates):
    says = prose.says("09-evaluation")
    numbers = estimates.numbers
    says("estimate of $\\log p(x) = #$ nats", numbers["logPx"])
    says("scatter around the ELBO, #;", numbers["elbo"])
    says("their mean is about #,", estimates.set(draws=50)["means"][1])
    estimates.body.get_by_role("button", name="sure of the wrong place").click()
    says(
        "with mean # and standard deviation #.",
        estimates.state["mu"],
        estimates.state["sigma"],
    )
    numbers = estimates.set(draws=50)
    gap = numbers["logPx"] - numbers["elbo"]
    says("Its ELBO is # nats too low", gap)
    says("a thousand weights leave #,", numbers["logPx"] - numbers["means"][-1])
    assert 7 < numbers["forward"] / math.log(10) < 7.6  # ten million, to a power
    assert "about 10\u2077 weights, or more" in estimates.text


def test_estimates_are_drawn_anew_and_begin_anew(estimates):
    before = estimates.numbers
    estimates.body.get_by_role("button", name="Draw anew").click()
    after = estimates.numbers
    assert after["estimates"] != before["estimates"] and estimates.state["draws"] == 2
    both = [a + b for a, b in zip(before["estimates"], after["estimates"], strict=True)]
    assert after["means"] == pytest.approx([np.mean(column) for column in both])
    estimates.body.get_by_role("button", name="Draw 20 times").click()
    assert estimates.state["draws"] == 22 and "of 440 estimates" in estimates.text
    estimates.control("mean of q").press("ArrowRight")
    assert estimates.state == {"mu": 0.05, "sigma": 1, "draws": 1}
    estimates.control("standard deviation of q").fill("0.5")
    estimates.body.get_by_role("button", name="Back to the start").click()
    assert estimates.state == {"mu": 0, "sigma": 1, "draws": 1}
    assert estimates.numbers == before
    pattern = r"each: (\S+) .*, (\S+) \(K = 1000\); log p\(x\) = (\S+) nats"
    expected = [before["means"][0], before["means"][-1], before["logPx"]]
    assert shown(estimates, pattern) == pytest.approx(expected, abs=0.0051)


# The effective beta (chapter 8 and the page on the scale of the loss)


@pytest.fixture
def loss(shared):
    figure = shared("live-loss-scale")
    figure.set(
        program="your own",
        cost="bce",
        likelihood="sum",
        kl="sum",
        weight=1,
        pixels=784,
        latents=2,
        batch=128,
    )
    return figure


@pytest.mark.parametrize("cost, share", [("bce", 1), ("square", 1), ("half", 0.5)])
def test_every_combination_has_the_librarys_beta(loss, cost, share):
    loss.control("cost of a pixel").select_option(cost)
    for pixels, latents, batch, weight in ((784, 2, 128, 1), (12288, 7, 3, 0.4)):
        loss.control("pixels D").fill(str(pixels))
        loss.control("dimensions J").fill(str(latents))
        loss.control("batch size B").fill(str(batch))
        loss.control("weight w of the KL").fill(str(weight))
        sizes = {"batch_size": batch, "n_pixels": pixels, "latent_dim": latents}
        for likelihood, kl in itertools.product(REDUCTIONS, REDUCTIONS):
            loss.control("this cost, reduced by").select_option(likelihood)
            loss.control("KL divergence, reduced by").select_option(kl)
            # A share of a cost beside a KL is the whole cost beside more of the KL.
            expected = effective_beta(likelihood, kl, kl_weight=weight / share, **sizes)
            numbers = loss.numbers
            assert numbers["beta"] == pytest.approx(expected, **CLOSE)
            if cost == "bce":
                assert numbers["noise"] is None
            else:
                noise = math.sqrt(expected / 2)
                assert numbers["noise"] == pytest.approx(noise, **CLOSE)
    assert loss.state["program"] == "your own"


def test_noise_is_that_of_the_gaussian_whose_elbo_the_loss_is(loss):
    numbers = loss.set(cost="half", weight=0.3)
    error, kl = np.array([1.0, 5.0]), np.array([2.0, 0.5])  # of two images
    losses = error / 2 + 0.3 * kl
    log_likelihood = -error / (2 * numbers["noise"] ** 2)  # up to a constant
    factors = losses / (kl - log_likelihood)
    assert factors[0] == pytest.approx(factors[1], **CLOSE)


def test_answer_is_given_in_words(loss):
    assert loss.text == "β = 1: up to a common factor, this loss is minus the ELBO."
    loss.set(kl="batchmean")
    assert loss.text.startswith(
        "β = 1/128: the KL divergence counts 128 times too little"
    )
    loss.set(likelihood="mean", kl="mean")
    assert loss.text.startswith("β = 392: the KL divergence counts 392 times too much")
    loss.set(cost="half", likelihood="sum", kl="sum")
    assert "β = 2 beside a sum of squared errors" in loss.text
    assert "noise s = 1 in the unit of the pixels" in loss.text


def test_programs_have_the_betas_of_the_pages_table(loss):
    says = prose.says("loss-scale")
    table = {
        "the report’s code": says("factor # alone gives a cloud"),
        "pytorch/examples": 1,
        "keras, 2016": says("| $784/2 = #$ |"),
        "pythae, mse": says("likewise | likewise | #, $s"),
        "PyTorch-VAE": says("times 0.00025 | #, $s"),
        "WorldModels, Keras": says("$D = 12288$ | sum over $J$ | #,"),
    }
    options = loss.control("start from").locator("option").all_inner_texts()
    assert {*options} == {*table, "your own"}
    for program, beta in table.items():
        loss.control("start from").select_option(program)
        assert loss.numbers["beta"] == pytest.approx(beta, rel=1e-3)
    assert round(loss.numbers["noise"]) == 78 and "β = 12288 beside" in loss.text


@pytest.mark.parametrize("entry", ["", "0", "-3", "2.5", "1e999"])
def test_entry_that_cannot_be_used_is_named_and_not_used(loss, entry):
    before, field = loss.numbers, loss.control("batch size B")
    field.fill(entry)
    said = loss.body.get_by_text("expected a whole number above 0; 128 is kept")
    assert said.is_visible() and field.get_attribute("aria-invalid") == "true"
    assert loss.numbers == before
    field.blur()
    assert field.input_value() == "128" and not said.is_visible()


def test_calculator_is_driven_by_the_keyboard(loss):
    loss.control("batch size B").press("ArrowUp")
    assert loss.state["batch"] == 129
    loss.control("KL divergence, reduced by").focus()
    loss.page.keyboard.press("ArrowDown")
    assert loss.state["kl"] == "batchmean"
    assert loss.numbers["beta"] == pytest.approx(1 / 129, **CLOSE)


# The dimensions that are in use (chapter 10)


@pytest.fixture
def level(shared):
    figure = shared("live-switch-off")
    figure.set(power=0, noise=1, contrast=1)
    return figure


@pytest.fixture(scope="module")
def spectrum():
    """Eigenvalues of the training digits' covariance, largest first."""
    digits = load_mnist("train").images.double()
    return torch.linalg.eigvalsh(torch.cov(digits.T, correction=0)).flip(0)


def test_bars_are_the_variances_of_the_digits(level, spectrum):
    for contrast in (1, 0.5, 2):
        numbers = level.set(contrast=contrast)
        expected = contrast**2 * spectrum
        assert numbers["lambdas"] == pytest.approx(expected[:20].tolist(), abs=3e-4)
        assert numbers["total"] == pytest.approx(float(expected.sum()), abs=3e-3)


def test_level_leaves_what_the_exact_linear_model_has(level, spectrum):
    """Means, rate and error of the posterior that goes with the optimal columns."""
    for power, noise, contrast in itertools.product((-1, 0.4), (0.7, 1), (0.5, 1.5)):
        numbers = level.set(power=power, noise=noise, contrast=contrast)
        tau, lambdas = numbers["tau"], torch.tensor(numbers["lambdas"])
        assert tau == pytest.approx(10**power * noise**2, **CLOSE)
        columns = (lambdas - tau).clamp(min=0).sqrt()
        model = LinearGaussianModel(columns.diag(), torch.zeros(20), math.sqrt(tau))
        encoder, covariance = model.posterior(torch.eye(20))  # rows: mean of each axis
        variance = encoder.square().T @ lambdas  # of the mean codes
        assert numbers["shares"] == pytest.approx(variance.tolist(), rel=1e-9, abs=1e-9)
        assert numbers["used"] == int((columns > 0).sum())
        std = covariance.diagonal()
        rate = 0.5 * (variance + std - 1 - std.log()).sum()
        assert numbers["rate"] == pytest.approx(float(rate), rel=1e-9, abs=1e-9)
        left = (1 - columns * encoder.diagonal()) ** 2 * lambdas + columns**2 * std
        rest = contrast**2 * float(spectrum[20:].sum())
        assert numbers["error"] == pytest.approx(float(left.sum()) + rest, abs=1e-3)


def test_level_drowns_what_the_text_says(level, spectrum):
    says = prose.says("10-latent-dimensions")
    assert level.numbers["used"] == 12 and "12 of 20 dimensions" in level.text
    last = float(spectrum[0])
    says("at $\\tau = #$ the last", last)
    assert level.set(power=math.log10(last) - 0.001)["used"] == 1
    assert level.set(power=math.log10(last) + 0.001)["used"] == 0
    assert "no dimension is in use" in level.text
    level.set(power=0)
    level.body.get_by_role("button").click()
    wait_until(
        level.page,
        "() => document.querySelector('#live-switch-off .live-body')"
        ".live.numbers().used === 0",
    )
    faint, heavy = (
        level.set(power=0, contrast=0.5),
        level.set(power=math.log10(4), contrast=1),
    )
    noisy = level.set(power=0, noise=2)
    for key in ("shares", "used", "rate"):
        assert faint[key] == pytest.approx(heavy[key], rel=1e-9)
        assert noisy[key] == pytest.approx(heavy[key], rel=1e-9)


def test_level_is_moved_by_mouse_keyboard_and_slider(level, spectrum):
    before = level.numbers["tau"]
    level.canvas().press("ArrowUp")
    assert level.numbers["tau"] == pytest.approx(before + 0.05)
    level.drag((0.85, 0.75), (0.85, 0.3))
    assert level.numbers["tau"] > 3
    level.drag((0.5, 0.5), (0.5, 0.0))  # as far as the axis reaches, and no further
    assert 5.2 < level.numbers["tau"] < 7
    level.control("weight β").press("Home")
    assert level.state["power"] == -1 and level.numbers["used"] == 20
    level.control("contrast of the images").fill("0.25")
    assert level.numbers["used"] == int((spectrum / 16 > 0.1).sum())


# The time of a step (chapter 12)


@pytest.fixture
def step(shared):
    figure = shared("live-step-time")
    figure.set(power=math.log10(5), batch="256", network="dense", link="machine")
    return figure


CONV = {"hidden_dims": (128, 256, 512, 1024), "network": "conv", "shape": (3, 64, 64)}
NETWORKS = {
    "dense": VAEConfig(20, (400,)),
    "conv": VAEConfig(128, n_pixels=12288, **CONV),
}
LINKS = {"machine": (1e-5, 1e11), "network": (5e-5, 1e9)}  # as on the page


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("link", LINKS)
def test_step_has_the_time_and_the_best_number_of_the_chapter(step, network, link):
    size = sum(p.numel() for p in VAE(NETWORKS[network]).parameters())
    latency, rate = LINKS[link]
    for batch, power in itertools.product((256, 4096), (-1.5, -0.3, 1.0, 2.9)):
        state = {"batch": str(batch), "network": network, "link": link, "power": power}
        numbers, t1 = step.set(**state), 1e-6 * 10**power
        ring = {n: 2 * (n - 1) * (latency + 4 * size / n / rate) for n in (1, 8)}
        one, eight = (5e-4 + batch * t1 / n + ring[n] for n in (1, 8))
        assert numbers["t1"] == pytest.approx(t1, **CLOSE)
        found = [numbers[name] for name in ("alone", "together", "gain")]
        assert found == pytest.approx([one, eight, one / eight], rel=1e-12)
        assert (numbers["gain"] > 1) == (t1 > numbers["pays"])
        assert ("slower" in step.text) == (eight > one)
        flip = step.set(power=math.log10(1e6 * numbers["pays"]))
        assert flip["gain"] == pytest.approx(1, rel=1e-9)
        work = batch * t1 - 8 * size / rate
        best = math.sqrt(max(1, work / (2 * latency)))
        assert numbers["best"] == pytest.approx(best, rel=1e-12)


def test_marks_of_the_step_are_the_pages_assumption_and_the_books_measurement(step):
    says = prose.says("12-scaling-up")
    dense, conv = says("GPU, *assumed* | $40\\cdot 10^{12}$ | # µs | # µs")
    record = json.loads((ROOT / "book/performance.json").read_text("utf-8"))
    cpu = record["seconds_per_epoch"]["ours"] / record["task"]["images"]
    assert step.numbers["gpu"] == pytest.approx(1e-6 * dense, rel=0.01)
    assert step.numbers["cpu"] == pytest.approx(cpu, rel=0.001)
    step.control("network").select_option("conv")
    assert step.numbers["gpu"] == pytest.approx(1e-6 * conv, rel=0.01)
    assert step.numbers["cpu"] is None
    step.body.get_by_role("button").click()
    assert step.numbers["t1"] == pytest.approx(step.numbers["gpu"], rel=1e-9)


def test_step_answers_in_words_and_follows_the_keyboard(step):
    assert step.text == (
        "With t₁ = 5 µs a step takes 1.8 ms on one device and 0.85 ms on eight,"
        " which are 2.1 times as fast. Eight pay from 0.83 µs on; the best number"
        " here is 7.8."
    )
    step.control("time of an image t₁").press("Home")
    assert step.state["power"] == -2 and "0.01 µs" in step.text
    assert "slower" in step.text
    step.control("batch B").select_option("4096")
    step.canvas().press("Shift+ArrowRight")
    assert step.state["power"] == pytest.approx(-1.5) and step.numbers["gain"] < 1
    step.canvas().press("Shift+ArrowRight")
    assert step.numbers["gain"] > 1
