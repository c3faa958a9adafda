"""What the command line says: nothing of it stops the work that it speaks of.

A terminal may lack letters, a reader may have left, a disk behind standard output may
be full, and there may be no output at all.
"""

import contextlib
import os
import sys
from collections.abc import Callable


def take_any_letter() -> None:
    """Have letters that the terminal lacks written as escapes, not as an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """One line on standard error, if it is there and takes it."""
    if sys.stderr is not None:  # else print would take standard output
        with contextlib.suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)


def has_terminal() -> bool:
    """Whether somebody may be looking at standard error."""
    return sys.stderr is not None and sys.stderr.isatty()


def show(text: str) -> None:
    """A result on standard output; raises OSError if it does not take it."""
    try:
        print(text, flush=True)  # nothing at all where it is closed
    except OSError as error:
        why = error.strerror or error
        raise OSError(f"standard output takes no result: {why}") from error


def let_go() -> None:
    """Leave no words behind that Python would fail to print when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            with contextlib.suppress(OSError), open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), stream.fileno())


def line_per_epoch(epochs: int) -> Callable[[dict], None] | None:
    """What says how each epoch went where no terminal shows a bar.

    None where one does, and where TQDM_DISABLE asks for no progress at all.
    """
    if has_terminal() or "TQDM_DISABLE" in os.environ:
        return None
    return lambda row: say(
        f"epoch {row['epoch']} of {epochs}: training ELBO {row['elbo']:.1f} nats,"
        f" {row['seconds']:.1f} s"
    )
