"""How nbgrader runs a submission here: a kernel in a box, tests that still can fail."""

import argparse
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import nbformat
import zmq.asyncio
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_grade, is_locked
from traitlets.config import Config, PyFileConfigLoader

from tools.course import trusted_names
from tools.course.submissions import PICTURES, is_picture

MEGABYTE = 2**20
FLOOD, MESSAGE = 20 * MEGABYTE, 128 * MEGABYTE
LONGEST_TEXT, LONGEST_LINE, MOST_LINES, MOST_OUTPUTS = 100_000, 10_000, 50, 200
BOX = Path(__file__).with_name("box.py")


def kernel(room: Path, options: argparse.Namespace) -> list[str]:
    """Make a kernel named grading in this folder; the command that starts Python."""
    for folder in (room / "root", room / "run", room / "kernels" / "grading"):
        folder.mkdir(parents=True)
    command = [sys.executable]
    if not options.without_box:
        from tools.course.box import NAMESPACES  # Linux has what it imports

        limits = [str(options.memory), str(5 * options.seconds)]
        within = [sys.executable, str(BOX), str(room), *limits]
        orphan = ["setpriv", "--pdeathsig", "KILL"]  # nor does it outlive the grader
        command = [*orphan, "unshare", *NAMESPACES.split(), *within, *command]
    start = [*command, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": start, "display_name": "grading", "language": "python"}
    (room / "kernels" / "grading" / "kernel.json").write_text(json.dumps(spec))
    os.environ |= {"JUPYTER_PATH": str(room), "JUPYTER_RUNTIME_DIR": str(room / "run")}
    return command


@contextmanager
def temporary_room(options: argparse.Namespace) -> Iterator[Path]:
    """A folder with a short name: that of a socket has at most 107 characters."""
    short = None if options.without_box else "/tmp"
    room = Path(tempfile.mkdtemp(prefix="g", dir=short))
    try:
        yield room
    finally:
        try:
            shutil.rmtree(room)
        except (
            OSError,
            RecursionError,
        ):  # folders as deep or closed as code makes them
            for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
                if shutil.which(command[0]):
                    subprocess.run([*command, room], capture_output=True)


def why_no_box(options: argparse.Namespace) -> str:
    """Why the box cannot be made here; empty if it can, and hides the course."""
    hides = "import os, sys; sys.exit(os.path.exists(sys.argv[1]))"
    with temporary_room(options) as room:
        command = [*kernel(room, options), "-c", hides, str(options.course)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            return str(error)
    if done.returncode == 0:
        return ""
    seen = f"no Python in the box, or {options.course} in it"
    return (done.stderr.strip().splitlines() or [seen])[-1]


def settings(options: argparse.Namespace) -> Config:
    """The course's nbgrader_config.py, and what grading in a box needs."""
    config = Config()
    if (options.course / "nbgrader_config.py").exists():
        loader = PyFileConfigLoader("nbgrader_config.py", str(options.course))
        config = loader.load_config()
    config.CourseDirectory.root = str(options.course)
    run = config.ExecutePreprocessor
    run.kernel_name, run.timeout, run.iopub_timeout = "grading", options.seconds, 15
    run.store_widget_state = False
    if not options.without_box:
        config.KernelManager.transport = "ipc"  # TCP does not leave a network's box
    return config


def weight(thing: object) -> int:
    """About how many bytes a message's content has."""
    if isinstance(thing, dict):
        thing = [*thing, *thing.values()]
    return sum(map(weight, thing)) if isinstance(thing, list) else len(str(thing))


def text(thing: object, most: int = LONGEST_TEXT) -> str:
    return str(thing)[:most].encode("utf-8", "replace").decode()


def bounded(output: NotebookNode) -> NotebookNode | None:
    """An output of bounded size, with nothing in it that a browser would run."""
    new = nbformat.v4.new_output
    if output.output_type == "stream":  # stderr, a mere warning, would cost all points
        return new("stream", name="stdout", text=text(output.text))
    if output.output_type == "error":
        names = {key: text(output[key], LONGEST_LINE) for key in ("ename", "evalue")}
        lines = output.traceback if isinstance(output.traceback, list) else []
        last = [text(line, LONGEST_LINE) for line in lines[-MOST_LINES:]]
        return new("error", **names, traceback=last)
    # As a result the number that a cell shows would be its points, error or not.
    data = {"text/plain": text(output.data.get("text/plain", ""))}
    data |= {k: v for k, v in output.data.items() if k in PICTURES and is_picture(v)}
    return new("display_data", data=data)


def kept(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """The outputs of a cell, bounded, what is printed in one piece, two errors."""
    found: list[NotebookNode] = []
    for output in outputs:
        streams = found and output.output_type == found[-1].output_type == "stream"
        if streams:
            room = LONGEST_TEXT - len(found[-1].text)
            found[-1].text += text(output.text, max(room, 0))
        else:
            found.append(bounded(output))
    errors = [output for output in found if output.output_type == "error"]
    errors = errors[:1] + errors[1:][-1:]  # the last one may tell of a limit
    return [o for o in found if o.output_type != "error"][:MOST_OUTPUTS] + errors


class GradedRun(Execute):
    """Run a notebook; after a kernel's end or a fraud no cell counts any more.

    ``answers`` are the names that the exercises ask for.
    """

    def __init__(self, answers: set[str], **settings):
        super().__init__(**settings)
        self.answers, self.stopped, self.printed = answers, "", 0
        self.shadowed, self.usual = set(), set()
        self.pristine: dict[str, list] | None = None

    def preprocess(self, nb, resources, km=None):
        locked = [cell.source for cell in nb.cells if is_locked(cell)]
        self.rests_on = trusted_names.RestsOn(locked, self.answers)
        self.end = time.monotonic() + 5 * self.timeout
        return super().preprocess(nb, resources, km)

    def create_kernel_manager(self):
        manager, context = super().create_kernel_manager(), zmq.asyncio.Context()
        context.setsockopt(zmq.MAXMSGSIZE, MESSAGE)  # for all sockets that it makes
        manager.client = partial(manager.client, context=context)
        return manager

    def preprocess_cell(self, cell, resources, index):
        if cell.cell_type != "code":
            return cell, resources
        if not self.stopped:
            self.stopped = self.run(cell, resources, index)
        cell.outputs = kept(cell.outputs)
        if not isinstance(cell.execution_count, int):
            cell.execution_count = None
        if self.stopped:
            error = {"ename": "Stopped", "evalue": self.stopped, "traceback": []}
            cell.outputs.append(nbformat.v4.new_output("error", **error))
        return cell, resources

    def run(self, cell: NotebookNode, resources: dict, index: int) -> str:
        """Run a cell; why no other one may follow, empty if it may."""
        try:
            if self.pristine is None:
                self.usual = self.renamed("own")
                self.pristine = self.state()
                if self.pristine is None:
                    return "the kernel did not answer"
            if not is_grade(cell):
                super().preprocess_cell(cell, resources, index)
            elif self.tested(cell, resources, index) != self.pristine:
                return "replaces what tests stand on"
        except CellTimeoutError as error:
            if "IOPub" in str(error):
                most = MESSAGE // MEGABYTE  # a longer message never comes
                return f"what it shows has no end: over {most} MB at once?"
            return "time: a cell could not be interrupted"
        except DeadKernelError:
            return "the kernel died"
        except Exception as error:  # of a message that no kernel sends
            return f"the kernel's messages are broken: {type(error).__name__}"
        if time.monotonic() > self.end:
            return f"time: more than {5 * self.timeout} s in all"
        return ""

    def tested(self, cell: NotebookNode, resources: dict, index: int) -> dict | None:
        """Run a test with Python's own names; the state of what it stands on then."""
        source, word = cell.source, f"own_{secrets.token_hex(4)}"
        others = self.renamed(word) - self.usual
        cell.source = self.rests_on.rewritten(source, word)
        try:
            super().preprocess_cell(cell, resources, index)
        finally:
            cell.source = source
        holder = re.compile(rf"{word}(\x1b\[[\d;]*m)*\.(\x1b\[[\d;]*m)*")
        for output in cell.outputs:
            if output.output_type == "error":
                self.shadowed |= others
                lines = output.get("traceback", [])
                output.traceback = [holder.sub("", str(line)) for line in lines]
        return self.state()

    def renamed(self, word: str) -> set[str]:
        """Let word hold Python's own names; which have another meaning by now."""
        try:
            return set(json.loads(self.reply(self.rests_on.holder(word))))
        except (TypeError, ValueError):
            return set()

    def remarks(self) -> list[str]:
        """Why no cell counted after some point; names that may have cost points."""
        names = sorted(self.shadowed)
        more = ["..."] if len(names) > 5 else []
        told = [f"not Python's own: {', '.join(names[:5] + more)}"] if names else []
        return [self.stopped, *told] if self.stopped else told

    def state(self) -> dict[str, list] | None:
        """What the names that tests stand on are, if assertions still fail."""
        word = secrets.token_hex(8)
        said, found, told = self.reply(self.rests_on.question(word)).partition(word)
        try:
            return json.loads(told) if found and not said else None
        except ValueError:
            return None

    def reply(self, code: str) -> str:
        """Run code beside the notebook; the error's text that it ends with."""
        options = {"store_history": False, "stop_on_error": False}  # no cell is skipped
        reply = self.wait_for_reply(self.kc.execute(code, **options)) or {"content": {}}
        return str(reply["content"].get("evalue", ""))

    def process_message(self, msg, cell, cell_index):
        """Keep what a cell shows, but not a flood: it would fill the memory here."""
        if msg["msg_type"] == "status":
            return super().process_message(msg, cell, cell_index)
        buffers = sum(map(len, msg.get("buffers", [])))
        self.printed += 1000 + weight(msg["content"]) + buffers
        failed = any(output.output_type == "error" for output in cell.outputs)
        if self.printed > FLOOD and (failed or msg["msg_type"] != "error"):
            return None
        added = super().process_message(msg, cell, cell_index)
        if added is not None and added.output_type == "error":
            cell.outputs[-1] = bounded(added)
        return added
