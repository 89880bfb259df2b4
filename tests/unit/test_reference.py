"""The pages in docs/: that of all settings is what the code says, that of reliability names tests that
exist."""

from __future__ import annotations

import ast
import dataclasses
import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import pytest

from framework.config.compose import conf_directory
from framework.config.registry import Registry
from framework.config.schema import describe_type, setting, type_hints
from framework.config.sections import SECTIONS, SHORT_FORMS
from scripts.reference_page import Row, default_text, kinds_of, options_of, reference, rows_of
from tests.conftest import REPOSITORY, TOY, environment

PAGE = reference()
RELIABILITY = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
CONF = conf_directory()
OPTIONS = sorted(path for path in CONF.glob("*/*.yaml"))


def config_classes() -> Iterator[tuple[str, type]]:
    """Each config dataclass with the path it stands at, those inside others too."""

    def inside(path: str, cls: type) -> Iterator[tuple[str, type]]:
        yield path, cls
        for name, hint in type_hints(cls).items():
            for inner in (hint, *get_args(hint)):
                if isinstance(inner, type) and dataclasses.is_dataclass(inner):
                    yield from inside(f"{path}.{name}", inner)

    for section in SECTIONS:
        for kind, _ in kinds_of(section, CONF):
            for cls in kind.values() if isinstance(kind, Registry) else [kind]:
                yield from inside(section, cls)


def row_cells(page: str) -> set[tuple[str, ...]]:
    """The lines of all tables of a page, by cells."""
    lines = (line for line in page.splitlines() if line.startswith("| "))
    return {
        tuple(cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        for line in lines
    }


CELLS = row_cells(PAGE)


def test_the_page_is_up_to_date() -> None:
    written = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    assert written == PAGE, "docs/reference.md is stale; scripts/reference writes it anew"


def test_each_setting_has_a_help_text_and_its_line() -> None:
    for path, cls in config_classes():
        for known in dataclasses.fields(cls):
            place = f"{cls.__module__}.{cls.__name__}.{known.name}, {path}.{known.name}"
            help_text = known.metadata.get("help", "")
            assert help_text.endswith("."), f"{place} needs a help text that ends in a full stop"
            words = describe_type(type_hints(cls)[known.name], known.metadata.get("bounds", {}))
            factory = known.default_factory
            default = default_text(known.default if factory is dataclasses.MISSING else factory())
            found = {
                cells[2]
                for cells in CELLS
                if cells[0] == f"`{path}.{known.name}`" and (cells[1], cells[3]) == (words, help_text)
            }
            assert default in found or any(text.startswith("as `") for text in found), place


def test_each_section_and_each_shipped_option_has_its_place() -> None:
    headings = re.findall(r"^## `(\w+)`$", PAGE, re.MULTILINE)
    assert headings[: len(SECTIONS)] == list(SECTIONS)
    for heading in headings:
        assert re.search(rf"^## `{heading}`\n\n[A-Z`].*\.$", PAGE, re.MULTILINE), (
            f"{heading}: say in a sentence what it is for"
        )
    assert OPTIONS
    for path in OPTIONS:
        assert re.search(rf"^- `{path.parent.name}={path.stem}`: \S", PAGE, re.MULTILINE), path


def test_short_forms_have_a_table() -> None:
    for short, long in SHORT_FORMS.items():
        assert any(cells[:2] == (f"`{short}`", f"`{long}`") and len(cells) == 5 for cells in CELLS)


@pytest.mark.parametrize(
    "line",
    [
        ("`optimizer.beta_1`", "a number >= 0 and < 1", "`0.9`", "Decay of the mean of the gradient."),
        (
            "`trainer.keep_checkpoints`",
            "a whole number >= 1 and <= 100,000",
            "`3`",
            "Checkpoints to keep; older ones are deleted.",
        ),
        (
            "`scenario.augmentation.rotation`",
            "a number >= 0 and <= 180",
            "`15.0`",
            "Rotate by up to that many degrees either way.",
        ),
        (
            "`model.activation`",
            "relu, elu, lrelu",
            "`relu`",
            "Activation after each convolution. lrelu is LeakyReLU with slope 0.1.",
        ),
    ],
)
def test_a_line_names_type_bounds_default_and_help(line: tuple[str, ...]) -> None:
    assert line in CELLS


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = setting(0.5, "Rate.", ge=0, lt=1)


@dataclass(frozen=True, kw_only=True)
class Example:
    """Shows
    every kind.

    And more.
    """

    needed: int = setting(help="Needed.")
    kind: Literal["a", "off"] = setting("a", "Kind.")
    sizes: tuple[int, ...] = setting((1, 2), "Sizes.", ge=1)
    extra: dict[str, float] = field(default_factory=lambda: {"x": 1.0}, metadata={"help": "Extra."})
    inner: Inner = field(default_factory=lambda: Inner(rate=0.25), metadata={"help": "Inner."})
    other: Inner | None = setting(None, "Other.")


def test_rows_of_every_kind_of_setting() -> None:
    assert list(rows_of(Example, "example", {"sizes": "${model.sizes}", "kind": "off"})) == [
        Row("example.needed", "a whole number", "none: it must be set", "Needed."),
        Row("example.kind", "a, off", "`a`", "Kind."),
        Row("example.sizes", "a list of: a whole number >= 1", "as `model.sizes`", "Sizes."),
        Row("example.extra", "a mapping of names to: a number", "`{x: 1.0}`", "Extra."),
        Row("example.inner", "a section", "", "Inner."),
        Row("example.inner.rate", "a number >= 0 and < 1", "`0.25`", "Rate."),
        Row("example.other", "a section, or null", "`null`", "Other."),
        Row("example.other.rate", "a number >= 0 and < 1", "`0.5`", "Rate."),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "`null`"), (True, "`true`"), (1e-7, "`1e-07`"), ("", '`""`'), (("a", "b"), "`[a, b]`")],
)
def test_defaults_are_written_as_one_types_them(value: Any, text: str) -> None:
    assert default_text(value) == text


