"""The two planes of chapter 6, an auto-encoder's and a VAE's, say what torch says."""

import itertools
import math
from functools import cache

import prose
import pytest
import torch
from live_figure import BOOK, LiveFigure, figures_of, handed_over, numbers
from torch import Tensor

from tools import live_models
from vae_lib.autoencoder import AutoEncoder
from vae_lib.checkpoints import PRETRAINED
from vae_lib.data import load_mnist
from vae_lib.models import VAE

pytestmark = pytest.mark.book

PAGE = BOOK / "06-autoencoders.html"
CONFIG = PRETRAINED["mnist-2d"].config
EDGES = {"ae": 95.0, "vae": 3.8}  # of the planes that are shown
NAMES = {"ae": "plane-autoencoder", "vae": "mnist-2d"}
PLANES = {"ae": 0, "vae": 2}  # which canvas


def described(name: str, folder=live_models.FOLDER) -> dict:
    """The object that the script hands to the page."""
    return handed_over(folder / f"{name}.js")


def points(text: str, unit: float) -> Tensor:
    return numbers(text, "<i2").view(-1, 2) * unit


@cache
def decoder(key: str, folder=live_models.FOLDER) -> VAE:
    """A model whose decoder has the weights that the page has."""
    model = VAE(CONFIG).requires_grad_(False)
    found = described(f"{NAMES[key]}-decoder", folder)["layers"]
    for layer, weights in zip(model.decoder[::2], found, strict=True):
        layer.weight.copy_(numbers(weights["weight"], "<f2").view_as(layer.weight))
        layer.bias.copy_(numbers(weights["bias"], "<f2"))
    return model


@cache
def codes(key: str) -> tuple[Tensor, Tensor]:
    """Of 2,000 test digits and of the twenty examples."""
    content = described(f"{NAMES[key]}-digits")
    examples = content["examples"]
    if key == "vae":
        examples = examples["codes"]
    return points(content["codes"], content["unit"]), points(examples, content["unit"])


def labels() -> str:
    return described("mnist-2d-digits")["labels"]


def draw(key: str, z) -> Tensor:
    return decoder(key).mean_image(torch.as_tensor(z, dtype=torch.float32))


def share_of_one_kind(images: Tensor) -> Tensor:
    """Of the ten nearest training digits, as the chapter's notebook counts."""
    known, kinds = (part[:10_000] for part in load_mnist("train"))
    nearest = torch.cdist(images, known).topk(10, largest=False).indices
    commonest = kinds[nearest].mode(1).values[:, None]
    return (kinds[nearest] == commonest).float().mean(1)


def nearest(key: str, z) -> tuple[float, int]:
    distance, index = (codes(key)[0] - torch.tensor(z)).norm(dim=1).min(0)
    return distance.item(), int(index)


@pytest.fixture(scope="module")
def shared(open_page):
    """The figure at a width, one for all tests, as it first came."""
    figure = figures_of(open_page, PAGE)
    return lambda width=1300: figure("live-holes", width)


@pytest.fixture
def holes(shared):
    return shared()


# The scripts


def test_auto_encoder_has_the_layers_of_the_vae_and_is_small():
    both = [described(f"{name}-decoder")["layers"] for name in NAMES.values()]
    for ours, theirs in zip(*both, strict=True):
        assert (ours["n_in"], ours["n_out"]) == (theirs["n_in"], theirs["n_out"])
    for part, most in (("decoder", 700_000), ("digits", 20_000)):
        path = live_models.FOLDER / f"plane-autoencoder-{part}.js"
        assert path.stat().st_size < most


def test_codes_are_those_of_the_test_digits_and_rebuild_them():
    test = load_mnist("test")
    for key in NAMES:
        shown, examples = codes(key)
        params = decoder(key).decode(shown)
        assert -decoder(key).log_p_x_given_z(test.images[::5], params).mean() < 128
        rebuilt = draw(key, examples)
        own = test.images[torch.tensor(live_models.EXAMPLES)]
        found = torch.cdist(rebuilt, own).argmin(1)
        assert (found == torch.arange(20)).float().mean() > 0.7


