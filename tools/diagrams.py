"""Draw the pages' figures into book/_static, each from one function below.

python tools/diagrams.py
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from vae_lib.checkpoints import load_pretrained

STATIC = Path(__file__).resolve().parent.parent / "book" / "_static"

KL = r"$D_{\mathrm{KL}}(q_\phi(z\,|\,x)\,\Vert\,p(z))$"
LOG_P = r"$-\log\,p_\theta(x\,|\,z)$"
INK, BLUE, RED = "#22303c", "#1f6fb4", "#c4302b"
STYLE = {
    "figure.facecolor": "white",  # opaque: legible on a dark page
    "font.size": 13,
    "mathtext.fontset": "cm",
    "svg.fonttype": "path",
    "svg.hashsalt": "the book's diagrams",
}


def vae_architecture() -> Figure:
    """Chapter 7: a VAE in training, noise in red, the loss layer in blue."""
    fig, ax = plt.subplots(figsize=(9.6, 3.5))
    fig.subplots_adjust(0, 0, 1, 1)
    ax.set(xlim=(0, 96), ylim=(0, 35))
    ax.axis("off")
    _text_box(ax, 6, 20, "$x$", rounded=True)
    _text_box(ax, 22, 20, "encoder", width=13, height=9)
    _text_box(ax, 38.5, 20, "$\\mu$\n\n$\\log\\,\\sigma^2$", height=11, rounded=True)
    _text_box(ax, 56, 20, r"$z=\mu+\sigma\odot\epsilon$", width=16, rounded=True)
    _text_box(ax, 56, 31.5, r"$\epsilon$", color=RED, width=6, rounded=True)
    ax.text(60, 31.5, r"$\sim\,\mathcal{N}(0,I)$", color=RED, va="center")
    _text_box(ax, 73.5, 20, "decoder", width=13, height=9)
    _text_box(ax, 89.5, 20, r"$f_\theta(z)$", rounded=True)
    _text_box(ax, 38.5, 4, KL, color=BLUE, width=24, height=6)
    _text_box(
        ax, 83.5, 4, r"$-\log\,p_\theta(x\,|\,z)$", color=BLUE, width=20, height=6
    )
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


def _text_box(
    ax: Axes,
    x: float,
    y: float,
    text: str,
    *,
    width: float = 8.5,
    height: float = 5.2,
    color: str = INK,
    rounded: bool = False,
) -> None:
    """A box centred at (x, y): rounded for vectors, square for networks and losses."""
    shape = "round,pad=0,rounding_size=2" if rounded else "square,pad=0"
    box = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle=shape,
        facecolor="white",
        edgecolor=color,
        linewidth=1.5,
        zorder=2,
    )
    ax.add_patch(box)
    ax.text(x, y, text, color=color, ha="center", va="center", zorder=3)


def _arrow(ax: Axes, start: tuple, end: tuple, *, color: str = INK) -> None:
    style = {"arrowstyle": "-|>", "color": color, "linewidth": 1.2, "shrinkA": 0}
    ax.annotate("", end, start, arrowprops=style | {"shrinkB": 0})


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


FIGURES = {"vae-architecture.svg": vae_architecture, "cover.png": cover}


def draw(folder: Path = STATIC) -> None:
    """Write every figure into this folder."""
    for name, figure in FIGURES.items():
        with plt.rc_context(STYLE):
            fig = figure()
            # Without stamps a file depends on this code alone.
            stamps = ("Date", "Creator") if name.endswith("svg") else ("Software",)
            fig.savefig(folder / name, metadata=dict.fromkeys(stamps))
        plt.close(fig)


if __name__ == "__main__":
    sys.exit(draw())
