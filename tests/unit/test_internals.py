"""docs/internals.md names what the code relies on inside Keras, TensorFlow and Hydra: no more, and no less.

No object uses what is private to another one of ours.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "internals.md").read_text(encoding="utf-8")
FILES = sorted((REPOSITORY / "framework").rglob("*.py"))
TESTS = sorted((REPOSITORY / "tests").rglob("*.py"))


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def private_names(path: Path) -> Iterator[str]:
    """Find the private names of other objects and modules that a file uses, and the private modules that it
    imports.

    A class may use its own on any of its objects, as `RunDirectory.open` does on the one that it makes.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {
        id(node): {function.name for function in cls.body if isinstance(function, ast.FunctionDef)}
        for cls in ast.walk(tree)
        if isinstance(cls, ast.ClassDef)
        for node in ast.walk(cls)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr):
            called_on = ast.unparse(node.value)
            documented = (called_on, node.attr) == ("os", "_exit")
            if called_on not in ("self", "cls") and node.attr not in own.get(id(node), ()) and not documented:
                yield node.attr
        elif isinstance(node, ast.ImportFrom) and "._" in (node.module or ""):
            yield node.module or ""
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if re.match(r"_[a-z]", alias.name))


def patched_names(path: Path) -> Iterator[str]:
    """The methods that a file replaces."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("patch", "patching")
        ):
            yield from (keyword.arg for keyword in node.keywords if keyword.arg)


def named(pattern: str) -> dict[str, set[str]]:
    """The names in the first column that a pattern finds, by the files of the second."""
    found: dict[str, set[str]] = {}
    for row in rows():
        for file in re.findall(r"`([\w/]+\.py)`", row[1]):
            found.setdefault(file, set()).update(re.findall(pattern, row[0]))
    return {file: names for file, names in found.items() if names}


def used(names_of: object) -> dict[str, set[str]]:
    root = REPOSITORY / "framework"
    found = {str(path.relative_to(root)): set(names_of(path)) for path in FILES if path.name != "patching.py"}  # type: ignore[operator]
    return {file: names for file, names in found.items() if names}


def test_private_names_are_listed() -> None:
    found = used(private_names)
    patched = {"_all_reduce_sum_gradients"}  # replaced, and not called
    listed = {
        file: kept for file, names in named(r"`(_\w+|hydra\._[\w.]+)`").items() if (kept := names - patched)
    }
    assert found == listed


def test_the_tests_use_no_private_names_but_those() -> None:
    listed = set().union(*named(r"`(_\w+|hydra\._[\w.]+)`").values())
    found = {path.name: names for path in TESTS if (names := set(private_names(path)) - listed)}
    assert found == {}


def test_replaced_methods_are_listed() -> None:
    found = used(patched_names)
    found["optim/gradient_accumulation.py"].remove(
        "whole_steps"
    )  # an attribute of our own, in which they are found again
    assert found == named(r"`(?:layer|optimizer|model|loss|scenario)\.(\w+)`")


def test_each_has_a_test() -> None:
    assert len(rows()) > 15
    for row in rows():
        (test,) = re.findall(r"`(tests/[\w/]+\.py)`", row[-1])
        assert (REPOSITORY / test).is_file(), test


def test_nothing_else_is_replaced() -> None:
    """`setattr` and `vars(...).update` would go around the one mechanism."""
    for path in FILES:
        if path.name != "patching.py":
            assert not re.search(
                r"\bsetattr\(|\bvars\((?!self)\w+\)\.update", path.read_text(encoding="utf-8")
            ), path
