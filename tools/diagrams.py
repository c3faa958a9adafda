"""Draw the pages' figures into book/_static, each from one function below.

    python -m tools.diagrams [NAME ...]     concept-map.svg, say; default: all

The words that describe the concept map are written into the index, too.
"""

import argparse
import math
import re
import sys
import textwrap
from collections.abc import Iterable
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse, FancyBboxPatch, Polygon, Rectangle
from PIL import Image
from torch import Tensor
from torch.distributions import Normal

from tools.book import BOOK, STATIC, chapter_pages, map_in_words, needs, parts, reduced
from tools.book import title as numbered_title
from vae_lib.checkpoints import load_pretrained
from vae_lib.distributions import gaussian_kl

KL = r"$D_{\mathrm{KL}}(q_\phi(z\,|\,x)\,\Vert\,p(z))$"
GAP = r"$D_{\mathrm{KL}}(q\,\Vert\,p_\theta(z\,|\,x))$"
LOG_P = r"$-\log\,p_\theta(x\,|\,z)$"
INK, BLUE, RED = "#22303c", "#1f6fb4", "#c4302b"
TEAL, AMBER = "#14808d", "#e0861a"  # the site's two accents
STYLE = {
    "figure.facecolor": "white",  # opaque: legible on a dark page
    "font.size": 13,
    "mathtext.fontset": "cm",
    "svg.fonttype": "path",
    "svg.hashsalt": "the book's diagrams",
}


def graphical_model() -> Figure:
    """Chapter 1: what generates what (solid), and what infers what (dashed)."""
    fig, ax = _canvas(4.6, 3.4)
    ax.add_patch(Rectangle((14, 3), 18, 28, facecolor="white", edgecolor=INK))
    ax.text(30.5, 4.2, "$N$", ha="center")
    for x, y, name, fill in ((23, 25, "$z$", "white"), (23, 10, "$x$", "#d8dee4")):
        ax.add_patch(Circle((x, y), 3, facecolor=fill, edgecolor=INK, linewidth=1.5))
        ax.text(x, y, name, ha="center", va="center", fontsize=16)
    ax.text(40.5, 10, r"$\theta$", ha="center", va="center", fontsize=16)
    ax.text(5.5, 25, r"$\phi$", ha="center", va="center", fontsize=16)
    _arrow(ax, (24.2, 22.1), (24.2, 12.9))
    _arrow(ax, (38.7, 10), (26.2, 10))
    _arrow(ax, (21.8, 12.9), (21.8, 22.1), color=RED, dashed=True)
    _arrow(ax, (7.3, 25), (19.8, 25), color=RED, dashed=True)
    ax.text(25, 17.5, "$p_\\theta(x|z)$", va="center", fontsize=11)
    ax.text(21, 17.5, "$q_\\phi(z|x)$", ha="right", va="center", fontsize=11, color=RED)
    ax.text(23, 29.2, "$p(z)$", ha="center", va="center", fontsize=11)
    return fig


def kl_fits() -> Figure:
    """Chapter 2: one Gaussian fitted to two humps, by either divergence."""
    z = torch.linspace(-6, 6, 601, dtype=torch.float64)
    fig, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    target = two_humps(z)
    ax.fill_between(z, target, color="#d8dee4", label="target: two humps")
    seeks, covers = reverse_and_forward_fits()
    ax.plot(z, covers.log_prob(z).exp(), "--", color=BLUE, label="forward fit")
    ax.plot(z, seeks.log_prob(z).exp(), "-", color=RED, label="reverse fit")
    ax.set(xlabel="$z$", ylabel="density", ylim=(0, None), xlim=(-6, 6))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=11)
    return fig


def two_humps(z: Tensor) -> Tensor:
    """Density of the mixture 0.5 N(-2, 0.6^2) + 0.5 N(2, 0.6^2)."""
    return 0.5 * sum(Normal(mean, 0.6).log_prob(z).exp() for mean in (-2.0, 2.0))


