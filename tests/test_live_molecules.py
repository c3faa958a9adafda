"""The figure that writes molecules in the page says what torch and RDKit say."""

from functools import cache

import numpy as np
import pytest
import torch
from live_figure import BOOK, LiveFigure, figures_of, handed_over, numbers
from torch import Tensor

from tools import live_molecules as tool
from vae_lib.configs import SequenceConfig
from vae_lib.molecules import load_molecules, write_smiles
from vae_lib.sequences import SequenceVAE
from vae_lib.tokens import END, categorical_log_prob

pytestmark = pytest.mark.book

PAGE, NAME = BOOK / "molecule-search.html", "live-molecules"
EDGE = 3.8  # of the plane that is shown
POINTS = (EDGE * (2 * torch.rand(20, 2, generator=torch.manual_seed(1)) - 1)).tolist()
Z1, Z2 = "z\N{SUBSCRIPT ONE}", "z\N{SUBSCRIPT TWO}"


@cache
def described(part: str, folder=tool.FOLDER) -> dict:
    """The object that the script hands to the page."""
    return handed_over(folder / f"{tool.NAME}-{part}.js")


@cache
def writer(folder=tool.FOLDER) -> SequenceVAE:
    """A model whose decoder and head have the weights that the page has."""
    found = described("decoder", folder)
    width, e = found["start"]["n_out"], found["input"]["n_in"] - 2
    config = SequenceConfig(
        latent_dim=2, hidden_dim=width, embedding_dim=e, n_properties=1
    )
    model = SequenceVAE(config).requires_grad_(False).eval()
    part, head = model.decoder, model.head
    embedding = numbers(found["embedding"], "<f2")
    part.embedding.weight.copy_(embedding.view_as(part.embedding.weight))
    pairs = [
        (part.gru.weight_ih_l0, part.gru.bias_ih_l0, found["input"]),
        (part.gru.weight_hh_l0, part.gru.bias_hh_l0, found["hidden"]),
    ]
    modules = (part.start, part.out, head.mean[0], head.mean[2])
    layers = (found["start"], found["out"], *found["gap"]["layers"])
    pairs += [(m.weight, m.bias, x) for m, x in zip(modules, layers, strict=True)]
    for weight, bias, layer in pairs:
        assert (layer["n_out"], layer["n_in"]) == weight.shape
        weight.copy_(numbers(layer["weight"], "<f2").view_as(weight))
        bias.copy_(numbers(layer["bias"], "<f2"))
    return model


def codes(folder=tool.FOLDER) -> Tensor:
    content = described("codes", folder)
    return numbers(content["codes"], "<i2").view(-1, 2) * content["unit"]


def gap(z: Tensor, folder=tool.FOLDER) -> Tensor:
    """What the head says of codes (N, 2), in eV."""
    found = described("decoder", folder)["gap"]
    return found["mean"] + found["spread"] * writer(folder).head.mean(z)[:, 0]


@cache
def kept() -> tuple[list[str], Tensor]:
    """Strings and gaps of all molecules that were kept from training."""
    molecules = load_molecules("test")
    return write_smiles(molecules.tokens), molecules.properties[:, tool.GAP]


def drawn() -> list[tuple[int, str]]:
    return [(i, string) for i, string, *_ in described("codes")["drawn"]]


@cache
def on_a_grid() -> tuple[Tensor, list[str]]:
    """Points of the plane, and what the likeliest tokens write there."""
    grid = torch.cartesian_prod(*2 * [torch.arange(-35, 36) / 10])
    return grid, write_smiles(writer().write(grid, greedy=True))


@pytest.fixture(scope="module")
def shared(open_page):
    """The figure at a width, one for all tests, as it first came."""
    figure = figures_of(open_page, PAGE)
    return lambda width=1300: figure(NAME, width)


@pytest.fixture
def figure(shared):
    return shared()


# The scripts


def test_scripts_are_small():
    sizes = {"decoder": 700_000, "codes": 500_000}
    for part, most in sizes.items():
        assert (tool.FOLDER / f"{tool.NAME}-{part}.js").stat().st_size < most


def test_tool_writes_the_model_it_is_given_and_the_same_bytes_again(tmp_path):
    torch.manual_seed(0)
    model = SequenceVAE(SequenceConfig(2, 16, 3, n_properties=1)).requires_grad_(False)
    model.decoder.out.bias[END] = 1  # else nothing ends
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
        tool.make(folder, model)
    for part in ("decoder", "codes"):
        one, other = (folder / f"{tool.NAME}-{part}.js" for folder in folders)
        assert one.read_bytes() == other.read_bytes()
    x, z = load_molecules("test").tokens[: tool.N_CODES], codes(folders[0])
    assert (z - model.encode(x)[0]).abs().max() < tool.UNIT
    found, exact = writer(folders[0]).decode(z, x), model.decode(z, x)
    assert (found - exact).abs().max() < 1e-2  # the rounding of the weights
    assert (gap(z, folders[0]) - tool.scale()[0]).abs().max() < 3 * tool.scale()[1]


