"""The types of the files of a run, with which `framework.run.run_files` reads them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NotRequired, TypedDict

from framework.config.schema import setting
from framework.errors import Problem
from framework.run.run_files import MEGABYTE, FileRecord

_STEPS = 2**40


def _count(default: object = dataclasses.MISSING) -> Any:
    return setting(default, ge=0, le=_STEPS)


def _metrics() -> Any:
    return dataclasses.field(default_factory=dict)


def _not_numbers(metrics: Mapping[str, object] | None, path: str) -> Iterator[Problem]:
    """Yield a problem for each metric that is not a number.

    JSON holds a metric that is not finite as null, or as NaN.
    """
    for name, value in (metrics or {}).items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            yield Problem(f"{path}.{name}".lstrip("."), "is not a number", given=value)


class EpochRecord(TypedDict):
    """The metrics of one phase of an epoch, as a line of `metrics.jsonl` and the history in a checkpoint hold
    them."""

    phase: str
    epoch: int
    step: int
    time: str
    metrics: dict[str, float]
    learning_rate: NotRequired[float]
    speed: NotRequired[dict[str, float]]
    seconds: NotRequired[dict[str, float]]


class StoredVariable(TypedDict):
    """A variable of a checkpoint, as `state.json` describes it."""

    name: str
    shape: list[int]
    dtype: str


class StoredFile(TypedDict):
    """The size and the checksum of a file of a checkpoint, as `manifest.json` holds them."""

    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class BestEpoch(FileRecord):
    """The best epoch of a run."""

    epoch: int = _count()
    step: int = _count()
    metrics: dict[str, object] = _metrics()

    def check(self) -> Iterator[Problem]:
        yield from _not_numbers(self.metrics, "metrics")


@dataclass(frozen=True, kw_only=True)
class ResultFile(FileRecord):
    """`result.json`."""

    status: str = setting()
    epochs: int = _count()
    steps: int | None = _count(None)
    best: BestEpoch | None = None
    final: dict[str, object] = _metrics()
    seconds: float | None = None
    phases: dict[str, float] | None = None
    message: str | None = None
    left_out: tuple[int, ...] | None = _count(())
    monitor: str | None = None
    mode: str | None = None

    def check(self) -> Iterator[Problem]:
        yield from _not_numbers(self.final, "final")


@dataclass(frozen=True, kw_only=True)
class SessionRecord(FileRecord):
    """A start or a resume in `provenance.json`."""

    versions: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ProvenanceFile(FileRecord):
    """`provenance.json`."""

    sessions: tuple[SessionRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelFile(FileRecord):
    """`model.json` beside an exported model."""

    scenario: str | None = None
    epoch: int | None = _count(None)
    step: int | None = _count(None)
    metrics: dict[str, object] = _metrics()
    weights: str | None = None
    sha256: str | None = None

    def check(self) -> Iterator[Problem]:
        yield from _not_numbers(self.metrics, "metrics")


@dataclass(frozen=True, kw_only=True)
class Fingerprint(FileRecord):
    """The size and the checksum of a file of a checkpoint."""

    bytes: int = setting(ge=0, le=2**60)
    sha256: str = setting()


@dataclass(frozen=True, kw_only=True)
class ManifestFile(FileRecord):
    """`manifest.json` of a checkpoint."""

    format: object = None
    files: dict[str, Fingerprint] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class VariableRecord(FileRecord):
    """A variable in a checkpoint."""

    name: str = setting()
    shape: tuple[int, ...] = setting(ge=0, le=2**60)
    dtype: str = setting()


@dataclass(frozen=True, kw_only=True)
class StateFile(FileRecord):
    """`state.json` of any checkpoint."""

    limit: ClassVar[int] = 512 * MEGABYTE  # the history grows with the run
    groups: ClassVar[tuple[str, ...]] = ()
    """Names of the groups of variables that it must have."""

    step: int = _count()
    variables: dict[str, tuple[VariableRecord, ...]] = setting()

    def check(self) -> Iterator[Problem]:
        for group in self.groups:
            if group not in self.variables:
                yield Problem(f"variables.{group}", "is missing")


@dataclass(frozen=True, kw_only=True)
class BeforeEndRecord(FileRecord):
    """The state before the end of a run, from which it goes on if it gets more epochs."""

    best: BestEpoch | None = None
    final: dict[str, object] = _metrics()
    records: int = _count()

    def check(self) -> Iterator[Problem]:
        yield from _not_numbers(self.final, "final")


@dataclass(frozen=True, kw_only=True)
class ProgressRecord(FileRecord):
    """The progress of a run."""

    epoch: int = _count()
    step: int = _count()
    best: BestEpoch | None = None
    final: dict[str, object] = _metrics()
    seconds: float = setting(0.0, ge=0)
    stopped: str | None = None
    left_out: tuple[int, ...] = _count(())
    before_end: BeforeEndRecord | None = None

    def check(self) -> Iterator[Problem]:
        yield from _not_numbers(self.final, "final")


@dataclass(frozen=True, kw_only=True)
class EarlyStoppingRecord(FileRecord):
    """The state of early stopping."""

    best: object = None
    checked: int = _count(0)
    without_improvement: int = _count(0)
    improved: bool = False
    mode: Literal["min", "max"] = "min"

    def check(self) -> Iterator[Problem]:
        yield from _not_numbers({"best": self.best}, "")


@dataclass(frozen=True, kw_only=True)
class PlateauRecord(FileRecord):
    """The state of `learning_rate=reduce_on_plateau`."""

    lr: float = setting(ge=0)
    monitor: str = setting()
    mode: Literal["min", "max"] = setting()
    rate: float = setting(ge=0)
    best: object = None
    wait: int = _count()
    cooldown: int = _count()

    def check(self) -> Iterator[Problem]:
        yield from _not_numbers({"best": self.best}, "")


@dataclass(frozen=True, kw_only=True)
class MetricsRecord(FileRecord):
    """A line of `metrics.jsonl`, and of the history in a checkpoint."""

    phase: str = setting()
    epoch: int = _count()
    step: int = _count()
    time: str = ""
    metrics: dict[str, object] = _metrics()
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    def check(self) -> Iterator[Problem]:
        yield from _not_numbers(self.metrics, "metrics")


@dataclass(frozen=True, kw_only=True)
class RunStateFile(StateFile):
    """`state.json` of a checkpoint that a run continues from."""

    groups: ClassVar[tuple[str, ...]] = ("model", "optimizer", "metrics")

    steps_per_epoch: int = setting(ge=1, le=_STEPS)
    data: str | None = None
    progress: ProgressRecord = setting()
    early_stopping: EarlyStoppingRecord = setting()
    learning_rate: PlateauRecord | None = None
    history: tuple[MetricsRecord, ...] = setting()

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        if self.progress.step != self.step:
            yield Problem("progress.step", "is not the step of the checkpoint", given=self.progress.step)


@dataclass(frozen=True, kw_only=True)
class JobRecord(FileRecord):
    """A line of `jobs.jsonl` of a sweep."""

    job: int = _count()
    words: tuple[str, ...] = setting()
    directory: str = setting()
    exit_code: int | None = setting(None, ge=-1000, le=1000)