def reverse_and_forward_fits() -> tuple[Normal, Normal]:
    """The Gaussians nearest to the two humps: KL(q || p) near 2, and KL(p || q)."""
    z = torch.linspace(-12, 12, 4801, dtype=torch.float64)
    mu = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    logvar = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([mu, logvar], max_iter=100, tolerance_grad=1e-10)

    def reverse_kl() -> Tensor:
        optimizer.zero_grad()
        log_q = Normal(mu, (0.5 * logvar).exp()).log_prob(z)
        kl = torch.trapezoid(log_q.exp() * (log_q - two_humps(z).log()), z)
        kl.backward()
        return kl

    optimizer.step(reverse_kl)
    std = (0.5 * logvar).exp().item()
    return Normal(mu.item(), std), Normal(0.0, (4 + 0.6**2) ** 0.5)


def elbo_gap() -> Figure:
    """Chapter 3: the same evidence, cut in two at different heights."""
    fig, ax = _canvas(7.4, 3.3)
    ax.plot((12, 72), (30, 30), color=INK, linewidth=1.2, linestyle=":")
    ax.text(11, 30, r"$\log\,p_\theta(x)$", ha="right", va="center")
    captions = ("$q$ far from\nthe posterior", "$q$ nearer to it", "$q$ equal to it")
    for x, height, caption in zip((18, 42, 66), (13, 22, 30), captions, strict=True):
        bar = {"width": 8, "linewidth": 1.2}
        look = bar | {"facecolor": "white", "edgecolor": INK}
        ax.add_patch(Rectangle((x - 4, 7), height=height - 7, **look))
        ax.text(x, (7 + height) / 2, r"$\mathcal{L}$", ha="center", va="center")
        ax.text(x, 5.8, caption, ha="center", va="top", fontsize=11)
        if height < 30:
            look = bar | {"facecolor": "#f6d5d3", "edgecolor": RED, "hatch": "//"}
            ax.add_patch(Rectangle((x - 4, height), height=30 - height, **look))
            middle = (30 + height) / 2
            ax.text(x + 4.6, middle, GAP, color=RED, va="center", fontsize=11)
    return fig


