"""How all figures of the book look."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {
    "figure.facecolor": "white",  # opaque, so that dark pages keep figures legible
    "figure.constrained_layout.use": True,
    "axes.prop_cycle": plt.cycler(color=plt.color_sequences["petroff10"]),
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Give a drawing function the book's style, and close the figure it returns."""

    @wraps(draw)
    def wrapper(*args, **kwargs) -> Figure:
        with plt.rc_context(STYLE):
            fig = draw(*args, **kwargs)
        plt.close(fig)
        return fig

    return wrapper
