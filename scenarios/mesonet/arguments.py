"""Arguments of the functions of this package: plain values for a config, and problems by their names."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from framework import ConfigError, Problem

# The settings that arguments become.
_NAMES = {
    "data.train_dir": "train_data_dir",
    "data.test_dir": "the folder of images",
    "data.validation_split": "validation_split",
    "data.batch_size": "batch_size",
    "trainer.epochs": "epochs",
    "trainer.tensorboard": "tensorboard",
    "scenario.loss": "loss",
    "learning_rate.lr": "lr",
    "learning_rate.decay_rate": "decay_rate",
    "learning_rate.decay_limit": "decay_limit",
    "early_stopping.monitor": "monitor",
    "early_stopping.mode": "mode",
    "early_stopping.patience": "patience",
    "scenario.augmentation": "augmentations",
    "scenario.displacement": "augmentations",
}


def plain(value: object) -> Any:
    """Return an argument as a config takes it: a path as a text, a number of NumPy as one of Python."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "ndim", None) == 0 else value


def in_arguments(problems: Sequence[Problem]) -> ConfigError:
    """Return the error of settings that were given as arguments."""
    return ConfigError([_named(problem) for problem in problems], subject="the arguments")


@contextlib.contextmanager
def problems_of_arguments() -> Iterator[None]:
    """Name the arguments instead of the settings that they become, in a `ConfigError` of the context."""
    try:
        yield
    except ConfigError as error:
        raise in_arguments(error.problems) from error


def _named(problem: Problem) -> Problem:
    def renamed(text: str | None) -> str | None:
        if text is None:
            return None
        for setting, argument in _NAMES.items():
            text = re.sub(rf"\b{re.escape(setting)}\b", argument, text)
        return text

    path, hint = renamed(problem.path), renamed(problem.hint)
    if problem.path == "learning_rate.decay_limit" and hint:
        hint += ", or lr_decay=False"
    return dataclasses.replace(
        problem,
        path=path or "",
        message=renamed(problem.message) or "",
        allowed=renamed(problem.allowed),
        hint=hint,
    )
