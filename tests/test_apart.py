"""Whatever happens while one submission is graded stays in a process of its own."""

import argparse
import os
import signal
import sys
import time

import pytest

from tools.course import apart

OPTIONS = argparse.Namespace(without_box=False, seconds=1)
linux = pytest.mark.skipif(sys.platform != "linux", reason="forks, as the box does")
forks = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


def broken():
    raise ValueError("a\nb")


def deep():
    return deep()


WORK = {
    "result": (lambda: ["a remark"], ["a remark"]),
    "error": (broken, ["not graded: ValueError: a\nb"]),
    # Python has two names for it, the second where its stack is nearly full.
    "recursion": (deep, [("not graded: RecursionError", "not graded: SystemError")]),
    "memory": (lambda: [len(bytearray(5 * 2**30))], ["memory: of the grader"]),
    "end": (lambda: os._exit(0), ["the grader's process died"]),
    "signal": (
        lambda: os.kill(os.getpid(), signal.SIGKILL),
        ["the grader's process died"],
    ),
    "sleep": (lambda: time.sleep(60), ["time: the grader needed more than 1 s"]),
}


@linux
@forks
@pytest.mark.parametrize("name", WORK)
def test_a_trouble_becomes_a_remark(name, monkeypatch):
    monkeypatch.setattr(apart, "GRACE", -4)  # of five seconds
    work, expected = WORK[name]
    (said,) = apart.apart(work, OPTIONS)
    assert said.startswith(expected[0])


def test_without_the_box_no_process_is_made():
    options = argparse.Namespace(without_box=True, seconds=1)
    assert apart.apart(lambda: [str(os.getpid())], options) == [str(os.getpid())]
    assert apart.apart(broken, options) == ["not graded: ValueError: a\nb"]
