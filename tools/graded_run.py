"""How nbgrader runs a submission here: a kernel in a box, tests that still can fail."""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbgrader.preprocessors import Execute
from traitlets.config import Config, PyFileConfigLoader

from tools import box

FLOOD = 20 * 2**20
# Run after each test: fails, with this word, where what tests stand on still works.
INTACT = """
try:
    import sys as _sys
    assert abs(-2.0) == 2.0 and float("1") == 1.0 and not all([True, False])
    if "torch" in _sys.modules:
        _torch = _sys.modules["torch"]
        _pair = _torch.zeros(1), _torch.ones(1)
        assert not _torch.allclose(*_pair) and not _torch.equal(*_pair)
        try:
            _torch.testing.assert_close(*_pair)
        except AssertionError:
            pass
        else:
            raise ValueError
    _word = "{word}"
    assert False
except AssertionError:
    raise RuntimeError(_word) from None
"""


def kernel(room: Path, options: argparse.Namespace) -> list[str]:
    """Make a kernel named grading in this folder; the command that starts Python."""
    for folder in (room / "root", room / "run", room / "kernels" / "grading"):
        folder.mkdir(parents=True)
    command = [sys.executable]
    if not options.without_box:
        limits = [str(options.memory), str(5 * options.seconds)]
        within = [sys.executable, box.__file__, str(room), *limits]
        command = ["unshare", *box.NAMESPACES.split(), *within, *command]
    start = [*command, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": start, "display_name": "grading", "language": "python"}
    (room / "kernels" / "grading" / "kernel.json").write_text(json.dumps(spec))
    os.environ |= {"JUPYTER_PATH": str(room), "JUPYTER_RUNTIME_DIR": str(room / "run")}
    return command


def temporary_room(options: argparse.Namespace) -> tempfile.TemporaryDirectory:
    """A folder with a short name: that of a socket has at most 107 characters."""
    short = None if options.without_box else "/tmp"
    return tempfile.TemporaryDirectory(
        prefix="g", dir=short, ignore_cleanup_errors=True
    )


def why_no_box(options: argparse.Namespace) -> str:
    """Why the box cannot be made here; empty if it can, and hides the course."""
    hides = "import os, sys; sys.exit(os.path.exists(sys.argv[1]))"
    with temporary_room(options) as room:
        command = [*kernel(Path(room), options), "-c", hides, str(options.course)]
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


class GradedRun(Execute):
    """Run a notebook; after a kernel's end or a fraud no cell counts any more."""

    def preprocess(self, nb, resources, km=None):
        for cell in nb.cells:
            cell.metadata.pop("tags", None)  # one skips the cell: no error, full points
        self.stopped, self.printed = "", 0
        self.end = time.monotonic() + 5 * self.timeout
        return super().preprocess(nb, resources, km)

    def preprocess_cell(self, cell, resources, index):
        if cell.cell_type != "code":
            return cell, resources
        if not self.stopped:
            self.stopped = self.run(cell, resources, index)
        for output in cell.outputs:
            if output.get("name") == "stderr":  # a mere warning would cost all points
                output.name = "stdout"
        # The number that a cell shows would be its points, with an error or without.
        cell.outputs = [o for o in cell.outputs if o.output_type != "execute_result"]
        if self.stopped:
            error = {"ename": "Stopped", "evalue": self.stopped, "traceback": []}
            cell.outputs.append(nbformat.v4.new_output("error", **error))
        return cell, resources

    def run(self, cell: NotebookNode, resources: dict, index: int) -> str:
        """Run a cell; why no other one may follow, empty if it may."""
        try:
            super().preprocess_cell(cell, resources, index)
            if cell.metadata.get("nbgrader", {}).get("grade") and not self.intact():
                return "replaces what tests stand on"
        except CellTimeoutError:
            return "time: a cell could not be interrupted"
        except DeadKernelError:
            return "the kernel died"
        if time.monotonic() > self.end:
            return f"time: more than {5 * self.timeout} s in all"
        return ""

    def intact(self) -> bool:
        """Whether an assertion still fails in the kernel, and an error is told."""
        word = secrets.token_hex(8)
        options = {"store_history": False, "stop_on_error": False}  # no cell is skipped
        message = self.kc.execute(INTACT.format(word=word), **options)
        reply = self.wait_for_reply(message) or {"content": {}}
        return reply["content"].get("evalue") == word

    def output(self, outs, msg, display_id, cell_index):
        """Keep what a cell prints, but not a flood: it would fill the memory here."""
        self.printed += len(str(msg["content"]))
        if self.printed > FLOOD and msg["msg_type"] != "error":
            return None
        return super().output(outs, msg, display_id, cell_index)
