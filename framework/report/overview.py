"""What TensorBoard shows of a run as a whole: its config, its model and its hyperparameters, as summaries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from framework.report.recorded import Recorded
from framework.report.sections import plain
from framework.report.tensorboard import table
from framework.run import summaries

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

# What says where and how a run is done and shown, and not what is learned.
_NOT_LEARNED = (
    "device.",
    *(
        f"trainer.{name}"
        for name in ("output_dir", "checkpoint_", "keep_checkpoints", "export_", "report", "varied")
    ),
    *(
        f"trainer.{name}"
        for name in ("tensorboard", "scalars_", "samples_every_n", "figures_", "histograms_")
    ),
    *(f"trainer.{name}" for name in ("profile", "trace_nan", "run_eagerly", "trial_run")),
)


def folder_name(varied: Sequence[str]) -> str:
    """The name of a folder that says what a run is told from others by.

    >>> folder_name(["lr=0.01", "scenario.augment=true"])
    'lr=0.01,augment=true'
    """
    keys = [word.lstrip("+~").partition("=")[0] for word in varied]
    short = [key.rpartition(".")[2] for key in keys]
    words = [
        word.lstrip("+~").removeprefix(key.removesuffix(name)) if short.count(name) == 1 else word
        for word, key, name in zip(varied, keys, short, strict=True)
    ]
    return re.sub(r"[^\w.,=+@-]+", "_", ",".join(words))[:150].strip("._")


def texts_of(recorded: Recorded, table_of_layers: str) -> list[Summary]:
    """The config, the settings that differ from the defaults, and the layers of the model.

    Args:
        table_of_layers: as Keras prints it.
    """
    settings = [
        [change.path, plain(change.value), "" if change.default is None else plain(change.default)]
        for change in recorded.changes()
    ]
    config = yaml.safe_dump(recorded.config.to_plain(), sort_keys=False, allow_unicode=True)
    return [
        summaries.text("settings", table(["setting", "value", "default"], settings)),
        summaries.text("config", f"```\n{config}\n```"),
        summaries.text("model", f"```\n{table_of_layers}\n```"),
    ]


def hyperparameters_of(recorded: Recorded) -> list[Summary]:
    """The settings that tell the run from others, and those that differ from the defaults, for the HParams tab."""
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    named = "/".join(recorded.run.path.absolute().parts[-2:])
    return [hparams_pb(hyperparameters(recorded), trial_id=named)]


def hyperparameters(recorded: Recorded) -> dict[str, bool | int | float | str]:
    """The values that `hyperparameters_of` shows, by their settings."""
    varied = dict(word.lstrip("+").partition("=")[::2] for word in recorded.config.trainer.varied)
    found = {
        change.path: _value(change.value)
        for change in recorded.changes()
        if not change.path.startswith(_NOT_LEARNED) and not _is_named(change.path, varied)
    }
    return found | {name: _value(yaml.safe_load(text or "''")) for name, text in varied.items()}


def results_of(metrics: Mapping[str, Mapping[str, float] | None], monitor: str, status: str) -> list[Summary]:
    """How a run ended, for the HParams tab.

    Args:
        metrics: those of the best and of the last epoch, by `best` and `final`; None where there is none.
        monitor: the value that decides which epoch is best.
        status: as in result.json.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
    from tensorboard.plugins.hparams.summary import session_end_pb

    good = STATUS_SUCCESS if status in ("finished", "stopped_early") else STATUS_FAILURE
    values = [
        summaries.scalar(f"result/{which}_{monitor}", of_epoch[monitor])
        for which, of_epoch in metrics.items()
        if of_epoch and monitor in of_epoch
    ]
    return [*values, Summary.FromString(session_end_pb(good).SerializeToString())]


def _is_named(path: str, varied: Mapping[str, str]) -> bool:
    """Whether what was varied names a setting, by its path or by its short form, such as `lr`."""
    return path in varied or path.rpartition(".")[2] in varied


def _value(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else plain(value)