def test_codes_and_gaps_are_those_of_kept_molecules():
    """The page has no encoder: codes that were another's would not fit what it has."""
    molecules, z = load_molecules("test"), codes()
    x, true = molecules.tokens[: len(z)], molecules.properties[: len(z), tool.GAP]
    found = numbers(described("codes")["gaps"], "<i2") / 100
    assert len(z) == tool.N_CODES and (found - true).abs().max() < 0.00501
    explained = 1 - (gap(z) - true).square().mean() / true.var()
    assert explained > 0.8
    own, others = (
        categorical_log_prob(x, writer().decode(code, x)).mean()
        for code in (z, z.roll(1, 0))
    )
    assert own > others + 2


def test_drawings_are_of_their_strings_and_spread_over_the_plane():
    for i, string, *paths in described("codes")["drawn"]:
        assert kept()[0][i] == string
        assert tuple(paths) == tool.drawing(string) and any(paths)  # one atom: no bond
    z = codes()
    chosen = z[torch.tensor([i for i, _ in drawn()])]
    assert 120 <= len(chosen) <= 200
    assert torch.cdist(z, chosen).amin(1).max() < 0.35
    apart = torch.cdist(chosen, chosen).fill_diagonal_(torch.inf).min()
    assert apart > torch.cdist(z, chosen).amin(1).max() - 0.01


def test_strings_that_are_called_known_are_written_and_of_their_set():
    sets = {
        "training": set(write_smiles(load_molecules("train").tokens)),
        "kept": set(kept()[0]),
    }
    content = described("codes")["written"]
    again = set(on_a_grid()[1])
    assert len(content) > 50
    missing = [string for string, *_ in content if string not in again]
    assert len(missing) < len(content) / 20  # by the rounding of the weights
    for string, split, *paths in content:
        assert string in sets[split] and tuple(paths) == tool.drawing(string)


def test_no_letter_is_cut_off(figure):
    """All paths of the script lie in the box that a card shows."""
    rows = [
        row[-2:] for kind in ("drawn", "written") for row in described("codes")[kind]
    ]
    picture = figure.body.locator(".live-cards svg").first
    boxes = picture.evaluate(
        """(svg, all) => all.map(d => {
        const path = svg.querySelector("path").cloneNode();
        path.setAttribute("d", d);
        svg.append(path);
        const { x, y, width, height } = path.getBBox();
        path.remove();
        return [x, y, x + width, y + height];
    })""",
        [d for row in rows for d in row if d],
    )
    left, top, width, height = map(float, picture.get_attribute("viewBox").split())
    low, high = np.array(boxes)[:, :2].min(0), np.array(boxes)[:, 2:].max(0)
    assert (low > [left + 8, top + 8]).all()
    assert (high < [left + width - 8, top + height - 8]).all()


def test_a_path_keeps_its_places():
    path = "M 10.2,20.7 L 30,5 Q 31,6 32.4,7 M 1 2 L -3 4"
    assert tool.relative(path) == "M10 21l20-16q1 1 2 2m-31-5l-4 2"


# The figure


def test_figure_loads_the_scripts_that_it_needs(figure):
    data = {f"{tool.NAME}-{part}.js" for part in ("decoder", "codes")}
    parts = {"live.js", "tools.js", "plane.js", "network.js", "gru.js", "molecules.js"}
    assert figure.loaded == data | parts


@pytest.mark.parametrize("width", [375, 1300])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figure_is_accessible_and_fits(theme, width, shared):
    figure = shared(width)
    figure.switch(theme)
    for z1, how in ((0.6, "likeliest"), (-3.8, "drawn")):
        figure.set(z1=z1, how=how)
        figure.check_fits_and_has_no_barrier()
        inside = figure.body.bounding_box()
        for card in figure.body.locator(".live-cards > div").all():
            box = card.bounding_box()
            assert box["width"] > 120 and inside["x"] <= box["x"]
            assert box["x"] + box["width"] <= inside["x"] + inside["width"]
    figure.switch("light")
    assert figure.problems == []


