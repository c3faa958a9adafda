"""Figures: opaque, labelled, closed, and drawn from the numbers that came in."""

import io
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from vae_lib import plots

KEYS = ("elbo", "log_p_x_given_z", "kl")
ROWS = [
    {"epoch": e, "elbo": e - 9.0, "log_p_x_given_z": -6.0, "kl": 3 - e} for e in (1, 2)
]
VALID = [row | {f"valid_{key}": 2 * row[key] for key in KEYS} for row in ROWS]
SHADES = (torch.arange(9) / 9)[:, None].expand(9, 784)  # each of one grey level
CODES, LABELS = torch.randn(40, 2), torch.arange(40) % 3
FIGURES = {
    "images": lambda: plots.plot_images(SHADES[:5], n_columns=3, title="five"),
    "image": lambda: plots.plot_images(SHADES[:1]),
    "curves": lambda: plots.plot_curves(
        torch.arange(1, 4), {"a": torch.ones(3)}, xlabel="x", ylabel="nats", log="xy"
    ),
    "history": lambda: plots.plot_history(ROWS),
    "latent": lambda: plots.plot_latent(CODES, LABELS),
    "grid": lambda: plots.plot_latent_grid(SHADES, torch.linspace(-2, 2, 3)),
    "cell": lambda: plots.plot_latent_grid(SHADES[:1], torch.zeros(1)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_opaque_labelled_and_closed(name):
    plt.close("all")
    with plt.style.context("dark_background"):
        figure = FIGURES[name]()
    assert isinstance(figure, plt.Figure) and plt.get_fignums() == []
    for ax in figure.axes:
        labels = (ax.get_xlabel(), ax.get_ylabel())
        assert all(labels) if ax.axison else not any(labels)
    file = io.BytesIO()
    figure.savefig(file, dpi=30)
    file.seek(0)
    corners = plt.imread(file)[[0, 0, -1, -1], [0, -1, 0, -1]]  # RGBA
    assert (corners == 1).all() and figure.get_facecolor() == (1, 1, 1, 1)


@pytest.mark.parametrize(
    "rows", [ROWS, VALID, [VALID[0], ROWS[1]], [ROWS[0], VALID[1]]]
)
def test_history_draws_the_rows_with_or_without_validation(rows):
    for ax, key in zip(plots.plot_history(rows).axes, KEYS, strict=True):
        drawn = [tuple(point) for line in ax.lines for point in line.get_xydata()]
        expected = [(row["epoch"], row[key]) for row in rows]
        name = f"valid_{key}"
        expected += [(row["epoch"], row[name]) for row in rows if name in row]
        assert [point for point in drawn if not math.isnan(point[1])] == expected


def test_curves_run_through_their_points_with_their_errors():
    x, y, error = torch.arange(3), torch.tensor([1.0, 4.0, 9.0]), torch.full((3,), 0.5)
    figure = plots.plot_curves(
        x, {"a": y, "b": 2 * y}, xlabel="x", ylabel="y", errors={"b": error}
    )
    (ax,) = figure.axes
    drawn = [container.lines[0] for container in ax.containers]
    assert [line.get_ydata().tolist() for line in drawn] == [
        y.tolist(),
        (2 * y).tolist(),
    ]
    assert len({line.get_linestyle() for line in drawn}) == 2
    bars = ax.containers[1].lines[2][0].get_segments()
    assert [bar[:, 1].tolist() for bar in bars] == [
        [1.5, 2.5],
        [7.5, 8.5],
        [17.5, 18.5],
    ]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_latent_codes_are_drawn_where_they_lie():
    ax = plots.plot_latent(CODES, LABELS, limit=3.0).axes[0]
    for label, points in enumerate(ax.collections):
        np.testing.assert_allclose(points.get_offsets(), CODES[LABELS == label].numpy())
    assert ax.get_xlim() == ax.get_ylim() == (-3, 3)
    inside = [1 - math.exp(-(circle.radius**2) / 2) for circle in ax.patches]
    assert inside == pytest.approx([0.5, 0.9, 0.99])


def test_images_are_read_row_by_row():
    picture = plots.plot_images(SHADES[:5], n_columns=3).axes[0].images[0]
    centres = 9 * np.asarray(picture.get_array())[16::30, 16::30]
    np.testing.assert_allclose(centres, [[0, 1, 2], [3, 4, 0]], rtol=1e-6)
    assert picture.cmap.name == "gray_r" and picture.get_clim() == (0, 1)


def test_latent_grid_has_z1_to_the_right_and_z2_upwards():
    ax = plots.plot_latent_grid(SHADES, torch.tensor([-2.0, 0.0, 2.0])).axes[0]
    picture = ax.images[0]
    # SHADES are codes with z2 rising row by row: the last three have the largest z2.
    centres = 9 * np.asarray(picture.get_array())[14::28, 14::28]
    np.testing.assert_allclose(centres, [[6, 7, 8], [3, 4, 5], [0, 1, 2]], rtol=1e-6)
    assert picture.origin == "upper" and picture.get_extent() == [0, 3, 0, 3]
    for axis in (ax.xaxis, ax.yaxis):
        texts = [tick.get_text() for tick in axis.get_ticklabels()]
        names = dict(zip(axis.get_ticklocs(), texts, strict=True))
        assert names == {0.5: "-2.0", 1.5: "0.0", 2.5: "2.0"}
