"""What the figures can show: sizes, ranges, counts; the rest is refused in one line."""

import math

import torch
from torch import Tensor

from vae_lib.domains import DTYPES, number, require

N_COLORS = 10
TITLES = {"elbo": "ELBO", "log_p_x_given_z": "E[log p(x|z)]", "kl": "KL"}


def as_tensor(values: object) -> Tensor | None:
    """A list, an array or a tensor as a tensor on the CPU; None if it is no numbers."""
    try:
        found = torch.as_tensor(values).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        return None
    return None if found.is_complex() or found.is_meta else found


def finite_numbers(
    what: str,
    values: Tensor,
    n: int | None = None,
    *,
    width: int | None = None,
    positive: bool = False,
    least: float = -math.inf,
) -> Tensor:
    """These n finite numbers (n,), or (n, width), as a tensor without a gradient."""
    found, expected = as_tensor(values), f"finite numbers, {what}"
    require(found is not None and found.dim() > 0, expected, values)
    shape = (len(found) if n is None else n, *(() if width is None else (width,)))
    require(found.shape == shape and found.numel() > 0, expected, found)
    found = found if found.dtype in DTYPES else found.double()
    require(bool(found.isfinite().all()), expected, "NaN or infinity")
    low = float(found.min())
    require(low >= least, what, low)
    require(not positive or low > 0, f"{what} > 0 on a logarithmic axis", low)
    return found


def check_labels(labels: Tensor, n: int) -> Tensor:
    """These n whole numbers as a tensor, of no more kinds than there are colours."""
    found, expected = as_tensor(labels), f"labels ({n},) of whole numbers"
    require(found is not None and not found.is_floating_point(), expected, labels)
    require(found.shape == (n,), expected, found)
    kinds = len(found.unique())
    require(kinds <= N_COLORS, f"at most {N_COLORS} different labels", kinds)
    return found


def check_rows(rows: list[dict]) -> None:
    """Raise ValueError unless these are rows of a history, at least one."""
    sort = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    require(sort and len(rows) > 0, "the rows of a history, at least one", rows)
    drawn = {"epoch", *TITLES}
    for row in rows:
        require(drawn <= row.keys(), f"rows with epoch, {', '.join(TITLES)}", list(row))
        for key in row.keys() & (drawn | {f"valid_{key}" for key in TITLES}):
            number(f"{key} in each row", row[key])