def test_tool_writes_the_codes_and_the_decoder_of_its_auto_encoder(tmp_path):
    torch.manual_seed(0)
    model = AutoEncoder.from_data(CONFIG, load_mnist("train").images[:1000])
    live_models.make_twin(tmp_path, model)
    content = described("plane-autoencoder-digits", tmp_path)
    with torch.no_grad():
        mu, _ = model.encode(load_mnist("test").images)
        shown = points(content["codes"], content["unit"])
        assert (shown - mu[::5]).abs().max() < content["unit"]
        examples = points(content["examples"], content["unit"])
        of_examples = mu[torch.tensor(live_models.EXAMPLES)]
        assert (examples - of_examples).abs().max() < content["unit"]
        found = decoder("ae", tmp_path).mean_image(shown[:50])
        assert (found - model.mean_image(shown[:50])).abs().max() < 1e-3


# What the page says


@cache
def even_grid(key: str) -> tuple[Tensor, Tensor, Tensor]:
    """Points of the square, distances to the nearest code, shares of one kind."""
    ticks = EDGES[key] * (2 * (torch.arange(80) + 0.5) / 80 - 1)
    grid = torch.cartesian_prod(ticks, ticks)
    distance = torch.cdist(grid, codes(key)[0]).amin(1)
    return grid, distance, share_of_one_kind(draw(key, grid))


def fifths(distance: Tensor, share: Tensor) -> list[float]:
    """Shares from the fifth nearest to codes to the farthest one."""
    return [share[part].mean().item() for part in distance.argsort().chunk(5)]


def has_codes_around(key: str, n_directions: int) -> Tensor:
    """Which points of the grid have codes in each of so many equal sectors."""
    away = codes(key)[0] - even_grid(key)[0][:, None]
    turn = torch.atan2(away[..., 1], away[..., 0]) / (2 * math.pi) + 0.5
    sector = (n_directions * turn).long().clamp(max=n_directions - 1)
    found = [(sector == which).any(1) for which in range(n_directions)]
    return torch.stack(found).all(0)


