"""The book's figures: tensors in, a matplotlib figure out; nothing trains or shows.

A figure comes back closed, so that a notebook displays it once, as its cell's value.
What a figure cannot show raises ValueError: pictures of another shape, values outside
of its range, NaN, counts that do not fit, more kinds than colours.
"""

import math
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from vae_lib.data import SHAPE
from vae_lib.domains import check_text, number, one_of, require, switch, whole
from vae_lib.drawable import (
    N_COLORS,
    TITLES,
    check_labels,
    check_rows,
    finite_numbers,
)
from vae_lib.style import styled
from vae_lib.tiles import check_pictures, greys, tile


@styled
def plot_images(
    images: Tensor,
    *,
    n_columns: int = 10,
    title: str = "",
    shape: tuple[int, int, int] = SHAPE,
    ink: bool = True,
) -> Figure:
    """A grid of images (n, D) in [0, 1], read row by row.

    shape is that of each, channels, height and width; MNIST's if it is not given. Grey
    is dark ink on white; without ink it is light, as in a photograph. Of RGB pictures
    ink says nothing.
    """
    check_text(title=title)
    n_columns = whole("n_columns", n_columns)
    picture = tile(images, shape, n_columns, padding=2, ink=ink)
    height, width = picture.shape[:2]
    fig, ax = plt.subplots(figsize=(6, 6 * height / width + 0.3 * bool(title)))
    ax.imshow(picture, cmap=greys(ink), vmin=0, vmax=1)
    ax.set_title(title)
    ax.axis("off")
    return fig


@styled
def plot_curves(
    x: Tensor,
    curves: dict[str, Tensor],
    *,
    xlabel: str,
    ylabel: str,
    errors: dict[str, Tensor] | None = None,
    log: str = "",
    markers: bool = False,
) -> Figure:
    """One to ten named curves over x (n,), each with its own colour and line style.

    errors gives half lengths of error bars by the curves' names, such as a standard
    error of each point; log names the logarithmic axes: "", "x", "y" or "xy". All
    numbers are finite, and on a logarithmic axis positive.
    """
    check_text(xlabel=xlabel, ylabel=ylabel)
    one_of("log", log, ("", "x", "y", "xy"))
    switch("markers", markers)
    few = isinstance(curves, dict) and 1 <= len(curves) <= N_COLORS
    require(few, f"a dict of 1 to {N_COLORS} curves by their names", curves)
    check_text(**{f"the name of curve {n}": name for n, name in enumerate(curves)})
    x = finite_numbers("x (n,)", x, positive="x" in log)
    fitting = f"({len(x)},), as x"
    curves = {
        name: finite_numbers(
            f"curve {name!r} {fitting}", y, len(x), positive="y" in log
        )
        for name, y in curves.items()
    }
    errors = {} if errors is None else errors
    known = isinstance(errors, dict) and errors.keys() <= curves.keys()
    require(known, f"errors by the names of curves, {', '.join(curves)}", errors)
    errors = {
        name: finite_numbers(f"errors >= 0 of {name!r} {fitting}", e, len(x), least=0)
        for name, e in errors.items()
    }
    fig, ax = plt.subplots(figsize=(6, 3.6))
    looks = zip(("-", "--", "-.", ":") * 3, "osD^" * 3, strict=True)
    for (name, y), (line, marker) in zip(curves.items(), looks, strict=False):
        error = errors.get(name)
        marker = marker if markers else ""
        look: dict[str, Any] = {
            "linestyle": line,
            "marker": marker,
            "markersize": 5,
            "label": name,
        }
        ax.errorbar(x, y, error, capsize=3, **look)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set(xscale="log" if "x" in log else "linear")
    ax.set(yscale="log" if "y" in log else "linear")
    if len(curves) > 1:
        ax.legend()
    return fig


