"""What tests stand on: names that they take from Python and from modules.

A student may give such a name another meaning in the notebook, honestly (``from torch
import *``, ``sum = 0``) or not. So tests run with names of their own, and what these
mean, and the functions of the modules, must be after each test what it was before the
notebook's first cell. All code of this file that the kernel runs is run in a room of
names of its own.
"""

import ast
import builtins
from collections.abc import Iterator

# Operators and conversions that a test may use without a name.
SILENT = """
abs add and bool call contains eq float ge getattribute getitem gt index int invert iter
le len lt mul ne neg next or pow radd rmul rpow rsub rtruediv setattr sub truediv
""".split()
IMPORT = (ast.Import, ast.ImportFrom)
IMPORTED = """
space = {{}}
for line in {imports!r}:
    try:
        exec(line, space)
    except Exception:
        pass  # so it will be in the notebook, where students see it
"""
HOLDER = (
    IMPORTED
    + """
import builtins, json, types
names[{word!r}] = types.SimpleNamespace(**vars(builtins) | space)
python = [name for name in dir(builtins) if name[:1] != "_" and name in names]
others = [name for name in python if names[name] is not getattr(builtins, name)]
raise RuntimeError(json.dumps(others))
"""
)
QUESTION = (
    IMPORTED
    + """
import builtins, json, sys, types

def identity(thing):
    return [id(thing), *(id(getattr(thing, name, None)) for name in INSIDE)]

INSIDE = ("__code__", "__defaults__")
state, classes = {{}}, set()
for path in {paths!r}:
    first, *rest = path.split(".")
    thing = space[first] if first in space else getattr(builtins, first, None)
    for name in rest:
        if not isinstance(thing, types.ModuleType):
            break
        if thing.__name__.startswith("vae_lib.checks"):
            break  # what every student has and no test stands on alone
        thing = getattr(thing, name, None)
    state[path] = identity(thing)
    classes |= {{thing}} if isinstance(thing, type) else set()
if "torch" in sys.modules:
    classes.add(sys.modules["torch"].Tensor)
for kind in classes:
    for name in {methods!r}:
        for base in kind.__mro__:
            if name in vars(base):
                state[kind.__name__ + "." + name] = identity(vars(base)[name])
                break
assert abs(-2.0) == 2.0 and float("1") == 1.0 and not all([True, False])
if "torch" in sys.modules:
    torch = sys.modules["torch"]
    pair = torch.zeros(1), torch.ones(1)
    assert not torch.allclose(*pair) and not torch.equal(*pair)
    try:
        torch.testing.assert_close(*pair)
    except AssertionError:
        pass
    else:
        raise ValueError
try:
    assert False
except AssertionError:
    raise RuntimeError({word!r} + json.dumps(state)) from None
"""
)


def parsed(sources: list[str]) -> Iterator[ast.Module]:
    """The syntax trees of what is plain Python among these cells."""
    for source in sources:
        try:
            yield ast.parse(source)
        except SyntaxError:
            continue


def bound(tree: ast.AST) -> set[str]:
    """All names that get a meaning in this code."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).split(".")[0])
        elif name := getattr(node, "name", None):  # functions, classes, exceptions
            found.add(name)
    return found


def dotted(node: ast.AST) -> str:
    """``torch.testing.assert_close`` of such an expression; empty for other ones."""
    if isinstance(node, ast.Name):
        return node.id
    before = dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{before}.{node.attr}" if before else ""


def outside_texts(node: ast.AST) -> Iterator[ast.AST]:
    """All parts of a program but those in f-strings, whose place Python 3.11 misses."""
    if isinstance(node, ast.JoinedStr):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from outside_texts(child)


class RestsOn:
    """The names that the locked cells of a notebook take from Python and modules.

    ``answers`` are left alone: tests want what the student made of them.
    """

    def __init__(self, locked: list[str], answers: set[str]):
        trees = list(parsed(locked))
        nodes = [node for tree in trees for node in ast.walk(tree)]
        lines = [node for node in nodes if isinstance(node, IMPORT)]
        self.imports = [ast.unparse(line) for line in lines]
        imported = {name for line in lines for name in bound(line)}
        python = {name for name in dir(builtins) if not name.startswith("_")}
        self.owned = (imported | python) - answers
        chains = {dotted(node) for node in nodes}
        roots = {chain for chain in chains if chain.split(".")[0] in self.owned}
        self.paths = sorted(
            roots | {"abs", "float", "all", "id", "getattr", "exec", "__import__"}
        )
        used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        self.methods = sorted(used | {f"__{name}__" for name in SILENT})

    def holder(self, word: str) -> str:
        """Code that lets word hold Python's own names and what the cells import.

        It ends with an error: Python's names with another meaning here, as JSON.
        """
        code = HOLDER.format(imports=self.imports, word=word)
        return f"__import__('builtins').exec({code!r}, {{'names': globals()}})"

    def question(self, word: str) -> str:
        """Code that ends with an error: the word, and what the names mean, as JSON."""
        parts = {"imports": self.imports, "paths": self.paths, "methods": self.methods}
        code = QUESTION.format(word=word, **parts)
        return f"__import__('builtins').exec({code!r}, {{}})"

    def rewritten(self, source: str, word: str) -> str:
        """A test in which such names, unless it gives them a meaning, are word's."""
        try:
            tree = ast.parse(source)
        except SyntaxError:
            return source
        names = self.owned - bound(tree)
        places = {
            (node.lineno, node.col_offset)
            for node in outside_texts(tree)
            if isinstance(node, ast.Name) and node.id in names
        }
        lines = [line.encode() for line in source.split("\n")]
        for line, column in sorted(places, reverse=True):
            text = lines[line - 1]
            lines[line - 1] = text[:column] + f"{word}.".encode() + text[column:]
        return b"\n".join(lines).decode()