def check_row(found: dict) -> None:
    """All probabilities along the string that is shown, and the gap, are torch's."""
    z = torch.tensor([found["z"]])
    row = torch.tensor([step["token"] for step in found["row"]])
    x = torch.full((1, 23), END)
    x[0, : len(row)] = row
    p = writer().decode(z, x)[0, : len(row)].softmax(-1)
    shown = torch.tensor([step["p"] for step in found["row"]])
    assert (shown - p).abs().max() < 1e-3
    assert found["string"] == write_smiles(x)[0]
    assert found["ended"] == (row[-1] == END) and END not in row[:-1]
    log_p = p.gather(1, row[:, None]).log().sum().item()
    assert found["logP"] == pytest.approx(log_p, abs=1e-2)
    assert found["gap"] == pytest.approx(gap(z).item(), abs=1e-3)


def test_decoder_writes_what_torch_writes(figure):
    told = 0
    for z1, z2 in POINTS:
        found = figure.set(z1=z1, z2=z2)
        check_row(found)
        written = writer().write(torch.tensor([[z1, z2]]), greedy=True)
        best = torch.tensor([sorted(step["p"])[-2:] for step in found["row"]])
        clear = (best[:, 1] - best[:, 0]).min() > 1e-3
        assert found["string"] == write_smiles(written)[0] or not clear
        told += int(clear)
    assert told >= 18 and figure.problems == []


def test_drawn_tokens_follow_their_probabilities(figure):
    found = figure.set(how="drawn", seed=5)
    check_row(found)
    assert figure.set(seed=5)["row"] == found["row"]
    counts = figure.body.evaluate("""host => {
        const counts = Array(19).fill(0);
        for (let seed = 1; seed <= 2000; seed++) {
            host.live.set({seed});
            counts[host.live.numbers().row[0].token]++;
        }
        return counts;
    }""")
    p = np.array(found["row"][0]["p"])
    error = np.sqrt(p * (1 - p) / 2000)
    assert (np.abs(np.array(counts) / 2000 - p) < 4 * error + 1e-3).all()


def test_draw_anew_draws_and_the_switch_goes_back(figure):
    greedy = figure.numbers["string"]
    button = figure.body.get_by_role("button", name="draw anew")
    strings = set()
    for _ in range(5):
        button.click()
        strings.add(figure.numbers["string"])
    choice = figure.control("each token is")
    assert choice.input_value() == "drawn" and len(strings) > 2
    assert "Tokens drawn write" in figure.text
    choice.select_option("likeliest")
    assert figure.numbers["string"] == greedy
    assert "The likeliest tokens write" in figure.text


def test_nearest_molecules_are_shown_with_their_drawings(figure):
    places = torch.tensor([i for i, _ in drawn()])
    content = {string: paths for _, string, *paths in described("codes")["drawn"]}
    for z1, z2 in POINTS[:6]:
        found = figure.set(z1=z1, z2=z2)
        distance = (codes()[places] - torch.tensor([z1, z2])).norm(dim=1)
        for rank, k in enumerate(distance.argsort()[:3].tolist()):
            string, true = drawn()[k][1], kept()[1][places[k]].item()
            near = found["nearest"][rank]
            assert near["string"] == string and near["gap"] == pytest.approx(true, 0.01)
            assert near["distance"] == pytest.approx(distance[k].item(), abs=1e-4)
            card = figure.body.locator(".live-cards > div").nth(rank + 1)
            assert f"{string}\ngap {near['gap']:.2f} eV" in card.inner_text()
            assert f"{string} ({near['gap']:.2f} eV)" in figure.text
            paths = [path.get_attribute("d") for path in card.locator("path").all()]
            assert paths == content[string]


def first(figure) -> tuple[str, list[str]]:
    """The words of the first card, and its drawing."""
    card = figure.body.locator(".live-cards > div").first
    paths = [path.get_attribute("d") for path in card.locator("path").all()]
    return card.inner_text(), paths


def test_line_below_and_first_card_tell_what_is_known_of_the_string(figure):
    """Drawn here, of a set, or nothing known: a few points of each kind."""
    drawings = {string: paths for _, string, *paths in described("codes")["drawn"]}
    places = {string: i for i, string in drawn()}
    written = {string: row for string, *row in described("codes")["written"]}
    words = {"training": "of the training set", "kept": "that was kept from training"}
    seen = {"drawn": 0, "training": 0, "kept": 0, "unknown": 0}
    for z, string in zip(*on_a_grid(), strict=True):
        kind, *paths = written.get(string, ("unknown", "", ""))
        if string in drawings:
            kind, paths = "drawn", drawings[string]
            far = (codes()[places[string]] - z).norm()
        if seen[kind] == 5:
            continue
        found = figure.set(z1=z[0].item(), z2=z[1].item())
        if found["string"] != string:
            continue  # two tokens are within rounding
        seen[kind] += 1
        (card, shown), text = first(figure), figure.text
        assert f"write {string}, log p(x|z) = " in text and string in card
        assert shown == paths and ("no drawing" in card) == (kind == "unknown")
        if kind == "drawn":
            assert f"drawn here, whose own code lies {far:.2f} away." in text
        elif kind == "unknown":
            assert "whether it is a molecule, this page cannot know." in text
        else:
            assert f"it is a molecule {words[kind]}." in text
    assert min(seen.values()) > 0