def gaussian_kl_price() -> Figure:
    """Chapter 4: what one latent dimension costs, by sigma and by mu and sigma."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.9))
    fig.subplots_adjust(0.075, 0.17, 0.985, 0.97, wspace=0.28)
    ticks = (0.05, 0.1, 0.2, 0.5, 1, 2)

    std = torch.logspace(-1.5, 0.5, 201)
    price = gaussian_kl(torch.zeros(201, 1), 2 * std.log()[:, None])
    narrow = std < 0.75
    left.plot(std, price, color=BLUE)
    line = -std[narrow].log() - 0.5
    left.plot(std[narrow], line, color=INK, linestyle="--", linewidth=1.2)
    tenth = float(gaussian_kl(torch.zeros(1), torch.tensor([0.01]).log()))
    left.plot(0.1, tenth, "o", color=RED)
    look = {"textcoords": "offset points", "color": RED}
    left.annotate(f"{tenth:.2f}", (0.1, tenth), (8, 4), **look)
    left.set(xlabel=r"$\sigma$", ylabel=r"nats, at $\mu=0$", xscale="log")
    left.set(ylim=(-0.25, 3.2))

    mu, log_std = torch.meshgrid(
        torch.linspace(-2.8, 2.8, 141), torch.linspace(-3.7, 1.15, 141), indexing="xy"
    )
    price = gaussian_kl(mu[..., None], 2 * log_std[..., None])
    levels = (0.1, 0.5, 1, 2, 3)
    lines = right.contour(mu, log_std.exp(), price, levels, colors=BLUE, linewidths=1.4)
    spots = [(0.2, 0.8), (0.72, 0.65), (1.0, 0.5), (1.35, 0.3), (1.65, 0.15)]
    right.clabel(lines, fmt="%g", fontsize=11, manual=spots)
    right.plot(0, 1, "x", color=RED, markersize=8, markeredgewidth=2)
    right.set(xlabel=r"$\mu$", ylabel=r"$\sigma$", yscale="log")

    for ax, axis in ((left, left.xaxis), (right, right.yaxis)):
        axis.set_major_locator(plt.FixedLocator(ticks))
        axis.set_major_formatter(plt.FixedFormatter([f"{tick:g}" for tick in ticks]))
        axis.set_minor_locator(plt.NullLocator())
        ax.spines[["top", "right"]].set_visible(False)
    return fig


def reparameterization() -> Figure:
    """Chapter 5: a training step before (a) and after (b) the trick."""
    fig, ax = _canvas(9.6, 6.2)
    for top, after in ((62, False), (31, True)):
        _training_step(ax, top, after)
    ax.text(2, 61, "(a) the sample is a node of its own", va="top")
    ax.text(2, 30, "(b) the noise comes from the side", va="top")
    return fig


def _training_step(ax: Axes, top: float, after: bool) -> None:
    """Encoder to loss; the gradient's way back is drawn below as far as it gets."""
    y = top - 14
    _text_box(ax, 6, y, "$x$", rounded=True)
    _text_box(ax, 21, y, "encoder", width=12, height=8)
    _text_box(ax, 37, y, "$\\mu,\\;\\sigma$", width=9, rounded=True)
    if after:
        _text_box(ax, 55, y, r"$z=\mu+\sigma\odot\epsilon$", width=16, rounded=True)
        _text_box(ax, 55, y + 10, "sample $\\epsilon$", color=RED, width=14)
        ax.text(63, y + 10, r"$\sim\,\mathcal{N}(0,I)$", color=RED, va="center")
        _arrow(ax, (55, y + 7.2), (55, y + 2.9), color=RED)
    else:
        _text_box(ax, 55, y, "sample $z$", color=RED, width=16)
        ax.text(
            55,
            y + 5,
            r"$\sim\,\mathcal{N}(\mu,\mathrm{diag}\,\sigma^2)$",
            color=RED,
            ha="center",
        )
    _text_box(ax, 74, y, "decoder", width=12, height=8)
    _text_box(ax, 90, y, r"$f_\theta(z)$", rounded=True)
    for start, end in (
        (10.4, 14.8),
        (27.2, 32.3),
        (41.7, 46.8),
        (63.2, 67.8),
        (80.2, 85.5),
    ):
        _arrow(ax, (start, y), (end, y))
    _text_box(ax, 37, y - 12, KL, color=BLUE, width=24, height=6)
    _text_box(ax, 84, y - 12, LOG_P, color=BLUE, width=20, height=6)
    ax.text(60.5, y - 12, "+", color=BLUE, ha="center", va="center", fontsize=18)
    _arrow(ax, (37, y - 2.7), (37, y - 8.8), color=BLUE)
    _arrow(ax, (90, y - 2.7), (90, y - 8.8), color=BLUE)
    back = {"color": INK, "dashed": True}
    _arrow(ax, (86, y - 7), (63, y - 7), **back)
    ax.text(74, y - 6.3, "gradient", ha="center", va="bottom", fontsize=11)
    if after:
        _arrow(ax, (61, y - 7), (43, y - 7), **back)
        _arrow(ax, (34, y - 7), (19, y - 7), **back)
    else:
        ax.text(
            61, y - 7, r"$\times$", ha="center", va="center", color=RED, fontsize=20
        )


def autoencoder() -> Figure:
    """Chapter 6: an auto-encoder in training; nothing in it is random."""
    fig, ax = _canvas(9.6, 2.9)
    _text_box(ax, 8, 20, "$x$", rounded=True)
    _text_box(ax, 27, 20, "encoder", width=13, height=9)
    _text_box(ax, 48, 20, r"$z=\mu_\phi(x)$", width=13, rounded=True)
    _text_box(ax, 69, 20, "decoder", width=13, height=9)
    _text_box(ax, 88, 20, r"$f_\theta(z)$", rounded=True)
    _text_box(ax, 80, 4, LOG_P, color=BLUE, width=24, height=6)
    ax.text(8, 25.5, "$D$ pixels", ha="center", fontsize=11)
    ax.text(48, 25.5, "$J$ numbers", ha="center", fontsize=11)
    ax.text(88, 25.5, "$D$ parameters", ha="center", fontsize=11)
    for start, end in ((12.4, 20.2), (33.7, 41.2), (54.7, 62.2), (75.7, 83.5)):
        _arrow(ax, (start, 20), (end, 20))
    _arrow(ax, (88, 17.2), (88, 7.3), color=BLUE)
    ax.plot((8, 8, 72, 72), (17.3, 11, 11, 9), color=BLUE, linewidth=1.2)
    _arrow(ax, (72, 9), (72, 7.3), color=BLUE)
    return fig


