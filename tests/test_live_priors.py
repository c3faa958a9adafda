"""The two figures of chapter 14, a mixture and a planar map, say what torch says."""

import math
import re

import numpy as np
import prose
import pytest
import torch
from live_figure import BOOK, LiveFigure, figures_of
from torch import Tensor
from torch.func import jacrev
from torch.testing import assert_close

from vae_lib.flows import Planar
from vae_lib.models import VAEConfig
from vae_lib.priors import Mixture, StandardNormal

pytestmark = [pytest.mark.book, pytest.mark.usefixtures("double_precision")]

PAGE = BOOK / "14-priors-and-flows.html"
MIXTURE, PLANAR = "live-mixture-prior", "live-planar"
SCRIPTS = {MIXTURE: {"mixture.js", "mixture-prior.js"}, PLANAR: {"planar.js"}}
CLOUDS = ("ring", "lanes", "heaps", "standard")
EDGES = {MIXTURE: 3.3, PLANAR: 3.8}  # of the planes that are shown
CLOSE = {"rel": 1e-9, "abs": 1e-9}
FLOOR = 0.05  # no Gaussian is narrower
EACH_FIGURE = pytest.mark.parametrize("name", SCRIPTS)


@pytest.fixture(scope="module")
def shared(open_page):
    """The figures at a width, one page for all tests, as they first came."""
    return figures_of(open_page, PAGE)


@pytest.fixture
def cloud(shared):
    return shared(MIXTURE)


@pytest.fixture
def planar(shared):
    return shared(PLANAR)


def shown(figure, pattern):
    """The numbers that the line below the figure gives."""
    found = re.search(pattern, figure.text.replace("\N{MINUS SIGN}", "-"))
    assert found, figure.text
    return [float(number.replace(",", "")) for number in found.groups()]


# What holds for both


@EACH_FIGURE
def test_scripts_are_loaded_only_when_scrolled_to(name, open_page):
    figure = LiveFigure(open_page(PAGE), name)
    assert figure.loaded_before == {"live.js"}
    # The window may have come near the other figure, too.
    assert SCRIPTS[name] | {"live.js", "tools.js"} <= figure.loaded


@EACH_FIGURE
@pytest.mark.parametrize("width", [320, 375])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figure_is_accessible_and_fits_a_phone(name, width, theme, shared):
    figure = shared(name, width=width)
    figure.switch(theme)
    figure.check_fits_and_has_no_barrier()
    assert figure.problems == [] and figure.text


@EACH_FIGURE
def test_picture_follows_what_is_set_and_the_theme(name, shared):
    figure = shared(name)
    first = figure.picture()
    figure.switch("dark")
    assert figure.picture() != first
    figure.switch("light")
    assert figure.picture() == first
    figure.set(**({"steps": 9} if name == MIXTURE else {"b": 1}))
    assert figure.picture() != first


@pytest.mark.timed
@EACH_FIGURE
def test_a_frame_takes_less_than_16_milliseconds(name, shared):
    figure = shared(name)
    figure.set(**({"m": 12, "steps": 60} if name == MIXTURE else {"used": "slip"}))
    assert figure.frame_time() < 16


# A mixture fitted to a cloud


def prior(parts: list[dict]) -> Mixture:
    """The library's mixture of these Gaussians."""
    config = VAEConfig(2, (4,), prior="mixture", n_components=len(parts))
    found = Mixture(config, None)
    values = {key: torch.tensor([part[key] for part in parts]) for key in parts[0]}
    found.mu.data.copy_(values["mu"])
    found.logvar.data.copy_(2 * values["sigma"].log())
    found.logits.data.copy_(values["weight"].log())
    return found.requires_grad_(False)


def standard() -> StandardNormal:
    return StandardNormal(VAEConfig(2, (4,)), None)


