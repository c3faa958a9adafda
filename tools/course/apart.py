"""Do a piece of work in a process of its own, with limits on its memory and time."""

import argparse
import multiprocessing
from collections.abc import Callable

MEMORY = 4 * 2**30  # bytes of address space
GRACE = 120  # seconds for all that is not the notebook's own run


def attempt(work: Callable[[], list[str]]) -> list[str]:
    try:
        return work()
    except MemoryError:
        return ["memory: of the grader"]
    except Exception as error:
        return [f"not graded: {type(error).__name__}: {error}"]


def apart(work: Callable[[], list[str]], options: argparse.Namespace) -> list[str]:
    """What work returns, or what kept it from that: no trouble leaves the process.

    Without the box, which is where a system may have no fork, it is done right here.
    """
    if options.without_box:
        return attempt(work)
    import resource

    def limited() -> None:
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        soft = MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most)
        resource.setrlimit(resource.RLIMIT_AS, (soft, most))
        sender.send(attempt(work))

    system = multiprocessing.get_context("fork")
    receiver, sender = system.Pipe(duplex=False)
    process = system.Process(target=limited, daemon=True)
    process.start()
    sender.close()
    seconds = 5 * options.seconds + GRACE
    try:
        if not receiver.poll(seconds):
            return [f"time: the grader needed more than {seconds} s"]
        return receiver.recv()
    except EOFError:
        return ["the grader's process died"]
    finally:
        process.kill()
        process.join()
