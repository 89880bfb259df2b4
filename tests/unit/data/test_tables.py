"""Tables: numbers and targets as they stand in the file, and each cell that is none named."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.config.schema import read
from framework.data.source import Split
from framework.data.tables import Table
from framework.errors import ConfigError, DataError, Problem
from framework.run.run_directory import RunDirectory
from framework.scenario import Scenario, compose
from framework.training.trainer import Trainer
from tests.runs import quiet
from tests.unit.data.test_rows import write

ROWS = [
    {"age": "1", "size": "2.5", "target": "yes"},
    {"age": "-3e2", "size": " 4 ", "target": "no"},
    {"age": ".5", "size": "6", "target": "yes"},
]


def table_of(path: Path, rows: list[dict[str, Any]] = ROWS) -> str:
    return str(write(path, rows))


def values(path: str, split: Split = Split.TRAIN, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    return Table(train=path, val=path, test=path, **settings).source(split, seed=0).numpy()


@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz", "a.jsonl"])
@pytest.mark.parametrize("split", list(Split))
def test_each_kind_of_file_gives_the_same_numbers(tmp_path: Path, name: str, split: Split) -> None:
    numbers, targets = values(table_of(tmp_path / name), split)
    assert (numbers.dtype.name, numbers.tolist()) == ("float32", [[1, 2.5], [-300, 4], [0.5, 6]])
    assert (targets.dtype.name, targets.tolist()) == ("float32", [[1], [0], [1]])  # sorted: no, yes


def test_inputs_are_taken_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    path = table_of(
        tmp_path / "a.csv",
        [{"name": "x", "size": 2, "kind": 1, "age": 3}, {"name": "y", "size": 4, "kind": 0, "age": 5}],
    )
    settings: dict[str, Any] = {"inputs": ("age", "size"), "target": "kind"}
    assert values(path, **settings)[0].tolist() == [[3, 2], [5, 4]]
    resolved = Table(train=path, inputs=("age", "size"), target="kind").resolve()
    assert (resolved.inputs, resolved.classes, resolved.positive_class) == (("age", "size"), ("0", "1"), "1")
    assert values(path, positive_class="0", **settings)[1].tolist() == [[0], [1]]


def test_more_classes_have_their_index_as_target(tmp_path: Path) -> None:
    rows = [{"x": i, "target": label} for i, label in enumerate(["b", "c", "a", "b"])]
    targets = values(table_of(tmp_path / "a.csv", rows))[1]
    assert (targets.dtype.name, targets.tolist()) == ("int32", [1, 2, 0, 1])
    assert values(table_of(tmp_path / "a.csv", rows), classes=("c", "b", "a"))[1].tolist() == [1, 0, 2, 1]


def test_a_regression_has_a_number_as_target(tmp_path: Path) -> None:
    path = table_of(tmp_path / "a.jsonl", [{"x": 1, "target": 0.5}, {"x": 2, "target": -7}])
    numbers, targets = values(path, task="regression")
    assert numbers.tolist() == [[1], [2]]
    assert (targets.dtype.name, targets.tolist()) == ("float32", [[0.5], [-7]])
    resolved = Table(train=path, task="regression").resolve()
    assert (resolved.inputs, resolved.classes, resolved.positive_class) == (("x",), None, None)


def test_resolve_records_what_later_commands_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table_of(tmp_path / "train.csv")
    table_of(tmp_path / "val.csv", ROWS[:1])
    monkeypatch.chdir(tmp_path)
    resolved = Table(train="train.csv", val="val.csv").resolve()
    assert (resolved.inputs, resolved.classes, resolved.positive_class) == (
        ("age", "size"),
        ("no", "yes"),
        "yes",
    )
    monkeypatch.chdir("/")
    (tmp_path / "train.csv").unlink()
    assert resolved.resolve() == resolved
    source = resolved.source(Split.VALIDATION, seed=0)
    assert source.numpy()[1].tolist() == [[1]]
    assert source.sample_name(0) == f"{tmp_path}/val.csv:1"


def test_without_val_a_part_is_held_out(tmp_path: Path) -> None:
    path = table_of(tmp_path / "a.csv", [{"x": i, "target": i % 2} for i in range(20)])
    config = Table(train=path, validation_split=0.25)
    train, validation = (config.source(split, seed=3) for split in (Split.TRAIN, Split.VALIDATION))
    seen = [{int(x) for x in source.numpy()[0][:, 0]} for source in (train, validation)]
    assert (len(seen[1]), seen[0] | seen[1]) == (5, set(range(20)))
    for source in (train, validation):
        assert [source.sample_name(i) for i in range(len(source))] == [
            f"{path}:{int(x) + 1}" for x in source.numpy()[0][:, 0]
        ]


BAD = ["", "abc", "nan", "inf", "1e39", "1_000", "1,5"]


def test_each_cell_that_is_no_finite_number_is_named(tmp_path: Path) -> None:
    rows = [{"x": 1, "y": cell, "target": "ab"[i % 2]} for i, cell in enumerate(["2", *BAD])]
    path = table_of(tmp_path / "a.csv", rows)
    for config in (Table(train=path, val=path), Table(train=path)):
        with pytest.raises(DataError) as caught:
            config.source(Split.TRAIN, seed=0)
        assert str(caught.value).splitlines() == [
            "7 of 8 rows cannot be used:",
            *(
                f"    {path}:{i}: its 'y' is {cell!r}, which is not a finite number"
                for i, cell in enumerate(BAD, start=2)
            ),
            "    hint:    mend or remove them; data.inputs=[...] names the columns that are numbers",
        ]


@pytest.mark.parametrize("cell", ["true", "null", "[1]", "NaN", "1" + "0" * 400, '"x"'])
def test_what_json_knows_and_is_no_number(tmp_path: Path, cell: str) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"x": {cell}, "target": 1.5}}\n{{"x": 2, "target": {cell}}}\n')
    with pytest.raises(
        DataError, match=r"2 of 2 rows(.|\n)*a\.jsonl:1: its 'x' is (.|\n)*a\.jsonl:2: its 'target' is"
    ):
        values(str(tmp_path / "a.jsonl"), task="regression")


@pytest.mark.parametrize(
    ("content", "settings", "reason"),
    [
        ("x,target\n1,a,2\n2,b\n", {}, r"1 of 2 rows(.|\n)*a\.csv:1: has 3 cells"),
        (
            "x,targets\n1,a\n",
            {},
            r"has no 'target'; it has 'x', 'targets'(.|\n)*data\.target(.|\n)*did you mean 'targets'",
        ),
        (
            "size,target\n1,a\n",
            {"inputs": ("sise",)},
            r"has no 'sise'(.|\n)*data\.inputs(.|\n)*did you mean 'size'",
        ),
        ("x,target\n1,a\n2,\n", {}, r"a\.csv:2: its 'target' is empty"),
        ("x,target\n", {}, "has no rows"),
        ("", {}, "has no rows"),
        (
            "x,target\n1,a\n2,b\n3,c\n",
            {"classes": ("a", "b")},
            r"1 of 3 rows have labels of no class(.|\n)*a\.csv:3: 'c'",
        ),
    ],
)
def test_a_table_that_cannot_be_used(
    tmp_path: Path, content: str, settings: dict[str, Any], reason: str
) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError, match=reason):
        values(str(tmp_path / "a.csv"), **settings)


@pytest.mark.parametrize(
    ("name", "content", "path"),
    [
        ("b.csv", "x,target\n1,a\n", "data.train"),
        ("a.csv", "target\na\nb\n", "data.inputs"),
        ("a.csv", "x,target\n1,a\n", "data.classes"),
    ],
)
def test_what_cannot_be_filled_in(tmp_path: Path, name: str, content: str, path: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError) as caught:
        Table(train=str(tmp_path / "a.csv")).resolve()
    assert [problem.path for problem in caught.value.problems] == [path]


def test_another_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"x")
    with pytest.raises(DataError, match=r"cannot tell the kind of(.|\n)*\.csv"):
        values(str(tmp_path / "a.xlsx"))


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"task": "regresion"}, "data.task"),
        ({"task": "regression", "classes": ["a", "b"]}, "data.classes"),
        ({"task": "regression", "positive_class": "a"}, "data.positive_class"),
        ({"classes": ["a", "b"], "positive_class": "c"}, "data.positive_class"),
        ({"inputs": []}, "data.inputs"),
        ({"inputs": ["x", "x"]}, "data.inputs"),
        ({"inputs": ["x", "target"]}, "data.inputs"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], path: str) -> None:
    problems: list[Problem] = []
    assert read(Table, settings, "data", problems) is None
    assert [p.path for p in problems] == [path]


def test_a_fingerprint_is_of_the_values(tmp_path: Path) -> None:
    def fingerprint(rows: list[dict[str, Any]], name: str = "a.csv") -> str:
        path = table_of(tmp_path / name, rows)
        return Table(train=path, val=path, classes=("no", "yes")).source(Split.TRAIN, seed=0).fingerprint()

    before = fingerprint(ROWS)
    assert before.startswith("3 rows of 2 numbers")
    assert fingerprint(ROWS, "b.jsonl") == before
    others = [ROWS[:2], [ROWS[0] | {"age": "2"}, *ROWS[1:]], [ROWS[0] | {"target": "no"}, *ROWS[1:]]]
    assert len({before, *map(fingerprint, others)}) == 4


# A run ------------------------------------------------------------------------------------------------------


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy scenarios on tables, for this process to import and to compose."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "toy"))
    from tables_toy import write_conf

    return write_conf(tmp_path / "conf")


def compose_table(conf: Path, *words: str) -> Scenario:
    quick = (
        "trainer.tensorboard=false",
        "trainer.report=false",
        "trainer.export_saved_model=false",
        "lr=0.05",
        "epochs=6",
    )
    return compose("scenario=table_toy", *quick, *words, config_dir=conf)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_run_on_a_table(conf: Path, tmp_path: Path, task: str) -> None:
    rng = random.Random(0)
    points = [[rng.uniform(-1, 1) for _ in range(3)] for _ in range(160)]
    targets = [sum(p) if task == "regression" else "over" if sum(p) > 0 else "under" for p in points]
    path = table_of(
        tmp_path / "a.csv",
        [{"a": p[0], "b": p[1], "c": p[2], "sum": t} for p, t in zip(points, targets, strict=True)],
    )
    scenario = compose_table(conf, f"data.train={path}", "data.target=sum", f"data.task={task}")
    result = Trainer(scenario, RunDirectory.create(tmp_path / "run"), console=quiet()).train()
    assert result.status == "finished"
    metrics = result.best["metrics"] if result.best else {}
    assert metrics["val_loss"] < 0.1 if task == "regression" else metrics["val_accuracy"] > 0.85
    recorded: Any = RunDirectory.open(tmp_path / "run").load_config().data
    assert recorded.inputs == ("a", "b", "c")
    assert recorded.classes == (None if task == "regression" else ("over", "under"))
    assert Trainer.resume(tmp_path / "run", "epochs=7", console=quiet()).train().epochs == 7
