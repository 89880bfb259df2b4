"""Evaluation of all weights of a run - raw, averaged in training, averaged now - on the validation data."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from framework.errors import CheckpointError, ConfigError, Problem, RunDirectoryError, unknown_name
from framework.model.evaluation_weights import GivenWeights, float_weights
from framework.model.export import export_model
from framework.model.post_hoc_ema import LONGEST, Profile, coefficients, deviation, power_average
from framework.run.checkpoint import CheckpointStore, Snapshot, check_fit, restore_variables
from framework.run.device import import_tensorflow
from framework.run.run_directory import RunDirectory
from framework.run.run_records import RunStateFile
from framework.scenario import scenario_of
from framework.training.components import Components
from framework.training.early_stopping import is_best
from framework.training.validation import Validator

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("framework")

# The default lengths: those that Karras et al. 2024 find best for one network or another.
LENGTHS = (0.05, 0.1, 0.15, 0.2)
# Attempts to read checkpoints that a run in training deletes meanwhile.
_TRIES = 10


@dataclass(frozen=True)
class Candidate:
    """Weights with which a run can be evaluated and used.

    Args:
        name: `raw`, `ema`, `average`, or `power-LENGTH`.
        about: where they come from, as a text.
        arrays: one for each of `float_weights(model)`.
    """

    name: str
    about: str
    arrays: Sequence[np.ndarray]


class RunWeights:
    """The weights of a run at its newest intact checkpoint.

    The run may be in training meanwhile; nothing of it is changed.

        weights = RunWeights("outputs/run1")
        for candidate in weights.candidates(lengths=(0.05, 0.15)):
            print(candidate.name, weights.judge(candidate))
        weights.export(weights.candidate("average"), "outputs/run1/ema-weights/average")

    Args:
        run: the run directory.
        overrides: applied to its config, such as `data.val_dir=OTHER`.

    Raises:
        ScenarioError: if the run or its data cannot be used, or there is no checkpoint yet.
    """

    def __init__(self, run: str | Path, *overrides: str) -> None:
        directory = RunDirectory.open(run)
        scenario = scenario_of(directory.load_config(overrides))
        import_tensorflow()
        self._store = CheckpointStore(directory.checkpoints, holds=RunStateFile)
        self._averages = CheckpointStore(directory.averages)
        self._snapshot = self._load_newest(directory)
        self.components = Components(scenario, fresh=False, lav_folder=directory.lav)
        self.step = self._snapshot.step
        """Steps that the run had done at the checkpoint."""
        restore_variables(self.components.model.variables, self._snapshot.group("model"), what="model")
        self._validator: Validator | None = None

    def candidates(
        self, *, last: int | None = None, lengths: Sequence[float] | None = None
    ) -> list[Candidate]:
        """List all weights of the run that can be evaluated.

        Args:
            last: how many of the newest checkpoints to average; None: all that are kept.
            lengths: lengths of power-function averages, as fractions of the training in (0, 0.28]; None:
                `LENGTHS`, if the run saved averages.

        Raises:
            ConfigError: if a length is out of range.
            RunDirectoryError: if lengths are given, and the run saved no averages.
        """
        found = [
            Candidate("raw", f"as they are after step {self.step:,}", self._float_arrays(self._snapshot))
        ]
        if "average" in self._snapshot.variables:
            about = f"moving average, trainer.calc_ema={self.components.scenario.config.trainer.calc_ema:g}"
            found.append(Candidate("ema", about, self._average(self._snapshot, "average")))
        found += self._mean_of_newest(last)
        kept = bool(self.components.scenario.config.trainer.post_hoc_ema)
        if lengths and not kept:
            raise RunDirectoryError(
                "the run kept no averages that others could be made of",
                hint="train with trainer.post_hoc_ema=[0.05,0.1]",
            )
        return [*found, *self._of_lengths(LENGTHS if lengths is None and kept else lengths or ())]

    def candidate(self, name: str) -> Candidate:
        """Return the weights of a name.

        Raises:
            ConfigError: if the run has no weights of that name.
        """
        match = re.fullmatch(r"power-(\d*\.?\d+)", name)
        found = {
            candidate.name: candidate
            for candidate in self.candidates(lengths=[float(match[1])] if match else [])
        }
        if name not in found:
            problem = unknown_name("weights", "name of weights", name, [*found, "power-LENGTH"])
            raise ConfigError(problem, subject="what was asked for")
        return found[name]

    def best_of(self, judged: Sequence[Mapping[str, float]]) -> int | None:
        """Return the index of the best of several results of `judge`; None if none of them is a number.

        The best is decided by what the run monitors, or by the loss if that is not a value of the validation.
        """
        name, mode = self.components.monitor.removeprefix("val_"), self.components.mode
        if any(name not in metrics for metrics in judged):
            name, mode = "loss", "min"
        best: int | None = None
        for i, metrics in enumerate(judged):
            if is_best(metrics, None if best is None else judged[best], name, mode, "loss"):
                best = i
        return best

    def judge(self, candidate: Candidate) -> dict[str, float]:
        """Compute loss and metrics on the validation data, with BatchNorm statistics as in training."""
        self._validator = self._validator or self.components.make_validator()
        with self.components.evaluation_weights(
            self.step, GivenWeights(self.components.model, candidate.arrays)
        ):
            return self._validator.evaluate()

    def export(
        self,
        candidate: Candidate,
        folder: str | Path,
        metrics: Mapping[str, float],
        *,
        saved_model: bool = True,
    ) -> None:
        """Write the model with these weights, in the format of the models of a run.

        Args:
            candidate: the weights.
            folder: replaced.
            metrics: what `judge` returned, to be recorded with the model.
            saved_model: whether to write a SavedModel, too.

        Raises:
            RunDirectoryError: if it cannot be written.
        """
        progress = self._snapshot.state["progress"]
        recorded = {f"val_{name}": value for name, value in metrics.items()}
        facts = self.components.facts(
            {"epoch": progress["epoch"], "step": self.step, "metrics": recorded}, weights=candidate.name
        )
        try:
            with self.components.evaluation_weights(
                self.step, GivenWeights(self.components.model, candidate.arrays)
            ):
                export_model(self.components.model, Path(folder), facts, saved_model=saved_model)
        except OSError as error:
            raise RunDirectoryError(f"the model cannot be written to {folder}: {error}") from error

    def _load_newest(self, directory: RunDirectory) -> Snapshot:
        while True:
            steps = self._store.steps()
            try:
                snapshot = self._store.load_newest()
            except CheckpointError:
                if self._store.steps() == steps:
                    raise
                continue  # the run continued meanwhile, and deleted the checkpoint that was being read
            if snapshot is None:
                raise RunDirectoryError(
                    f"{directory.path} has no checkpoint yet",
                    hint="a run saves one after its first epoch, or sooner",
                )
            return snapshot

    def _mean_of_newest(self, last: int | None) -> list[Candidate]:
        """Average the newest checkpoints; none where there is only one."""
        for _ in range(_TRIES):
            intact = self._store.intact_steps()
            steps = intact[-last:] if last else intact
            if len(steps) < 2:
                return []
            about = f"mean of {len(steps)} checkpoints, steps {steps[0]:,} to {steps[-1]:,}"
            try:
                return [Candidate("average", about, self._mean(steps))]
            except CheckpointError:
                if set(steps) <= set(self._store.steps()):
                    raise
                # The run continued meanwhile, and deleted one of them.
        log.warning(
            "the run deletes its checkpoints before they can be averaged; trainer.keep_checkpoints keeps more"
        )
        return []

    def _float_arrays(self, snapshot: Snapshot) -> list[np.ndarray]:
        """Return the float weights of the model in a snapshot, those that can be averaged."""
        variables, saved = self.components.model.variables, snapshot.group("model")
        check_fit(variables, saved, what="model")
        arrays = {id(variable): named.array for variable, named in zip(variables, saved, strict=True)}
        return [arrays[id(weight)] for weight in float_weights(self.components.model)]

    def _average(self, snapshot: Snapshot, name: str) -> list[np.ndarray]:
        """Return an average in a snapshot, one array for each of the float weights."""
        saved = snapshot.group(name)
        check_fit(float_weights(self.components.model), saved, what="model")
        return [named.array for named in saved]

    def _mean(self, steps: Sequence[int]) -> list[np.ndarray]:
        (mean,) = _combine(
            (self._float_arrays(self._store.load(step)) for step in steps), [[1 / len(steps)] * len(steps)]
        )
        return mean

    def _of_lengths(self, lengths: Sequence[float]) -> list[Candidate]:
        for length in lengths:
            if not 0 < length <= LONGEST:
                raise ConfigError(
                    Problem("lengths", "out of range", given=length, allowed=f"numbers > 0 and <= {LONGEST}"),
                    subject="what was asked for",
                )
        saved = self._saved()
        if not lengths:
            return []
        profiles = [profile for _, profile in saved]
        wanted = [Profile(max(profile.step for profile in profiles), length) for length in lengths]
        arrays = (self._average(snapshot(), power_average(p.length)) for snapshot, p in saved)
        combined = _combine(arrays, [coefficients(profiles, target) for target in wanted])
        return [
            Candidate(
                power_average(target.length),
                f"length {target.length:g}, {_describe_fit(deviation(profiles, target))}",
                sums,
            )
            for target, sums in zip(wanted, combined, strict=True)
        ]

    def _saved(self) -> list[tuple[Callable[[], Snapshot], Profile]]:
        """List the saved power-function averages, each with a function that loads its snapshot."""
        lengths = self.components.scenario.config.trainer.post_hoc_ema
        load = functools.lru_cache(maxsize=1)(self._averages.load)  # one file holds an average of each length
        steps = [step for step in self._averages.intact_steps() if step < self.step]
        saved = [
            (functools.partial(load, step), Profile(step, length)) for step in steps for length in lengths
        ]
        return [*saved, *((lambda: self._snapshot, Profile(self.step, length)) for length in lengths)]


def _combine(
    members: Iterable[Sequence[np.ndarray]], rows: Sequence[Sequence[float] | np.ndarray]
) -> list[list[np.ndarray]]:
    """Return the weighted sums of the members, one for each row of weights.

    Each member is a list of arrays. Sums are in float64, member by member, so that one member is in memory at
    a time.
    """
    import numpy as np

    sums: list[list[np.ndarray]] = []
    dtypes: list[np.dtype] = []
    for i, arrays in enumerate(members):
        if not sums:
            sums = [[np.zeros(array.shape) for array in arrays] for _ in rows]
            dtypes = [array.dtype for array in arrays]
        for row, total in zip(rows, sums, strict=True):
            for part, array in zip(total, arrays, strict=True):
                part += row[i] * array.astype("float64")
    return [[part.astype(dtype) for part, dtype in zip(total, dtypes, strict=True)] for total in sums]


def _describe_fit(off: float) -> str:
    return (
        "as it was kept" if off < 1e-9 else f"made of those that were kept, {100 * off:.2g} % off its profile"
    )