def test_another_scenario_appears_with_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOY))
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    shutil.copy(TOY / "conf" / "scenario" / "toy.yaml", conf / "scenario")
    page = reference(conf)
    assert "- `scenario=toy`: Which side of a plane is a point on?" in page
    assert (
        "`scenario.noise`",
        "a number >= 0",
        "`0.1`",
        "Standard deviation of the augmentation.",
    ) in row_cells(page)
    model, data = (page.split(f"## `{name}`")[1].split("\n## ")[0] for name in ("model", "data"))
    assert "### With `scenario=toy`\n\nIt has no settings." in model
    assert "`data.batch_size`" in data.split("### With `scenario=toy`")[1].split("\n### ")[0]


def test_an_experiment_appears_with_its_comment(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    (conf / "experiment").mkdir(exist_ok=True)
    (conf / "experiment" / "long.yaml").write_text(
        "# @package _global_\n# Ten times\n# as long.\n#\n# More.\nepochs: 100\n"
    )
    assert "- `experiment=long`: Ten times as long.\n" in reference(conf)


def test_options_of_a_registry_are_those_that_it_knows() -> None:
    ((kind, _),) = kinds_of("optimizer", CONF)
    assert isinstance(kind, Registry)
    assert {option.name for option in options_of("optimizer", kind, CONF)} == set(kind)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("framework", "scenarios", "conf", "docs", "scripts"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run_script(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    script = str(checkout / "scripts" / "reference")
    return subprocess.run(
        [script, *words],
        cwd="/",
        env=environment() | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_script_finds_what_is_stale_and_writes_it_anew(checkout: Path) -> None:
    page = checkout / "docs" / "reference.md"
    page.unlink()
    assert run_script(checkout, "--check").returncode == 1
    assert run_script(checkout).returncode == 0
    before = page.read_text(encoding="utf-8")
    assert str(checkout) not in before
    fresh = run_script(checkout, "--check")
    assert (fresh.returncode, fresh.stdout) == (0, ""), fresh.stderr

    source = checkout / "framework" / "config" / "trainer_config.py"
    source.write_text(source.read_text().replace('"Epochs to train."', '"Epochs to train for."'))
    stale = run_script(checkout, "--check")
    assert stale.returncode == 1
    assert (
        "+| `trainer.epochs` | a whole number >= 1 and <= 1,000,000 | `10` | Epochs to train for. |"
        in stale.stdout
    )
    assert "docs/reference.md is stale" in stale.stderr
    assert page.read_text(encoding="utf-8") == before

    assert run_script(checkout).returncode == 0
    assert "Epochs to train for." in page.read_text(encoding="utf-8")
    assert run_script(checkout, "--check").returncode == 0
    assert run_script(checkout, "--chek").returncode == 2


def test_no_tensorflow_is_imported() -> None:
    code = (
        "import sys; from scripts.reference_page import reference; reference(); "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())


def named_tests(text: str) -> set[tuple[str, str]]:
    """The tests that a text names, with their files."""
    return set(re.findall(r"^  - `([\w/]+\.py)::(test_\w+)`$", text, re.MULTILINE))


@functools.cache
def functions(file: str) -> dict[str, ast.FunctionDef]:
    body = ast.parse((REPOSITORY / file).read_text(encoding="utf-8")).body
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef)}


def test_each_test_that_the_page_of_reliability_names_exists() -> None:
    named = named_tests(RELIABILITY)
    assert len(named) == len(set(re.findall(r"\w+\.py::\w+", RELIABILITY)))
    assert sorted((file, name) for file, name in named if name not in functions(file)) == []


def test_each_promise_of_reliability_names_a_test_of_the_quick_tier() -> None:
    promises = re.split(r"^- ", RELIABILITY.split("## What no test holds")[0], flags=re.MULTILINE)[1:]
    assert promises
    for promise in promises:
        assert promise.startswith("**"), promise
        marks = [
            {ast.unparse(mark) for mark in functions(file)[name].decorator_list}
            for file, name in named_tests(promise)
        ]
        assert any(not found & {"pytest.mark.slow", "pytest.mark.long"} for found in marks), promise
