"""The examples of docs/mesonet_api.md run, in their order, in one process."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.test_commands import write_images
from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "mesonet_api.md"


@pytest.mark.slow
def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scenarios.mesonet import build_model

    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "data" / "train", count=24, size=64)
    write_images(tmp_path / "data" / "test", count=3, size=64)
    build_model().save("model.hdf5")
    found: dict[str, object] = {}
    examples = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(examples) == 13
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), found)
    assert len(list(tmp_path.glob("outputs/*"))) == 3
    for name in ("layer.png", "loss.png", "history.pickle", "model.keras"):
        assert (tmp_path / name).is_file()
