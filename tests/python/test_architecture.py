"""The house: who imports whom, and who spells a stream's name."""

import ast
import importlib.util
import re
from graphlib import TopologicalSorter
from pathlib import Path

import seedbed
from seedbed import _core

PACKAGE = Path(seedbed.__file__).parent
RUST = Path(__file__).parents[2] / "src"
# Where a stream's name may be spelled: its rules, the table, and what names backends for a reason
# that is not the stream.
OWN_FILES = {"_streams/__init__.py", "_core.pyi"}
# Where libraries are named whose names streams have, too.
LIBRARY_FILES = {
    "_config.py": {"numpy"},
    "_plan/axes.py": {"torch"},
    "_plan/models.py": {"jax", "torch"},
}


def modules() -> dict[str, Path]:
    """Every module of the package by its name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of the package that a module imports when it is imported, types aside."""
    tree = ast.parse(path.read_text())
    wanted: set[str] = set()
    for node in tree.body:
        inner = node.body if isinstance(node, ast.Try) else [node]
        for statement in inner:
            if isinstance(statement, ast.ImportFrom) and statement.module:
                source = importlib.util.resolve_name(statement.module, name)
                for alias in statement.names:
                    child = f"{source}.{alias.name}"
                    extension = child == "seedbed._core"
                    wanted.add(child if child in known or extension else source)
            elif isinstance(statement, ast.Import):
                wanted.update(alias.name for alias in statement.names)
    return {module for module in wanted if module in known and module != name}


def test_no_two_modules_import_each_other() -> None:
    known = modules()
    graph = {name: imports_of(name, path, known) for name, path in known.items()}
    assert len(graph) > 20
    order = list(TopologicalSorter(graph).static_order())  # raises for a circle
    assert sorted(order) == sorted(graph)


def code_strings(tree: ast.Module) -> set[str]:
    """The strings of a module that are no docstrings."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in documentation
    }


def test_streams_are_spelled_in_their_own_files() -> None:
    names = set(_core.streams())
    for path in PACKAGE.rglob("*.py"):
        inside = path.relative_to(PACKAGE).as_posix()
        if inside in OWN_FILES or inside.removeprefix("_streams/").removesuffix(".py") in names:
            continue
        spelled = code_strings(ast.parse(path.read_text())) & names
        # Streams that repeat a backend of Keras have its name.
        backend = {path.stem} if inside == f"keras/_backends/{path.name}" else set()
        assert spelled <= LIBRARY_FILES.get(inside, set()) | backend, inside


def test_streams_are_spelled_in_their_own_files_of_the_core() -> None:
    quoted = re.compile("|".join(f'"{name}"' for name in _core.streams()))
    spelled = set()
    for path in RUST.rglob("*.rs"):
        code = re.split(r"#\[cfg\(test\)\]\s*mod \w+ \{", path.read_text())[0]
        # Comments, and the Python package that one of the names is too.
        code = re.sub(r'//.*|import\("numpy"\)', "", code)
        inside = path.relative_to(RUST).as_posix()
        if quoted.search(code) and "tests" not in inside:
            spelled.add(inside)
    own = {f"core/stream/{name}" for name in _core.streams()}
    assert spelled
    assert all(any(inside.startswith(prefix) for prefix in own) for inside in spelled), spelled