def vae_architecture() -> Figure:
    """Chapter 7: a VAE in training, noise in red, the loss layer in blue."""
    fig, ax = _canvas(9.6, 3.5)
    _text_box(ax, 6, 20, "$x$", rounded=True)
    _text_box(ax, 22, 20, "encoder", width=13, height=9)
    _text_box(ax, 38.5, 20, "$\\mu$\n\n$\\log\\,\\sigma^2$", height=11, rounded=True)
    _text_box(ax, 56, 20, r"$z=\mu+\sigma\odot\epsilon$", width=16, rounded=True)
    _text_box(ax, 56, 31.5, r"$\epsilon$", color=RED, width=6, rounded=True)
    ax.text(60, 31.5, r"$\sim\,\mathcal{N}(0,I)$", color=RED, va="center")
    _text_box(ax, 73.5, 20, "decoder", width=13, height=9)
    _text_box(ax, 89.5, 20, r"$f_\theta(z)$", rounded=True)
    _text_box(ax, 38.5, 4, KL, color=BLUE, width=24, height=6)
    _text_box(ax, 83.5, 4, LOG_P, color=BLUE, width=20, height=6)
    ax.text(62, 4, "+", color=BLUE, ha="center", va="center", fontsize=18)
    _arrow(ax, (10.4, 20), (15.2, 20))
    _arrow(ax, (28.7, 20), (34, 20))
    _arrow(ax, (43, 20), (47.7, 20))
    _arrow(ax, (56, 28.8), (56, 22.9), color=RED)
    _arrow(ax, (64.2, 20), (66.7, 20))
    _arrow(ax, (80.2, 20), (85, 20))
    _arrow(ax, (38.5, 14.3), (38.5, 7.3), color=BLUE)
    _arrow(ax, (89.5, 17.2), (89.5, 7.3), color=BLUE)
    ax.plot((6, 6, 77.5, 77.5), (17.3, 11, 11, 9), color=BLUE, linewidth=1.2)
    _arrow(ax, (77.5, 9), (77.5, 7.3), color=BLUE)
    return fig


def vae_gradient() -> Figure:
    """The gradient by hand: the same boxes from right to left, with what passes."""
    fig, ax = _canvas(9.6, 3.0)
    _text_box(ax, 6, 17, r"$\partial W,\,\partial b$", width=10, color=TEAL)
    _text_box(ax, 22, 17, "encoder", width=13, height=9)
    _text_box(ax, 39.5, 17, "$g_\\mu$\n\n$g_{\\log\\sigma^2}$", height=11, rounded=True)
    _text_box(ax, 56, 17, "$g_z$", rounded=True)
    _text_box(ax, 72, 17, "decoder", width=13, height=9)
    _text_box(ax, 89, 17, r"$(\pi-x)/B$", width=12, rounded=True)
    _text_box(ax, 72, 4, r"$\partial W,\,\partial b$", width=10, color=TEAL)
    _text_box(ax, 39.5, 3.6, KL, color=BLUE, width=24, height=6)
    ax.text(48, 22, r"$1$", ha="center", va="center")
    ax.text(48.4, 11.4, r"$\frac{1}{2}\sigma\epsilon$", ha="center", va="center")
    _arrow(ax, (51.6, 18), (44, 20.2))
    _arrow(ax, (51.6, 16), (44, 13.8))
    for start, end in ((83, 78.7), (65.3, 60.4), (35, 28.7)):
        _arrow(ax, (start, 17), (end, 17))
    _arrow(ax, (15.3, 17), (11.2, 17), color=TEAL)
    _arrow(ax, (72, 12.3), (72, 6.8), color=TEAL)
    _arrow(ax, (39.5, 6.8), (39.5, 11.3), color=BLUE)
    return fig


