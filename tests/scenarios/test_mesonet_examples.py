"""The examples of docs/mesonet_api.md run, in their order, in one process."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.cli.test_commands import write_images
from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "mesonet_api.md"


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The examples, in a folder with what they read."""
    from scenarios.mesonet import build_model

    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "data" / "train", count=24, size=64)
    write_images(tmp_path / "data" / "test", count=3, size=64)
    for name in ("model.hdf5", "model.keras"):
        build_model().save(name)
    found = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(found) == 13
    return found


def run(examples: Iterable[str]) -> None:
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), names)


@pytest.mark.slow
def test_the_examples_that_do_not_train_run(examples: list[str]) -> None:
    run(example for example in examples if "history" not in example)


@pytest.mark.long  # 30 epochs at 256x256, as the page has it
def test_the_examples_run(examples: list[str], tmp_path: Path) -> None:
    run(examples)
    assert len(list(tmp_path.glob("outputs/*"))) == 3
    for name in ("layer.png", "loss.png", "history.pickle"):
        assert (tmp_path / name).is_file()
