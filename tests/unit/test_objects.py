"""All attributes of an object are set in its `__init__`, and the walk of a run stays short enough to be read
aloud."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

ROOTS = ("framework", "scenarios", "scripts", "tests")
FILES = sorted(path for root in ROOTS for path in (REPOSITORY / root).rglob("*.py"))
BIRTH = ("__init__", "__new__", "__post_init__")

# Keras makes the weights of a layer and of an optimizer in `build`, when shapes are known.
BORN_IN_BUILD = {
    ("framework/optim/adabelief.py", "AdaBelief"): {"_means", "_deviations"},
    ("tests/unit/model/test_warm_start.py", "Scale"): {"factor"},
    ("tests/unit/run/test_console.py", "Own"): {"kernel"},
}


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def classes() -> Iterator[tuple[Path, ast.ClassDef]]:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield path, node


def set_on_self(function: ast.AST) -> set[str]:
    """The attributes of `self` that a function sets, however: by `=`, `+=`, `for`, `with` or unpacking."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.ClassDef):
            continue  # of which `self` is another one
        found |= set_on_self(node)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found |= {node.attr} if ast.unparse(node.value) == "self" else set()
    return found


def declared(cls: ast.ClassDef) -> set[str]:
    """The fields of a dataclass, and what else stands in the class itself."""
    targets: list[ast.expr] = [node.target for node in cls.body if isinstance(node, ast.AnnAssign)]
    targets += [target for node in cls.body if isinstance(node, ast.Assign) for target in node.targets]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def test_no_attribute_is_born_outside_of_init() -> None:
    found: dict[tuple[str, str], set[str]] = {}
    for path, cls in classes():
        functions = [node for node in cls.body if isinstance(node, ast.FunctionDef)]
        born = declared(cls).union(*(set_on_self(f) for f in functions if f.name in BIRTH))
        later = set().union(*(set_on_self(f) for f in functions if f.name not in BIRTH))
        if later - born:
            found[name(path), cls.name] = later - born
    assert found == BORN_IN_BUILD


def test_how_far_a_run_is_changes_in_one_place() -> None:
    from framework.training.state import Progress, TrainingState

    with pytest.raises(dataclasses.FrozenInstanceError):
        Progress().step = 1  # type: ignore[misc]
    assert isinstance(progress := TrainingState.progress, property)
    assert progress.fset is None


def test_the_loop_over_steps_is_read_on_one_screen() -> None:
    from framework.training.session import Session

    source = inspect.getsource(Session)
    (loop,) = (
        node
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef) and function.name == "_train_epoch"
        for node in ast.walk(function)
        if isinstance(node, ast.While)
    )
    assert loop.end_lineno is not None
    assert loop.end_lineno - loop.lineno + 1 <= 15