@styled
def plot_history(rows: list[dict]) -> Figure:
    """ELBO and its two terms by epoch, in nats, from the rows of a TrainingHistory."""
    check_rows(rows)
    epochs = [row["epoch"] for row in rows]
    fig, axes = plt.subplots(1, 3, figsize=(9, 2.9))
    for ax, (key, title) in zip(axes, TITLES.items(), strict=True):
        ax.plot(epochs, [row[key] for row in rows], ".-", label="training")
        valid = [(r["epoch"], r[f"valid_{key}"]) for r in rows if f"valid_{key}" in r]
        if valid:
            ax.plot(*zip(*valid, strict=True), "x--", label="validation")
        ax.set(title=title, xlabel="epoch", ylabel="nats per image")
    axes[0].legend()
    return fig


@styled
def plot_latent(z: Tensor, labels: Tensor, *, limit: float | None = None) -> Figure:
    """Codes (N, 2) by label, and circles that hold 50, 90 and 99 % of N(0, I).

    labels are whole numbers (N,), of at most ten kinds; limit is half the side of the
    square that is shown, all of the codes without it.
    """
    z = finite_numbers("codes z (N, 2)", z, width=2)
    labels = check_labels(labels, len(z))
    if limit is not None:
        limit = number("limit", limit, above=0, or_else="None")
    limit = limit or 1.05 * float(z.abs().max()) or 1.0
    fig, ax = plt.subplots(figsize=(6, 5.4))
    placed = torch.full_like(z[:1], 100 * limit)  # where labels stand; none yet
    for label in labels.unique().tolist():
        points = z[labels == label]
        ax.scatter(
            points[:, 0], points[:, 1], s=4, alpha=0.7, linewidths=0, label=label
        )
        # The number tells the classes apart without colours: it stands on the point
        # nearest to the median that no earlier number covers.
        covered = torch.cdist(points, placed).amin(1) < 0.12 * limit
        distance = (points - points.median(0).values).norm(dim=1)
        distance += 100 * limit * covered
        placed = torch.cat([placed, points[distance.argmin()][None]])
        box = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.5}
        z1, z2 = placed[-1]
        ax.text(z1, z2, str(label), weight="bold", ha="center", bbox=box)
    for mass in (0.5, 0.9, 0.99):
        # |z|^2 / 2 of a 2-D standard normal is exponential with rate 1.
        radius = math.sqrt(-2 * math.log(1 - mass))
        ax.add_patch(Circle((0, 0), radius, fill=False, linestyle="--"))
        ax.annotate(f"{mass:.0%}", (0, radius), ha="center", va="bottom", fontsize=8)
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    ax.set(xlabel="$z_1$", ylabel="$z_2$")
    fig.legend(title="digit", markerscale=4, loc="outside right center")
    return fig


@styled
def plot_latent_grid(
    images: Tensor,
    ticks: Tensor,
    *,
    title: str = "",
    shape: tuple[int, int, int] = SHAPE,
    ink: bool = True,
) -> Figure:
    """Images (n * n, D) decoded on an n x n grid of codes, laid out as in the plane.

    The images come with z2 rising row by row and z1 within a row, both through ticks
    (n,); they are drawn with z1 to the right and z2 upwards. shape and ink are those of
    ``plot_images``.
    """
    check_text(title=title)
    ticks = finite_numbers("ticks (n,)", ticks)
    n = len(ticks)
    check_pictures(images, shape, n * n)
    rows = images.reshape(n, n, -1).flip(0).flatten(0, 1)  # largest z2 at the top
    fig, ax = plt.subplots(figsize=(5, 5))
    picture = tile(rows, shape, n, padding=0, ink=ink)
    ax.imshow(picture, cmap=greys(ink), vmin=0, vmax=1, extent=(0, n, 0, n))
    shown = torch.linspace(0, n - 1, 5).round().long()
    names = [f"{tick:.1f}" for tick in ticks[shown]]
    ax.set_xticks(shown + 0.5, names)
    ax.set_yticks(shown + 0.5, names)
    ax.set(xlabel="$z_1$", ylabel="$z_2$", title=title)
    return fig
