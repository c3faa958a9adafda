"""Friendly assertions for the exercises: each says what is wrong, and where to look.

A chapter's checks are the functions of the module named as the chapter. They take what
the exercise asks for, a function or a number, print one line when it is right, and
raise an AssertionError that teaches when it is not. Every right formulation passes:
only the values count.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def compare(
    answer: Callable,
    reference: Callable,
    cases: Mapping[str, tuple],
    mistakes: Mapping[str, Callable] | None = None,
    *,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> None:
    """Hold a function against the reference on named cases.

    Args:
        answer: the function to check.
        reference: what it must equal; takes the same arguments.
        cases: arguments by the words that name them, "mu = 0, sigma = 1" say.
        mistakes: wrong functions by the hint that helps whoever wrote one.
        rtol, atol: how far a value may lie off, as in ``torch.testing``.

    Raises:
        AssertionError: if a case differs, with the first one, and with the hint of the
            mistake whose values these are on every case, if there is one.
    """
    found = {name: call(answer, name, arguments) for name, arguments in cases.items()}
    expected = {name: value(reference(*arguments)) for name, arguments in cases.items()}
    wrong = [
        name
        for name in cases
        if not close(found[name], expected[name], rtol=rtol, atol=atol)
    ]
    if not wrong:
        return passed(getattr(answer, "__name__", "your function"))
    for hint, mistake in (mistakes or {}).items():
        made = {name: value(mistake(*arguments)) for name, arguments in cases.items()}
        if all(close(found[name], made[name], rtol=rtol, atol=atol) for name in cases):
            raise AssertionError(f"{hint} {difference(wrong[0], found, expected)}")
    raise AssertionError(difference(wrong[0], found, expected))


def number(
    answer: float,
    expected: float,
    *,
    tolerance: float,
    hint: str,
    unit: str = "",
    mistakes: Mapping[str, float] | None = None,
) -> None:
    """Hold a number against the expected one, which it does not tell.

    Nor does it tell on which side it lies, or a loop would find it without a thought.

    Args:
        answer: a number or a tensor with one element.
        expected: the right one.
        tolerance: how far the answer may lie off.
        hint: how to see that a number is wrong, or to come to the right one.
        unit: in words, for the message.
        mistakes: wrong numbers by the hint that helps whoever got one.

    Raises:
        AssertionError: if it lies further off.
    """
    found = value(answer)
    require(found.numel() == 1, f"expected one number, got {shown(found)}")
    if abs(found.item() - expected) <= tolerance:
        return passed("your number")
    words = f"{found.item():.6g} {unit}".strip() + " is not it"
    for reason, mistake in (mistakes or {}).items():
        if abs(found.item() - mistake) <= tolerance:
            raise AssertionError(f"{words}: {reason}")
    require(math.isfinite(found.item()), f"{words}: it should be finite")
    raise AssertionError(f"{words}: {hint}")


def choice(answer: str, expected: str, reasons: Mapping[str, str]) -> None:
    """Hold one of several named answers against the right one.

    Args:
        answer: a key of reasons.
        expected: the key that is right.
        reasons: for each key why it is right or wrong; a reason does not name the key.

    Raises:
        AssertionError: with the reason if it is another key, with the keys if it is
            none.
    """
    keys = ", ".join(repr(key) for key in reasons)
    require(answer in list(reasons), f"expected one of {keys}, got {shown(answer)}")
    require(answer == expected, f"not {answer!r}: {reasons.get(answer)}")
    print(f"right: {reasons[expected]}")


def call(answer: Callable, name: str, arguments: tuple) -> Tensor:
    """What the answer returns here, as a tensor; it may change its arguments."""
    require(callable(answer), f"expected a function, got {shown(answer)}")
    copies = [a.clone() if isinstance(a, Tensor) else a for a in arguments]
    try:
        result = answer(*copies)
    except NotImplementedError:
        raise AssertionError("there is no answer yet: replace the stub") from None
    except Exception as error:
        kind = type(error).__name__
        raise AssertionError(
            f"at {name} your function stopped: {kind}: {error}"
        ) from error
    require(result is not None, f"at {name} your function returned None: no `return`?")
    return value(result)


def value(result: object) -> Tensor:
    """The result as a tensor in double precision."""
    try:
        return torch.as_tensor(result).detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise AssertionError(f"expected numbers, got {shown(result)}") from None


def close(found: Tensor, expected: Tensor, *, rtol: float, atol: float) -> bool:
    """Whether both have one shape and, up to rounding, the same values."""
    return found.shape == expected.shape and torch.allclose(
        found, expected, rtol=rtol, atol=atol, equal_nan=False
    )


def difference(name: str, found: dict[str, Tensor], expected: dict[str, Tensor]) -> str:
    """In one line how the two differ in the case of this name."""
    got, wanted = found[name], expected[name]
    if got.shape != wanted.shape:
        shapes = f"{tuple(wanted.shape)}, got {tuple(got.shape)}"
        return f"At {name} the shape should be {shapes}."
    off = (got - wanted).abs().nan_to_num(nan=math.inf).flatten().argmax()
    which = "it" if got.dim() == 0 else f"value {off + 1} of {got.numel()}"
    got, wanted = got.flatten()[off].item(), wanted.flatten()[off].item()
    return f"At {name} {which} should be {wanted:.6g}, got {got:.6g}."


def require(holds: bool, message: str) -> None:
    """Raise AssertionError with this message, unless it holds."""
    if not holds:
        raise AssertionError(message)


def shown(something: object) -> str:
    """A short name of what came."""
    if isinstance(something, Tensor):
        return f"a tensor of shape {tuple(something.shape)}"
    return repr(something)[:60]


def passed(what: str) -> None:
    """Tell the reader."""
    print(f"{what}: right")