def string_decoders() -> Figure:
    """Chapter 13: tokens that know the code alone, and such as know those before."""
    fig, ax = _canvas(10.4, 3.6)
    for left, title in ((0, "parallel"), (54, "autoregressive")):
        ax.text(left + 25, 34.5, title, ha="center", va="center", fontsize=14)
        _text_box(ax, left + 25, 27, "$z$", rounded=True)
        for place, token in enumerate(("C", "O", "C", "end")):
            x = left + 7 + 12 * place
            _text_box(ax, x, 8, token, width=8, height=6, rounded=True)
            _arrow(ax, (left + 25 + 0.25 * (x - left - 25), 24), (x, 11.3))
            if left and place:
                _arrow(ax, (x - 7.8, 8), (x - 4.2, 8), color=RED)
    ax.text(79, 2.2, "each sees all tokens before it", color=RED, ha="center")
    return fig


# The chapters on the concept map: what stands in the box, and where its centre is.
# A chapter that has no place here stands in a column at the right.
CHAPTERS = {
    1: ("Latent\nvariables", 16, 60),
    2: ("KL\ndivergence", 44, 60),
    3: ("Evidence\nlower bound", 16, 46),
    4: ("Gaussian KL\ndivergence", 44, 46),
    5: ("Reparame-\nterization", 44, 32),
    6: ("Auto-\nencoders", 16, 32),
    7: ("Variational\nauto-encoder", 36, 18),
    8: ("Likelihoods", 18.5, 4.5),
    9: ("Evaluation", 30, 4.5),
    10: ("Latent\ndimensions", 41.5, 4.5),
    11: ("Applications", 7, 4.5),
    12: ("Scaling up", 53, 4.5),
}
ROWS = 5  # of the column at the right; a sixth chapter begins another one
# One for each part of the book, and again from the first.
FILLS = ("#dbe9f6", "#fbe3cf", "#dcefdc", "#e9e0f2", "#f6d9de", "#e6e4cf")


def ring() -> Figure:
    """Chapter 12: what four processes of a ring hold, and send, at three moments."""
    fig, ax = _canvas(9.6, 3.7)
    moments = {0: "round 1", 3: "after 3 rounds: round 4", 6: "after 6 rounds"}
    for x, (turn, title) in zip((16, 48, 80), moments.items(), strict=True):
        ax.text(x, 0.5, title, ha="center", fontsize=12)
        for w in range(4):
            _pieces(ax, x, w, summands(turn)[w])
            if turn < 6:
                _passed_on(ax, x, w, "abcd"[(w - turn) % 4])
    return fig


def summands(rounds: int, n: int = 4) -> list[list[int]]:
    """How many summands each piece has, by process, after these rounds of a ring."""
    held = [[1] * n for _ in range(n)]
    for turn in range(rounds):
        post = [held[w][(w - turn) % n] for w in range(n)]
        for w, message in enumerate(post):
            right, k = held[(w + 1) % n], (w - turn) % n
            right[k] = right[k] + message if turn < n - 1 else message
    return held


def _place(x: float, turns: float, size: float = 1) -> tuple[float, float]:
    """A point of the ring around x, clockwise from the top in quarters of a turn."""
    angle = math.pi / 2 * turns
    return x + 10 * size * math.sin(angle), 20 + 11 * size * math.cos(angle)


def _pieces(ax: Axes, x: float, process: int, counts: list[int]) -> None:
    """Four squares for the pieces of a process, darker with each summand."""
    x, y = _place(x, process)
    shades = {1: "white", 2: "#d5e8ea", 3: "#9ccbd0", 4: "#3fa3ad"}
    for k, count in enumerate(counts):
        look = {"width": 2.4, "height": 3, "fontsize": 11, "fill": shades[count]}
        _text_box(ax, x + 2.4 * (k - 1.5), y, "abcd"[k], **look)
    below = process == 2  # where no arrow comes in
    name = {"ha": "center", "va": "top" if below else "bottom", "fontsize": 10}
    ax.text(x, y - 2.2 if below else y + 2, f"process {process}", **name)