def one_step(parts: list[dict], points: Tensor) -> tuple[Tensor, ...]:
    """Weights, means and standard deviations after a step of EM, from the densities."""
    each = [prior([part | {"weight": 1.0}]).log_prob(points) for part in parts]
    log_weight = torch.tensor([part["weight"] for part in parts]).log()
    shares = torch.softmax(torch.stack(each, -1) + log_weight, -1)  # (n, M)
    total = shares.sum(0)[:, None]
    mu = shares.T @ points / total
    away = (points[:, None] - mu).square()  # (n, M, 2)
    variance = (shares[..., None] * away).sum(0) / total
    return shares.mean(0), mu, variance.sqrt().clamp(min=FLOOR)


@pytest.mark.parametrize("kind", CLOUDS)
def test_gains_are_those_of_the_librarys_mixture(cloud, kind):
    for n, m, steps, start in ((20, 12, 60, 1), (40, 3, 0, 2), (200, 7, 5, 3)):
        found = cloud.set(cloud=kind, n=n, m=m, steps=steps, start=start)
        points, fresh = torch.tensor(found["points"]), torch.tensor(found["fresh"])
        assert points.shape == (n, 2) and fresh.shape == (2000, 2)
        fitted = prior(found["mixture"])
        assert len(found["mixture"]) == m
        log, under = fitted.log_prob(points).mean(), standard().log_prob(points).mean()
        assert found["log"] == pytest.approx(float(log), **CLOSE)
        assert found["under"] == pytest.approx(float(under), **CLOSE)
        assert found["gain"] == pytest.approx(float(log - under), **CLOSE)
        below = standard().log_prob(fresh).mean()
        gain = fitted.log_prob(fresh).mean() - below
        assert found["gainNew"] == pytest.approx(float(gain), **CLOSE)
        best = prior(found["cloud"]).log_prob(fresh).mean() - below
        assert found["best"] == pytest.approx(float(best), **CLOSE)
        pattern = (
            r"the (\d+) points is (\S+) nats, .* (\S+): a gain of (\S+)\. On (\S+)"
            r" new points .* is (\S+), and .* (\S+)\.$"
        )
        expected = [n, *map(float, (log, under, log - under, 2000, gain, best))]
        assert shown(cloud, pattern) == pytest.approx(expected, abs=0.0051)
    assert cloud.problems == []


