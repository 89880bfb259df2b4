"""What the documents say can be typed: every command in them is composed, or applied to the config of a
run."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from framework.cli import lav
from framework.cli.hydra_options import parse_options
from framework.config.compose import compose_config
from framework.config.resume import apply_overrides
from framework.config.run_config import parse
from framework.config.sections import RunConfig
from framework.config.sweep import compose_sweep
from framework.errors import ConfigError
from tests.conftest import REPOSITORY

DOCUMENTS = [
    REPOSITORY / "README.md",
    # A test types extending.md as it stands: its commands are about what the page registers.
    *sorted(page for page in (REPOSITORY / "docs").glob("*.md") if page.name != "extending.md"),
    *sorted((REPOSITORY / "scenarios").rglob("*.md")),
    *sorted((REPOSITORY / "conf").rglob("*.yaml")),
]
COMPOSED = ("train-scenario", "benchmark-input-pipeline", "validate-data", "check-scenario")
ON_A_RUN = (
    "resume-training",
    "load-and-validate",
    "predict-scenario",
    "ema-weights",
    "report-run",
    "explain-prediction",
)
WITH_PAIRS = ("--data", "--class-map", "--degrade")
"""Options of which the value is not an override, and looks like one."""
NAMES = "|".join((*COMPOSED, *ON_A_RUN))
LINE = re.compile(rf"[#\s]*(?:SCENARIO_LOG_LEVEL=\w+ )?((?:{NAMES}) [^`]*)")
INLINE = re.compile(rf"`((?:{NAMES})\s[^`]*=[^`]*)`")
WRONG = "scenario.fliters=8"
"""What the tutorial shows the answer to."""


def commands() -> Iterator[tuple[Path, list[str]]]:
    """The commands on lines of their own, and those in the text, but for those about scenarios that nobody
    has."""
    for document in DOCUMENTS:
        text = document.read_text()
        lines = [match[1] for match in map(LINE.fullmatch, text.splitlines()) if match]
        for command in [
            *lines,
            *INLINE.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)),
        ]:
            words = shlex.split(re.sub(r"\s#\s.*", "", command))
            theirs = {"key=value", "scenario=NAME", "scenario=my_digits"} & set(words) or (
                "--config-dir" in words and "scenario=strokes" not in words
            )
            if not theirs and not any(word.startswith("scenario.target=my_") for word in words):
                yield document, words


# Each once, with the first document that has it.
COMMANDS = {tuple(words): f"{document.name}: {' '.join(words)}" for document, words in [*commands()][::-1]}


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package that the tutorial writes, found by Python; its folder of options."""
    package = tmp_path_factory.mktemp("tutorial")
    page = (REPOSITORY / "docs" / "tutorial.md").read_text()
    # Copied whole, as in tests/cli/test_tutorial.py.
    for content, name in re.findall(
        r"^```\w+\n((?:# @package \S+\n)?# (\S+\.\w+)\n.*?)^```", page, re.MULTILINE | re.DOTALL
    ):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(package))
        yield package / "conf"


def test_there_are_commands_of_each_kind() -> None:
    assert len(COMMANDS) > 60
    assert {words[0] for words in COMMANDS} == {*COMPOSED, *ON_A_RUN}
    assert any({"-m", "scenario=strokes"} <= set(words) for words in COMMANDS), "the tutorial's, in its text"


@functools.cache
def config_of_a_run() -> RunConfig:
    return compose_config(["scenario=mesonet", "data=image_folder", "data.train_dir=DIR", "data.val_dir=DIR"])


@pytest.mark.parametrize("words", COMMANDS, ids=COMMANDS.get)
def test_what_the_documents_say_can_be_typed(words: tuple[str, ...], tutorial: Path) -> None:
    if words[0] == "load-and-validate":
        lav.make_parser().parse(words[1:])
    of_options = {words[i + 1] for i, word in enumerate(words) if word in WITH_PAIRS}
    settings = [
        word
        for word in words
        if "=" in word and word not in of_options and not word.startswith(("hydra.", "hydra/"))
    ]
    if words[0] in ON_A_RUN and not any(
        word.startswith("scenario=") for word in settings
    ):  # those are on weights without a run
        parse(apply_overrides(config_of_a_run().to_plain(), settings))
        return
    folder = tutorial if "--config-dir" in words else None
    if words[0] == "train-scenario":
        parse_options(words[1:])  # as the command does
    if "-m" in words:
        compose_sweep(settings, config_dir=folder).first_job()
    elif WRONG in words:
        with pytest.raises(ConfigError, match="did you mean 'filters'"):
            compose_config(settings, config_dir=folder)
    else:
        compose_config(settings, config_dir=folder)


def test_the_evaluator_of_the_training_page() -> None:
    (block,) = re.findall(
        r"```python\n(.*?)```", (REPOSITORY / "docs" / "training.md").read_text(), re.DOTALL
    )
    names: dict[str, type] = {}
    exec(block, names)
    evaluator = names["WorstMistake"]()
    for output, target in ((0.9, 1.0), (0.7, 0.0), (0.2, 0.0)):
        evaluator.update(
            names["Sample"](inputs=np.zeros(2), target=np.array([target]), output=np.array([output]))
        )
    assert evaluator.result() == {"worst_mistake": pytest.approx(0.7)}
    assert tuple(evaluator.result()) == evaluator.names
