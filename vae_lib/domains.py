"""What an argument may be: numbers, names, tensors; anything else ends in one line.

A number of numpy, or a tensor that holds one number, becomes Python's own, which can be
written as JSON. Everything raises ValueError: what was expected, and what came.
"""

import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

TOO_MANY = 2**32  # far from the limit of torch's 64 bits
MOST = sys.float_info.max
NUMBERS = (int, float)  # in a tuple: torch 2.7 cannot compile int | float
DTYPES = (torch.float32, torch.float64)  # in shorter ones Adam's steps round to zero


def require(holds: bool, expected: str, got: object) -> None:
    """Raise ValueError with what was expected and what came, unless it holds."""
    if not holds:
        raise ValueError(f"expected {expected}, got {described(got)}")


def described(value: Any) -> str:
    """A value in one line: its shape and type rather than a page of numbers."""
    if hasattr(value, "__array__") and hasattr(value, "dtype"):
        kind = type(value).__name__
        return f"{kind} of shape {tuple(value.shape)}, {value.dtype}"
    text = " ".join(repr(value).split())
    return text if isinstance(value, str) or len(text) <= 200 else type(value).__name__


def plain(value: Any) -> Any:
    """Python's own value for a scalar of numpy or torch; the rest as it came."""
    if getattr(value, "shape", None) != ():
        return value
    lost = isinstance(value, Tensor) and (value.requires_grad or value.is_meta)
    return value if lost else value.item()


def whole(name: str, value: int, least: int | None = 1, below: int = TOO_MANY) -> int:
    """The whole number least <= value < below: no fraction, no text, no truth value."""
    number = plain(value)
    what = f"{name} to be a whole number"
    require(isinstance(number, int) and not isinstance(number, bool), what, number)
    require(least is None or number >= least, f"{name} >= {least}", number)
    require(number < below, f"{name} < {below}", number)
    return number


def whole_numbers(name: str, values: Iterable[int]) -> tuple[int, ...]:
    """A tuple of the whole numbers of a list, tuple, range, array or tensor."""
    rows = hasattr(values, "tolist") and len(getattr(values, "shape", ())) == 1
    sort = rows or isinstance(values, list | tuple | range)
    require(sort, f"{name} to be a list or tuple of whole numbers", values)
    return tuple(whole(f"each of {name}", value, None) for value in values)


def number(
    name: str,
    value: float,
    *,
    least: float | None = None,
    above: float | None = None,
    or_else: str = "",
) -> float:
    """The finite number value, >= least or > above, as a float.

    or_else names what else the caller takes.
    """
    limit = "" if least is None else f" >= {least:g}"
    limit = limit if above is None else f" > {above:g}"
    expected = f"finite {name}{limit}" + (f" or {or_else}" if or_else else "")
    found = plain(value)
    sort = isinstance(found, NUMBERS) and not isinstance(found, bool)
    require(sort, f"{expected}, a number", found)
    sound = abs(found) <= MOST and (least is None or found >= least)
    require(sound and (above is None or found > above), expected, found)
    return float(found)


def switch(name: str, value: bool) -> bool:
    """True or False, and nothing that only counts as such."""
    found = plain(value)
    require(isinstance(found, bool), f"{name} to be True or False", found)
    return found


def check_switches(**values: bool) -> None:
    """Each must be True or False."""
    for name, value in values.items():
        switch(name, value)


def one_of(name: str, value: str, choices: Iterable[str]) -> str:
    """One of these names."""
    known = isinstance(value, str) and value in tuple(choices)
    require(known, f"{name} among {', '.join(map(repr, choices))}", value)
    return str(value)


def check_text(**texts: str) -> None:
    """Each must be a string."""
    for name, text in texts.items():
        require(isinstance(text, str), f"{name} to be a string", text)


def check_floats(expected: str, *tensors: Tensor) -> None:
    """Each must be a tensor of floating point, and all on one device.

    Asks nothing of their values, so that no step of training waits for a GPU.
    """
    for tensor in tensors:
        if not (isinstance(tensor, Tensor) and tensor.is_floating_point()):
            require(False, f"{expected}, tensors of floats", tensor)
        if tensor.device != tensors[0].device:
            got = f"{tensors[0].device} and {tensor.device}"
            raise ValueError(f"expected {expected} on one device, got {got}")


def check_rows(what: str, given: Tensor, width: int, like: Tensor) -> None:
    """One row (..., width) or more of floats, of the type and on the device of another.

    Asks nothing of their values either.
    """
    expected = f"{what} of {like.dtype}"
    check_floats(expected, given, like)
    fits = given.shape[-1:] == (width,) and len(given) > 0
    require(fits and given.dtype == like.dtype, expected, given)


def check_finite_tensor(expected: str, tensor: Tensor) -> None:
    """Raise ValueError unless it is a dense tensor of finite floats: a look at each."""
    dense = isinstance(tensor, Tensor) and tensor.layout == torch.strided
    dense = dense and tensor.dtype in DTYPES and not tensor.is_meta
    require(dense, f"{expected} of float32 or float64", tensor)
    require(bool(tensor.isfinite().all()), expected, "NaN or infinity")


def check_generator(
    generator: torch.Generator | None, device: torch.device | None = None
) -> None:
    """None, or a torch.Generator on this device if one is named."""
    kind = generator is None or isinstance(generator, torch.Generator)
    require(kind, "generator to be a torch.Generator or None", generator)
    if generator is not None and device is not None:
        there = generator.device.type == device.type
        require(there, f"a generator on {device}", f"one on {generator.device}")