def _passed_on(ax: Axes, x: float, process: int, piece: str) -> None:
    """An arrow from a process to its right neighbour, and the piece on its way."""
    _arrow(ax, _place(x, process + 0.38), _place(x, process + 0.62), color=RED)
    look = {"color": RED, "ha": "center", "va": "center"}
    ax.text(*_place(x, process + 0.5, 1.25), piece, **look)


def concept_map() -> Figure:
    """The index: the chapters, and which ones each of them needs."""
    places = CHAPTERS | places_at_the_right()
    n_new = len(places) - len(CHAPTERS)
    n_columns = max(-(-n_new // ROWS), len(parts()) > 4)  # the key needs one, too
    fig, ax = _canvas(6 + 2 * n_columns, 6.9)
    for chapter, needed in reduced(needs()).items():
        _, x, y = places[chapter]
        for other in needed:
            _, start, top = places[other]
            # An arrow ends on the side of the box that it comes from.
            if chapter in CHAPTERS:
                end = x + (start - x) * 0.12
                _arrow(ax, (start + (x - start) * 0.12, top - 4), (end, y + 4))
            elif start < x:  # from the lowest row past its neighbours
                side = (start, top + 4) if top < 10 else (start + 5.5, top)
                _arrow(ax, side, (x - 5.5, y))
            else:  # around the boxes between
                _arrow(ax, (start + 5.5, top), (x + 5.5, y), bend=-0.3)
    for (part, chapters), fill in zip(parts().items(), cycle(FILLS), strict=False):
        for chapter in chapters:
            name, x, y = places[chapter]
            text = f"{chapter}\n{name}"
            _text_box(ax, x, y, text, width=11, height=8, fill=fill, fontsize=10)
        column, row = divmod(list(parts()).index(part), 2)
        place = (10.5 + 28 * column, 67.2 - 1.9 * row)
        ax.add_patch(Rectangle(place, 1.4, 1.2, facecolor=fill, edgecolor=INK))
        ax.text(place[0] + 2.2, place[1], part, va="bottom", fontsize=9)
    return fig


def places_at_the_right() -> dict[int, tuple[str, float, float]]:
    """Boxes as in CHAPTERS for the chapters that are not there."""
    stems = {int(page.stem[:2]): page.stem for page in chapter_pages()}
    found = {}
    new = sorted(set(stems) - set(CHAPTERS))
    for i, chapter in enumerate(new):
        words = numbered_title(stems[chapter]).partition(" ")[2]
        name = "\n".join(textwrap.wrap(words, 13, max_lines=2, placeholder=" …"))
        column, row = divmod(i, ROWS)
        height = min(ROWS, len(new) - ROWS * column)  # it stands level with chapter 7
        found[chapter] = (name, 68 + 20 * column, 18 + 10.5 * (height - 1 - row))
    return found


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty drawing, ten units to the inch."""
    fig, ax = plt.subplots(figsize=(width, height))
    fig.subplots_adjust(0, 0, 1, 1)
    ax.set(xlim=(0, 10 * width), ylim=(0, 10 * height))
    ax.axis("off")
    return fig, ax


def _text_box(
    ax: Axes,
    x: float,
    y: float,
    text: str,
    *,
    width: float = 8.5,
    height: float = 5.2,
    color: str = INK,
    fill: str = "white",
    fontsize: float | None = None,
    rounded: bool = False,
) -> None:
    """A box centred at (x, y): rounded for vectors, square for networks and losses."""
    shape = "round,pad=0,rounding_size=2" if rounded else "square,pad=0"
    box = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle=shape,
        facecolor=fill,
        edgecolor=color,
        linewidth=1.5,
        zorder=2,
    )
    ax.add_patch(box)
    look = {"color": color, "fontsize": fontsize, "zorder": 3}
    ax.text(x, y, text, ha="center", va="center", **look)


def _arrow(
    ax: Axes,
    start: tuple,
    end: tuple,
    *,
    color: str = INK,
    dashed: bool = False,
    bend: float = 0,
) -> None:
    style = {"arrowstyle": "-|>", "color": color, "linewidth": 1.2, "shrinkA": 0}
    style |= {"shrinkB": 0, "linestyle": "--" if dashed else "-"}
    style |= {"connectionstyle": f"arc3,rad={bend}"} if bend else {}
    ax.annotate("", end, start, arrowprops=style)


def logo() -> Figure:
    """The book's mark: encoder, cloud of codes, decoder; legible on light and dark."""
    fig, ax = _canvas(1.8, 1.8)
    fig.set_facecolor("none")
    for side in (-1, 1):
        funnel = [(8.7, 7.5), (8.7, -7.5), (3.6, -3), (3.6, 3)]
        corners = [(9 + side * x, 9 + y) for x, y in funnel]
        ax.add_patch(Polygon(corners, color=TEAL, linewidth=0))
    for radius, strength in ((1, 0.3), (0.66, 0.55), (0.33, 1)):
        cloud = {"width": 6.3 * radius, "height": 17.1 * radius, "linewidth": 0}
        ax.add_patch(Ellipse((9, 9), color=AMBER, alpha=strength, **cloud))
    return fig


def cover() -> Figure:
    """The index: digits decoded on a grid of equal prior probability."""
    ticks = torch.special.ndtri((torch.arange(20) + 0.5) / 20)
    z2, z1 = torch.meshgrid(ticks.flip(0), ticks, indexing="ij")  # large z2 on top
    images = load_pretrained("mnist-2d").mean_image(torch.stack([z1, z2], -1))
    picture = images.reshape(20, 20, 28, 28).transpose(1, 2).reshape(560, 560).numpy()
    fig, ax = plt.subplots(figsize=(5.6, 5.6))
    fig.subplots_adjust(0, 0, 1, 1)
    ax.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
    ax.axis("off")
    return fig


FIGURES = {
    "graphical-model.svg": graphical_model,
    "kl-fits.svg": kl_fits,
    "elbo-gap.svg": elbo_gap,
    "gaussian-kl.svg": gaussian_kl_price,
    "reparameterization.svg": reparameterization,
    "autoencoder.svg": autoencoder,
    "vae-architecture.svg": vae_architecture,
    "vae-gradient.svg": vae_gradient,
    "string-decoders.svg": string_decoders,
    "ring.svg": ring,
    "logo.svg": logo,
    "favicon.png": logo,  # for tabs and cards that show no SVG
    "concept-map.svg": concept_map,
    "cover.png": cover,
}


def draw(folder: Path = STATIC, names: Iterable[str] = FIGURES) -> None:
    """Write the figures of these names into this folder."""
    for name in names:
        with plt.rc_context(STYLE):
            fig = FIGURES[name]()
            # Without stamps a file depends on this code alone.
            stamps = ("Date", "Creator") if name.endswith("svg") else ("Software",)
            fig.savefig(folder / name, metadata=dict.fromkeys(stamps))
        plt.close(fig)
        if name == "cover.png":
            few_greys(folder / name)


def few_greys(path: Path) -> None:
    """Save the picture in 32 greys: the index loads in a third of the bytes."""
    picture = Image.open(path).convert("L").quantize(32)
    picture.save(path, optimize=True)


def describe() -> None:
    """Say on the index what the concept map shows."""
    index = BOOK / "index.md"
    alt = r"(_static/concept-map\.svg\n(?::.*\n)*?:alt: ).*"
    text, words = index.read_text("utf-8"), map_in_words()
    index.write_text(re.sub(alt, lambda found: found[1] + words, text), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FIGURES))
    names = parser.parse_args().names
    if unknown := set(names) - set(FIGURES):
        known = ", ".join(FIGURES)
        parser.error(f"expected names among {known}, got {unknown.pop()!r}")
    draw(names=names or FIGURES)
    describe()


if __name__ == "__main__":
    sys.exit(main())
