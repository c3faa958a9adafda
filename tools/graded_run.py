"""How nbgrader runs a submission here: nothing that a cell does earns points by itself."""

import secrets
import time

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbgrader.preprocessors import Execute

FLOOD = 20 * 2**20
# Run after each test: leaves the word only where what tests stand on still works.
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
    _intact = _word
"""


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
        """Whether an assertion still fails in the kernel when it should."""
        word = secrets.token_hex(8)
        source = INTACT.format(word=word)
        asked = {"found": "_intact"}
        message = self.kc.execute(source, store_history=False, user_expressions=asked)
        reply = self.wait_for_reply(message) or {"content": {}}
        found = reply["content"].get("user_expressions", {}).get("found", {})
        return found.get("data", {}).get("text/plain") == repr(word)

    def output(self, outs, msg, display_id, cell_index):
        """Keep what a cell prints, but not a flood: it would fill the memory here."""
        self.printed += len(str(msg["content"]))
        if self.printed > FLOOD and msg["msg_type"] != "error":
            return None
        return super().output(outs, msg, display_id, cell_index)
