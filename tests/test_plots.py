"""Figures: opaque, labelled, closed, and drawn from the numbers that came in."""

import io
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from vae_lib import plots

ROWS = [
    {"epoch": e, "elbo": -9.0 + e, "log_p_x_given_z": -7.0 + e, "kl": 2.0 - 0.1 * e}
    for e in (1, 2, 3)
]
VALID = [
    row | {f"valid_{k}": 1.5 * row[k] for k in plots_keys}
    for row in ROWS
    for plots_keys in [("elbo", "log_p_x_given_z", "kl")]
]


def codes(n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(n, 2), torch.arange(n) % 3


def shades(n: int) -> torch.Tensor:
    """n pictures, each of one grey level of its own."""
    return (torch.arange(n) / n)[:, None].expand(n, 784)


FIGURES = {
    "images": lambda: plots.plot_images(shades(5), n_columns=3, title="five"),
    "image": lambda: plots.plot_images(shades(1)),
    "history": lambda: plots.plot_history(ROWS),
    "validated": lambda: plots.plot_history(VALID),
    "latent": lambda: plots.plot_latent(*codes()),
    "grid": lambda: plots.plot_latent_grid(shades(9), torch.linspace(-2, 2, 3)),
    "cell": lambda: plots.plot_latent_grid(shades(1), torch.zeros(1)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_opaque_labelled_and_closed(name):
    with plt.style.context("dark_background"):
        figure = FIGURES[name]()
    assert isinstance(figure, plt.Figure) and plt.get_fignums() == []
    assert figure.get_facecolor() == (1, 1, 1, 1)
    for ax in figure.axes:
        labels = (ax.get_xlabel(), ax.get_ylabel())
        assert all(labels) if ax.axison else not any(labels)
    file = io.BytesIO()
    figure.savefig(file, dpi=30)
    file.seek(0)
    assert (plt.imread(file)[[0, 0, -1, -1], [0, -1, 0, -1]] == 1).all()


@pytest.mark.parametrize("rows, n_lines", [(ROWS, 1), (VALID, 2)])
def test_history_draws_the_rows(rows, n_lines):
    axes = plots.plot_history(rows).axes
    for ax, key in zip(axes, ("elbo", "log_p_x_given_z", "kl"), strict=True):
        assert len(ax.lines) == n_lines
        for line, prefix in zip(ax.lines, ("", "valid_"), strict=False):
            expected = [(row["epoch"], row[prefix + key]) for row in rows]
            assert line.get_xydata().tolist() == [list(pair) for pair in expected]


@pytest.mark.parametrize("rows", [VALID[:1] + ROWS[1:], ROWS[:1] + VALID[1:]])
def test_history_draws_what_validation_there_is(rows):
    """Training may go on with validation images or without them."""
    for ax in plots.plot_history(rows).axes:
        drawn = [line.get_xydata() for line in ax.lines]
        assert len(drawn) == 2
        valid = [row["epoch"] for row in rows if "valid_kl" in row]
        shown = drawn[1][~np.isnan(drawn[1][:, 1]), 0]
        assert shown.tolist() == valid


def test_latent_codes_are_drawn_where_they_lie():
    z, labels = codes()
    ax = plots.plot_latent(z, labels, limit=3.0).axes[0]
    for label, points in enumerate(ax.collections):
        expected = z[labels == label].numpy()
        np.testing.assert_allclose(points.get_offsets(), expected, rtol=1e-6)
    assert ax.get_xlim() == ax.get_ylim() == (-3, 3)
    radii = torch.tensor([circle.radius for circle in ax.patches])
    inside = torch.randn(200_000, 2).norm(dim=1)[:, None] < radii
    for share, mass in zip(inside.double().mean(0), (0.5, 0.9, 0.99), strict=True):
        assert abs(share - mass) < 4 * math.sqrt(mass * (1 - mass) / 200_000)


def test_images_are_read_row_by_row():
    picture = plots.plot_images(shades(5), n_columns=3).axes[0].images[0]
    centres = np.asarray(picture.get_array())[16::30, 16::30]
    np.testing.assert_allclose(centres, [[0, 0.2, 0.4], [0.6, 0.8, 0]], rtol=1e-6)
    assert picture.cmap.name == "gray_r" and picture.get_clim() == (0, 1)


def test_latent_grid_has_z1_to_the_right_and_z2_upwards():
    ticks = torch.tensor([-2.0, 0.0, 2.0])
    # Nine codes as the docstring orders them: z2 by rows, z1 within a row.
    z2, z1 = torch.meshgrid(ticks, ticks, indexing="ij")
    shade = (10 * z1 + z2 + 22).reshape(9, 1) / 44
    ax = plots.plot_latent_grid(shade.expand(9, 784), ticks).axes[0]
    picture = ax.images[0]
    drawn = np.asarray(picture.get_array())
    top_left, bottom_right = (10 * -2 + 2 + 22) / 44, (10 * 2 - 2 + 22) / 44
    assert picture.origin == "upper" and drawn.shape == (84, 84)
    assert drawn[0, 0] == pytest.approx(top_left)
    assert drawn[-1, -1] == pytest.approx(bottom_right)
    left, right, bottom, top = picture.get_extent()
    assert left < right and bottom < top and ax.get_ylim() == (bottom, top)
    names = {
        round(y, 6): t.get_text()
        for y, t in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)
    }
    assert names[0.5] == "-2.0" and names[2.5] == "2.0"
