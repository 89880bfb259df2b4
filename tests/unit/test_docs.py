"""What the documents say can be typed: every command in them is composed, or applied to the config of a run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from framework.composition import apply_overrides, compose_config
from framework.config import parse
from tests.conftest import REPOSITORY

DOCUMENTS = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "scenarios").rglob("*.md")),
    *sorted((REPOSITORY / "conf").rglob("*.yaml")),
]
COMPOSED = ("train-scenario", "benchmark-input-pipeline", "validate-data")
ON_A_RUN = ("resume-training", "load-and-validate", "predict-scenario", "ema-weights")
COMMAND = re.compile(rf"[#\s]*(?:SCENARIO_LOG_LEVEL=\w+ )?((?:{'|'.join((*COMPOSED, *ON_A_RUN))}) [^`]*)")


def commands() -> Iterator[tuple[Path, list[str]]]:
    """The commands on lines of their own, but for those about scenarios that are not shipped."""
    for document in DOCUMENTS:
        for line in document.read_text().splitlines():
            if match := COMMAND.fullmatch(line):
                words = shlex.split(re.sub(r"\s#\s.*", "", match[1]))
                if "--config-dir" not in words and not any(word.startswith("scenario.target=my_") for word in words):
                    yield document, words


COMMANDS = [pytest.param(words, id=f"{document.name}: {' '.join(words)}") for document, words in commands()]


def test_there_are_commands_of_each_kind() -> None:
    assert len(COMMANDS) > 50
    assert {param.values[0][0] for param in COMMANDS} == {*COMPOSED, *ON_A_RUN}  # type: ignore[index]


@pytest.mark.parametrize("words", COMMANDS)
def test_what_the_documents_say_can_be_typed(words: list[str]) -> None:
    settings = [word for word in words if "=" in word]
    if words[0] in ON_A_RUN:
        config = compose_config(["scenario=mesonet", "data=image_folder", "data.train_dir=DIR", "data.val_dir=DIR"])
        parse(apply_overrides(config.to_plain(), settings))
    elif "-m" in words:
        compose_config([setting.partition(",")[0] for setting in settings])
    else:
        compose_config(settings)


def test_the_evaluator_of_the_training_page() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "training.md").read_text(), re.DOTALL)
    names: dict[str, type] = {}
    exec(block, names)
    evaluator = names["WorstMistake"]()
    for output, target in ((0.9, 1.0), (0.7, 0.0), (0.2, 0.0)):
        evaluator.update(names["Sample"](inputs=np.zeros(2), target=np.array([target]), output=np.array([output])))
    assert evaluator.result() == {"worst_mistake": pytest.approx(0.7)}
    assert tuple(evaluator.result()) == evaluator.names