def test_line_below_gives_code_and_gap(figure):
    found = figure.set(z1=0.5, z2=-1.25)
    text = figure.text.replace("\N{MINUS SIGN}", "-")
    assert text.startswith("z = (0.50, -1.25). ")
    spread = described("decoder")["gap"]["noise"]
    assert found["noise"] == spread and 0.2 < spread < 1
    assert f"Predicted gap: {found['gap']:.1f} ± {spread:.1f} eV." in text


def test_point_is_dragged_and_moved_by_keys_and_sliders(figure):
    pictures = [figure.picture(index) for index in range(3)]
    start = figure.on_plane([figure.state[key] for key in ("z1", "z2")], EDGE)
    figure.drag(start, figure.on_plane((-1.5, 0.75), EDGE))
    assert figure.numbers["z"] == pytest.approx([-1.5, 0.75], abs=0.03)
    for before, index in zip(pictures, range(3), strict=True):
        assert figure.picture(index) != before
    figure.set(z1=1.0, z2=-1.0)
    figure.canvas().focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "Shift+ArrowUp"):
        figure.page.keyboard.press(key)
    assert figure.numbers["z"] == pytest.approx([0.9, -0.45])
    assert figure.control(Z1).input_value() == "0.9"
    for name, value in ((Z1, "-2.5"), (Z2, "1.5")):
        figure.control(name).fill(value)
    assert figure.numbers["z"] == [-2.5, 1.5]
    check_row(figure.numbers)
    for _ in range(20):  # the plane has an end
        figure.canvas().press("Shift+ArrowLeft")
    assert figure.numbers["z"] == [-EDGE, 1.5]
    assert "molecule-search" in figure.page.url  # the keys have not turned the page
    assert figure.problems == []


def test_finger_moves_the_point(browser):
    context = browser.new_context(
        viewport={"width": 375, "height": 800}, has_touch=True
    )
    page = context.new_page()
    page.problems = []
    page.goto(PAGE.as_uri())
    figure = LiveFigure(page, NAME)
    figure.canvas().scroll_into_view_if_needed()
    across, down = figure.on_plane((-1.0, -1.0), EDGE)
    side = figure.canvas().bounding_box()["width"]
    figure.canvas().tap(position={"x": across * side, "y": down * side})
    assert figure.numbers["z"] == pytest.approx([-1.0, -1.0], abs=0.05)
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_stand_out_and_rise_in_lightness(theme, shared):
    """Who does not tell the hues still tells the gaps."""
    figure = shared()
    figure.switch(theme)
    figure.page.evaluate("() => new Promise(requestAnimationFrame)")
    colours = figure.canvas(2).evaluate("""canvas => {
        const context = canvas.getContext("2d"), w = canvas.width;
        const y = 26 * devicePixelRatio, of = v => context.getImageData(v, y, 1, 1);
        const shares = Array.from({length: 12}, (_, i) => (i + 0.5) / 12);
        const at = shares.map(s => 12 * devicePixelRatio + s * (w - 24));
        const probe = document.createElement("canvas").getContext("2d");
        probe.fillStyle = live.colours().paper;
        probe.fillRect(0, 0, 1, 1);
        const paper = probe.getImageData(0, 0, 1, 1);
        return [...at.map(of), paper].map(d => [...d.data.slice(0, 3)]);
    }""")
    figure.switch("light")
    channels = np.array(colours) / 255
    linear = np.where(
        channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
    )
    luminance = linear @ [0.2126, 0.7152, 0.0722] + 0.05
    ratio = luminance[:-1] / luminance[-1]
    assert np.maximum(ratio, 1 / ratio).min() > 3
    assert (np.diff(luminance[:-1]) > 0).all()


@pytest.mark.timed
def test_writing_and_drawing_take_less_than_a_frame(figure):
    times = figure.body.evaluate("""host => Array.from({length: 30}, (_, i) => {
        const start = performance.now();
        host.live.set({z1: i / 20});
        host.live.draw();
        return performance.now() - start;
    })""")
    assert np.median(times) < 16


def test_text_stands_without_scripts(browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(PAGE.as_uri())
    box = page.locator(f"#{NAME}")
    assert len(box.inner_text().split()) > 20 and box.locator("canvas").count() == 0
    context.close()