@pytest.mark.parametrize("kind", CLOUDS)
def test_log_density_of_the_points_never_falls(cloud, kind):
    for n, m, start in ((20, 12, 1), (40, 6, 2), (60, 12, 3), (200, 4, 4), (40, 1, 5)):
        found = cloud.set(cloud=kind, n=n, m=m, start=start, steps=60)
        logs, points = np.array(found["logs"]), torch.tensor(found["points"])
        assert (np.diff(logs) > -1e-12).all() and logs[-1] > logs[0]
        assert min(min(part["sigma"]) for part in found["mixture"]) >= FLOOR
        # The last step that was taken brought nothing, or is the last one allowed.
        assert len(logs) == 61 or logs[-1] - logs[-2] < 1e-4
        gains = found["ends"][m - 1]
        assert gains == pytest.approx([found["gain"], found["gainNew"]], **CLOSE)
        for k in (0, 2):
            before = cloud.set(steps=k)
            assert before["log"] == pytest.approx(logs[min(k, len(logs) - 1)], **CLOSE)
            after = cloud.set(steps=k + 1)["mixture"]
            if k + 1 < len(logs):
                for key, expected in zip(
                    ("weight", "mu", "sigma"),
                    one_step(before["mixture"], points),
                    strict=True,
                ):
                    ours = torch.tensor(
                        [part[key] for part in after], dtype=expected.dtype
                    )
                    assert_close(ours, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", CLOUDS)
def test_points_and_new_points_are_drawn_from_the_cloud(cloud, kind):
    few = cloud.set(cloud=kind, n=20)
    found = cloud.set(n=200)
    assert found["points"][:20] == few["points"]
    parts = {
        key: torch.tensor([part[key] for part in found["cloud"]])
        for key in ("weight", "mu", "sigma")
    }
    assert float(parts["weight"].sum()) == pytest.approx(1)
    second = parts["weight"] @ (parts["mu"].square() + parts["sigma"].square())
    for name, size in (("points", 200), ("fresh", 2000)):
        z = torch.tensor(found[name])
        error = z.square().std(0) / math.sqrt(size)
        assert ((z.square().mean(0) - second).abs() < 4 * error).all()
        own = prior(found["cloud"])
        draws = own.log_prob(own.sample(20000))  # its entropy, by torch's draws
        log = own.log_prob(z)
        error = log.std() / math.sqrt(size) + draws.std() / math.sqrt(20000)
        assert (log.mean() - draws.mean()).abs() < 4 * error
    assert torch.cdist(torch.tensor(found["points"]), z).min() > 0
    assert cloud.set(draw=2)["points"] != found["points"]


def test_mixture_overfits_as_the_page_says(cloud):
    says = prose.says(PAGE.stem)
    few = cloud.set(m=12, steps=60)
    says("they gain # nats on these", few["gain"])
    says("and lose # on new ones", -few["gainNew"])
    gains = np.array(few["ends"])
    assert gains[:, 1].argmax() + 1 == 4  # it comes nearest with four
    assert (gains[:, 1] < few["best"]).all() and gains[-1, 0] > 2 * few["best"]
    many = cloud.set(n=200)
    says("hundred points they gain # and #", many["gain"], many["gainNew"])
    none = cloud.set(cloud="standard", n=40)
    assert none["best"] == 0 and none["ends"][-1][0] > 1
    assert all(new < 0 for _, new in none["ends"])


def test_fit_is_taken_by_steps_and_begins_anew(cloud):
    def press(name):
        cloud.body.get_by_role("button", name=name, exact=True).click()
        return cloud.numbers

    begin = cloud.numbers
    assert cloud.state["steps"] == 0 and "After 0 steps" in cloud.text
    assert len(press("One step")["logs"]) == 2 and "After 1 step," in cloud.text
    fit = press("Fit")
    taken = cloud.state["steps"]
    assert 2 < taken <= 60 and len(fit["logs"]) == taken + 1
    press("One step")  # there is none that would bring anything
    assert cloud.numbers == fit and f"After {taken} steps" in cloud.text
    other = press("Start anew")
    assert cloud.state["steps"] == 0 and other["points"] == begin["points"]
    assert other["mixture"] != begin["mixture"]
    assert press("New points")["points"] != begin["points"]
    cloud.control("Gaussians M").press("Home")
    cloud.control("points n").press("End")
    found = press("Fit")
    assert len(found["mixture"]) == 1 and len(found["points"]) == 200
    mean = torch.tensor(found["points"]).mean(0)
    assert found["mixture"][0]["mu"] == pytest.approx(mean.tolist())
    cloud.control("cloud").select_option(label="three heaps")
    assert cloud.state["steps"] == 0 and len(cloud.numbers["cloud"]) == 3
    assert cloud.problems == []


def test_fit_moves_where_motion_is_welcome_and_stops_for_another_cloud(open_page):
    figure = LiveFigure(open_page(PAGE), MIXTURE)
    figure.page.emulate_media(reduced_motion="no-preference")
    button = figure.body.get_by_role("button", name="Fit", exact=True)
    button.click()
    on_its_way = figure.state["steps"]
    figure.page.wait_for_timeout(1500)
    assert on_its_way < figure.state["steps"]
    figure.set(steps=0)
    button.click()
    figure.set(cloud="lanes", steps=0)
    figure.page.wait_for_timeout(1500)
    assert figure.state["steps"] == 0 and figure.problems == []


def test_a_cloud_is_drawn_by_mouse_and_by_keyboard(cloud):
    edge = EDGES[MIXTURE]
    cloud.drag(cloud.on_plane((-1, 1.5), edge), cloud.on_plane((1, 1.5), edge))
    assert cloud.state["cloud"] == "own" == cloud.control("cloud").input_value()
    found = cloud.numbers
    line = torch.tensor([part["mu"] for part in found["cloud"]])
    assert len(line) > 4 and (line[:, 1] - 1.5).abs().max() < 0.02
    assert line[:, 0].min() < -0.97 and line[:, 0].max() > 0.97
    assert all(part["sigma"] == [0.2, 0.2] for part in found["cloud"])
    fresh = torch.tensor(found["fresh"])
    best = prior(found["cloud"]).log_prob(fresh) - standard().log_prob(fresh)
    assert found["best"] == pytest.approx(float(best.mean()), **CLOSE)
    cloud.body.get_by_role("button", name="Clear").click()
    assert cloud.numbers == {"points": []} and "Draw a cloud" in cloud.text
    for name in ("One step", "Fit", "Start anew", "New points"):
        cloud.body.get_by_role("button", name=name).click()
    canvas = cloud.canvas()
    cloud.set(pen=[0, 0])
    canvas.press("ArrowUp")  # the brush is up
    assert cloud.state["own"] == []
    canvas.press(" ")
    assert "Brush down" in cloud.text
    canvas.press("Shift+ArrowRight")
    canvas.press("ArrowDown")
    canvas.press(" ")
    assert "Brush down" not in cloud.text
    drawn = np.array(cloud.state["own"])
    assert drawn == pytest.approx(np.array([[0, 0.1], [0.5, 0.1]]))  # no third: near
    assert len(cloud.numbers["points"]) == 40
    assert "14-priors" in cloud.page.url and cloud.problems == []


# A planar map


def taken(state: dict) -> tuple[Tensor, Tensor, Tensor]:
    """u that the map is to use, w and b (eq-planar-condition)."""
    u, w, b = (torch.tensor(state[key], dtype=torch.float64) for key in "uwb")
    if state["used"] == "drawn":
        return u, w, b
    m = torch.log1p((w @ u).exp()) - 1
    below = w.square().sum() if state["used"] == "fit" else w.norm()
    return u + (m - w @ u) * w / below, w, b


def random_states(n: int):
    edge = EDGES[PLANAR]
    for i in range(n):
        size = torch.tensor(
            [edge, edge / (1 + 4 * (i % 2)), edge]
        )  # half have a short w
        u, w, z = (size[:, None] * (2 * torch.rand(3, 2) - 1)).tolist()
        yield {"u": u, "w": w, "z": z, "b": 3 * (2 * float(torch.rand(())) - 1)}


@pytest.mark.parametrize("used", ["drawn", "fit", "slip"])
def test_map_and_determinant_are_those_of_autograd(planar, used):
    folded = 0
    for state in random_states(40):
        state["used"] = used
        found, (u, w, b) = planar.set(**state), taken(state)

        def push(z, u=u, w=w, b=b):
            return z + u * torch.tanh(z @ w + b)[..., None]

        z = torch.tensor(state["z"])
        determinant = float(torch.linalg.det(jacrev(push)(z)))
        assert found["u"] == pytest.approx(u.tolist(), **CLOSE)
        assert found["wu"] == pytest.approx(float(w @ u), **CLOSE)
        assert found["image"] == pytest.approx(push(z).tolist(), **CLOSE)
        assert found["determinant"] == pytest.approx(determinant, **CLOSE)
        # It can be inverted where w'z only rises along w: counted on a fine line.
        a = torch.linspace(-40, 40, 400001)
        rising = a + w @ u * torch.tanh(a + b)
        assert found["invertible"] == bool((rising.diff() > 0).all())
        target = rising - w @ push(z)
        crossings = int((target[:-1].sign() != target[1:].sign()).sum())
        sources = torch.tensor(found["sources"])
        assert len(sources) == crossings
        assert (push(sources) - push(z)).abs().max() < 1e-9
        assert (sources - z).norm(dim=1).min() < 1e-6
        each = torch.stack([torch.linalg.det(jacrev(push)(p)).abs() for p in sources])
        density = (standard().log_prob(sources).exp() / each).sum()
        assert found["densityOfImage"] == pytest.approx(float(density), rel=1e-5)
        folded += not found["invertible"]
        assert ("can be inverted" in planar.text) == found["invertible"]
        assert ("have the same image" in planar.text) == (crossings > 1)
    assert folded == 0 if used == "fit" else folded > 3
    assert planar.problems == []


def test_fitted_map_is_the_librarys_planar_layer(planar):
    for state in random_states(30):
        found = planar.set(**state, used="fit")
        layer = Planar(2, 1, 4)
        raw = torch.tensor([*state["u"], *state["w"], state["b"]])
        layer.network[-1].bias.data.copy_(raw)
        with torch.no_grad():
            out, log_det = layer(torch.tensor(state["z"]), torch.zeros(1))
        # The layer stays a millionth farther from the fold.
        assert found["image"] == pytest.approx(out.tolist(), abs=1e-4)
        assert found["determinant"] == pytest.approx(float(log_det.exp()), abs=2e-6)
        if found["determinant"] > 1e-3:
            log = standard().log_prob(torch.tensor(state["z"])) - log_det
            density = float(log.exp())
            assert found["densityOfImage"] == pytest.approx(density, rel=2e-3)


def test_planar_map_folds_as_the_page_says(planar):
    says = prose.says(PAGE.stem)
    says("As it stands w^\\top u is #", planar.numbers["wu"])
    assert len(planar.numbers["sources"]) == 3  # three points land on one
    planar.control("the map uses").select_option("fit")
    fit = planar.numbers
    assert fit["invertible"] and fit["determinant"] < 0.5
    assert fit["densityOfImage"] > 2 * fit["density"]
    pattern = r"= (\S+), above .* is (\S+), so .* there, (\S+), .* = (\S+) at"
    names = ("wu", "determinant", "density", "densityOfImage")
    expected = [fit[name] for name in names]
    assert shown(planar, pattern) == pytest.approx(expected, abs=0.0051)
    planar.control("the map uses").select_option("slip")
    assert math.hypot(*planar.state["w"]) < 1 and not planar.numbers["invertible"]
    length = says("across a w of length #")
    across = {"w": [length, 0], "u": [0, 2]}
    assert not planar.set(**across)["invertible"]
    assert planar.set(**across, used="drawn")["invertible"]
    assert planar.set(**across, used="fit")["invertible"]


def test_arrows_and_point_are_moved_by_mouse_and_keyboard(planar):
    edge = EDGES[PLANAR]
    moves = {"z": (1.5, -2), "u": (2, 1), "w": (-1, 0.5)}
    for name, target in moves.items():
        start = planar.on_plane(planar.state[name], edge)
        planar.drag(start, planar.on_plane(target, edge))
        assert planar.state[name] == pytest.approx(target, abs=0.03)
        assert planar.control("arrow keys move").input_value() == name
    planar.set(**{name: list(target) for name, target in moves.items()})
    for name, target in moves.items():
        planar.control("arrow keys move").select_option(name)
        planar.canvas().press("ArrowRight")
        planar.canvas().press("Shift+ArrowDown")
        moved = [target[0] + 0.05, target[1] - 0.5]
        assert planar.state[name] == pytest.approx(moved)
        others = {other: planar.state[other] for other in moves if other != name}
        assert name != "z" or others == {"u": [2, 1], "w": [-1, 0.5]}
    planar.set(w=[0.4, 0], keys="w")
    for _ in range(8):  # w never gets so short that it has no direction
        planar.canvas().press("ArrowLeft")
    assert math.hypot(*planar.state["w"]) >= 0.3 - 1e-9
    planar.control("shift b").press("End")
    assert planar.state["b"] == 3 and "14-priors" in planar.page.url
    assert planar.problems == []
