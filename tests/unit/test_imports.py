"""The rooms of the house: imports run downward only, and a config is typed without TensorFlow."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, environment

# The rooms of framework/, bottom up. A room imports only rooms that stand before it, and itself.
ROOMS = [
    *[
        "errors",
        "evaluators",
        "config",
        "data",
        "run",
        "optim",
        "model",
        "scenario",
        "splits",
        "classification",
        "report",
    ],
    *["loops", "training", "evaluation", "testing", "cli", "launcher"],
]


def imports_of(path: Path) -> set[str]:
    """The modules of framework/ that a file imports, within functions and for types alone, too; `""` is the
    package itself."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    assert not any(name.split(".")[0] == "scenarios" for name in names), f"{path} imports a scenario"
    known = {*modules(), ""}
    ours = {name.removeprefix("framework").lstrip(".") for name in names if name.split(".")[0] == "framework"}
    return ours & known


@functools.cache
def modules() -> dict[str, Path]:
    """The modules of framework/ by their names in it."""
    root = REPOSITORY / "framework"
    files = [path for path in root.rglob("*.py") if path != root / "__init__.py"]
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in files
    }


def test_each_module_is_in_a_room() -> None:
    assert {name.split(".")[0] for name in modules()} == set(ROOMS)


def test_rooms_import_downward() -> None:
    upward = []
    for module, path in modules().items():
        place = ROOMS.index(module.split(".")[0])
        upward += [
            f"{module} -> {name}"
            for name in imports_of(path)
            if name and ROOMS.index(name.split(".")[0]) > place
        ]
    assert upward == []


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    left = {module: imports_of(path) - {""} for module, path in modules().items()}
    while free := [module for module, imported in left.items() if not imported & left.keys() - {module}]:
        for module in free:
            del left[module]
    assert left == {}


def test_the_package_is_imported_for_its_version_alone() -> None:
    """Its public names lead to all rooms, so who imports from it stands above all of them."""
    assert [
        module
        for module, path in modules().items()
        if "" in imports_of(path) and not module.startswith(("cli", "launcher"))
    ] == []


def test_the_tests_mirror_the_rooms() -> None:
    folders = {
        path.name
        for path in (REPOSITORY / "tests" / "unit").iterdir()
        if path.is_dir() and path.name != "__pycache__"
    }
    assert folders <= set(ROOMS)


def test_the_wheel_holds_every_package() -> None:
    listed = set(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    roots = [REPOSITORY / name for name in ("framework", "scenarios")]
    found = {
        ".".join(path.parent.relative_to(REPOSITORY).parts)
        for root in roots
        for path in root.rglob("__init__.py")
    }
    assert listed == found - {"framework.launcher"} | {"framework.conf", "tf_scenarios"}


def test_no_module_on_the_way_to_a_config_imports_tensorflow() -> None:
    code = (
        "import sys\n"
        "from framework import compose\n"
        "for name in sys.argv[1:]: compose(f'scenario={name}')\n"
        "assert not {'tensorflow', 'keras', 'sklearn'} & set(sys.modules), sorted(sys.modules)\n"
    )
    names = [path.stem for path in (REPOSITORY / "conf" / "scenario").glob("*.yaml") if path.stem != "module"]
    assert names
    subprocess.run([sys.executable, "-c", code, *names], check=True, env=environment())


def test_the_package_leads_to_its_public_names() -> None:
    import framework

    for name in framework.__all__:
        assert getattr(framework, name).__doc__


def test_two_owners_of_a_package_name_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from framework.cli.command import check_ownership
    from framework.errors import ScenarioError

    check_ownership()
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("framework\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ScenarioError, match="'framework': other, tf-scenarios"):
        check_ownership()