@cache
def worst_on_the_way(key: str) -> float:
    """On lines between examples of different kinds, the mean of the lowest shares."""
    ends, t = codes(key)[1], torch.linspace(0, 1, 21)[:, None]
    pairs = [p for p in itertools.combinations(range(20), 2) if p[0] // 2 != p[1] // 2]
    lines = torch.stack([torch.lerp(ends[i], ends[j], t) for i, j in pairs])
    shares = share_of_one_kind(draw(key, lines.view(-1, 2)))
    return shares.view(len(pairs), 21).amin(1).mean().item()


def test_holes_and_lines_cost_what_the_page_says():
    says = prose.says(PAGE.stem)
    says(
        "it is # for test digits", share_of_one_kind(draw("ae", codes("ae")[0])).mean()
    )
    near, *_, far = fifths(*even_grid("ae")[1:])
    says("nearest to codes has #", near)
    says("farthest from them #", far)
    assert near > far + 0.15
    says("a share of # by", worst_on_the_way("ae"))
    says("and of # by the VAE", worst_on_the_way("vae"))


def test_both_pay_for_holes_inside_their_clouds_and_the_auto_encoders_are_wider():
    """However many directions are asked for: the holes by the size of the cloud."""
    said, wide = [], []
    for n_directions in (4, 6, 8, 12):
        widths = []
        for key in EDGES:
            _, distance, share = even_grid(key)
            inside = has_codes_around(key, n_directions)
            near, *_, far = fifths(distance[inside], share[inside])
            assert near > far + 0.03
            said += [near, far] if n_directions == 8 else []
            cloud = codes(key)[0] - codes(key)[0].mean(0)
            radius = cloud.square().sum(1).mean().sqrt()
            widths.append(distance[inside].quantile(0.9) / radius)
        assert widths[0] > 2 * widths[1]
        wide = widths if n_directions == 8 else wide
    says = prose.says(PAGE.stem)
    says("fifth has # and the farthest #", *said[:2])
    says("farthest #; for the VAE # and #", *said[1:])
    says("codes than # times the radius", wide[0])
    says("for the VAE than # times", wide[1])


def test_both_planes_rebuild_equally_well():
    test = load_mnist("test").images[::5]
    first, second = (
        (draw(key, codes(key)[0]) - test).square().mean(1) for key in NAMES
    )
    says = prose.says(PAGE.stem)
    for error in (first, second):
        says("is level, with # each", error.mean())
    apart = first - second
    assert abs(apart.mean()) < 2 * apart.std() / math.sqrt(len(test))


# The figure


def test_scripts_are_loaded_only_when_scrolled_to(open_page):
    figure = LiveFigure(open_page(PAGE), "live-holes")
    assert figure.loaded_before == {"live.js"}
    parts = ("decoder", "digits")
    data = {f"{name}-{part}.js" for name in NAMES.values() for part in parts}
    tools = {"live.js", "tools.js", "plane.js", "network.js", "holes.js"}
    assert figure.loaded == data | tools


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figure_is_accessible_and_fits_a_phone(theme, shared):
    figure = shared(width=375)
    figure.switch(theme)
    figure.check_fits_and_has_no_barrier()
    assert figure.problems == []


def test_both_decoders_draw_what_torch_draws(holes):
    for _ in range(8):
        z = {key: EDGES[key] * (2 * torch.rand(2) - 1) for key in EDGES}
        found = holes.set(**{key: point.tolist() for key, point in z.items()})
        for key, point in z.items():
            pixels = torch.tensor(found[key]["pixels"])
            assert (pixels - draw(key, point[None])[0]).abs().max() < 1e-3
    assert holes.problems == []


def test_line_below_tells_the_nearest_codes(holes):
    z = {"ae": [12.0, -30.0], "vae": [0.5, -1.25]}
    found, text = holes.set(**z), holes.text.replace("\N{MINUS SIGN}", "-")
    for key, words in (("ae", "Auto-encoder"), ("vae", "VAE")):
        distance, index = nearest(key, z[key])
        assert found[key]["distance"] == pytest.approx(distance, abs=1e-4)
        assert found[key]["nearest"] == labels()[index]
        own = codes(key)[0]
        usual = torch.cdist(own, own, compute_mode="donot_use_mm_for_euclid_dist")
        usual = usual.fill_diagonal_(torch.inf).amin(1)
        below = (usual < distance).float().mean().item()
        assert found[key]["below"] == pytest.approx(below, abs=1e-3)
        place = ", ".join(f"{v:.2f}" for v in z[key])
        assert f"{words}: z = ({place})." in text
        assert f"{distance:.2f} away; {100 * found[key]['below']:.0f} % of" in text


def test_walk_leads_from_one_digit_to_the_other_in_both_planes(holes):
    holes.control("from").select_option(label="a 3")
    holes.control("to").select_option(label="another 6")
    for share in (0.0, 0.25, 1.0):
        holes.control("share of the way t").fill(str(share))
        found = holes.numbers
        for key in EDGES:
            ends = codes(key)[1]
            z = torch.lerp(ends[6], ends[13], share)
            assert found[key]["z"] == pytest.approx(z.tolist(), abs=1e-4)


def test_a_point_is_dragged_moved_by_keys_and_brought_back(holes):
    before = holes.numbers
    for key, target in (("ae", [-30.0, 41.0]), ("vae", [1.5, -0.75])):
        here = holes.on_plane(target, EDGES[key], PLANES[key])
        holes.drag(here, here, PLANES[key])
        found = holes.numbers
        assert found[key]["z"] == pytest.approx(target, abs=EDGES[key] / 100)
    other = found["ae"]["z"]  # the other plane keeps its point
    assert other == pytest.approx([-30.0, 41.0], abs=1)
    holes.canvas(0).focus()
    holes.page.keyboard.press("ArrowRight")
    holes.page.keyboard.press("Shift+ArrowDown")
    moved, step = holes.numbers["ae"]["z"], EDGES["ae"] / 75
    assert moved == pytest.approx([other[0] + step, other[1] - 10 * step])
    assert "06-autoencoders" in holes.page.url  # arrow keys have not turned the page
    holes.control("share of the way t").fill("0.5")
    assert holes.numbers["ae"]["z"] == pytest.approx(before["ae"]["z"])
    assert holes.problems == []


def test_magnified_planes_keep_their_points_in_sight(holes):
    holes.set(ae=[50.0, 50.0], vae=[3.0, -3.0])
    holes.control("magnify").fill("10")
    holes.canvas(0).focus()
    holes.page.keyboard.press("ArrowLeft")
    assert holes.numbers["ae"]["z"] == pytest.approx([50 - EDGES["ae"] / 75, 50.0])
    for key in EDGES:
        holes.canvas(PLANES[key]).press("Shift+ArrowLeft")
        z = holes.numbers[key]["z"]
        assert abs(z[0]) < EDGES[key] and holes.problems == []


def test_classes_are_shown_and_hidden_in_both_planes(holes):
    def pictures():
        return [holes.picture(index) for index in PLANES.values()]

    everything = pictures()
    one = holes.body.get_by_role("button", name="1: ")
    one.click()
    without = pictures()
    assert all(a != b for a, b in zip(everything, without, strict=True))
    one.click()
    assert pictures() == everything


@pytest.mark.timed
def test_networks_and_drawing_take_less_than_a_frame(holes):
    assert holes.frame_time() < 16
