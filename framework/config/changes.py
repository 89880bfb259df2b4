"""Changes of settings in a resume, and which are allowed."""

from __future__ import annotations

from collections.abc import Mapping

from framework.config.schema import PlainValue
from framework.config.sections import RunConfig
from framework.errors import ConfigError, Problem

# Weights, optimizer state, and the place in the stream that a step stands for mean something only under
# these.
_FIXED = (
    *("scenario.name", "scenario.target", "model", "device.precision"),
    *(
        "trainer.seed",
        "trainer.no_train_scope",
        "trainer.overfit_batches",
        "trainer.samples_per_epoch",
        "trainer.steps_per_epoch",
        "trainer.post_hoc_ema",
    ),
    *("data.name", "data.batch_size", "data.limit", "data.exif", "data.jpeg", "optimizer.accumulate_steps"),
    "warmstart",
)


def describe_changes(before: RunConfig, after: RunConfig) -> dict[str, tuple[PlainValue, PlainValue]]:
    """Return the settings that differ, by path: (old value, new value). A missing setting is None."""
    old, new = _flatten(before.to_plain()), _flatten(after.to_plain())
    paths = [*old, *(path for path in new if path not in old)]
    return {path: (old.get(path), new.get(path)) for path in paths if old.get(path) != new.get(path)}


def check_changes(changes: Mapping[str, tuple[PlainValue, PlainValue]]) -> None:
    """Check that changes do not break a run.

    Raises:
        ConfigError: naming each change that a run cannot survive.
    """
    problems = [
        Problem(
            path,
            "cannot change in a run that has begun",
            given=new,
            allowed=f"{old!r}, as the run was started",
            hint="a warm start gives a new run its first weights: train-scenario ... warmstart.model=..."
            if path.startswith("warmstart")
            else "start a new run",
        )
        for path, (old, new) in changes.items()
        if any(path == fixed or path.startswith(fixed + ".") for fixed in _FIXED)
    ]
    if problems:
        raise ConfigError(problems, subject="the changes")


def _flatten(plain: PlainValue, path: str = "") -> dict[str, PlainValue]:
    if not isinstance(plain, Mapping):
        return {path: plain}
    return {
        where: value
        for key, node in plain.items()
        for where, value in _flatten(node, f"{path}.{key}" if path else key).items()
    }
