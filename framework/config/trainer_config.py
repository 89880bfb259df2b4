"""The section `trainer` of a config: how long a run goes, what it is judged by, and what it writes down on
its way."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from framework.config.schema import regex_fault, setting
from framework.errors import Problem


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How long a run goes, and what it writes down on its way."""

    epochs: int = setting(10, "Epochs to train.", ge=1, le=1_000_000)
    seed: int = setting(
        1, "Seeds the initial weights, dropout, the order of samples, and augmentation.", ge=0, le=2**31 - 1
    )
    output_dir: str | None = setting(
        None, "The run directory. null makes a new one, `outputs/<scenario>-<date>-<time>`."
    )
    samples_per_epoch: int | None = setting(
        None,
        "Samples that make an epoch; whole batches are trained. null: as many as the training split has.",
        ge=1,
        le=10**12,
    )
    steps_per_epoch: int | None = setting(
        None, "Steps that make an epoch; stands in for `samples_per_epoch`.", ge=1, le=10**9
    )
    overfit_batches: int | None = setting(
        None,
        "Train and validate on the samples of that many batches alone: a sound model learns them by heart.",
        ge=1,
        le=100_000,
    )
    trial_run: bool = setting(
        False, "Do one batch of everything, in a folder that is deleted afterwards, to see that all works."
    )
    val_every_n: int = setting(
        1,
        "Validate after each n-th epoch, and after the last. 0: never; best then follows the training "
        "metric.",
        ge=0,
        le=1_000_000,
    )
    lav_every_n: int = setting(
        0,
        "LAV after each n-th epoch, the first and the last: export the model, load what was exported, and "
        "validate that, with the "
        "scenario's evaluators. 0: never.",
        ge=0,
        le=1_000_000,
    )
    lav_lists: dict[str, dict[str, object]] = dataclasses.field(
        default_factory=dict,
        metadata={
            "help": "What LAV validates on: a name for each list, and the settings of `data` that are other "
            "there, "
            "`{other: {val_dir: DIR}}`; `split: test` takes another split than the validation data. "
            "Empty: the validation data of the run."
        },
    )
    recalibrate_batch_norm: bool = setting(
        True,
        "Validate, keep as best, and export with fresh BatchNorm statistics, taken over some training "
        "batches with the "
        "weights at hand, instead of the moving averages, which lag behind. The training itself is not "
        "touched.",
    )
    recalibrate_batches: int = setting(
        8, "Training batches that fresh BatchNorm statistics are taken over.", ge=1, le=10_000
    )
    no_train_scope: str | None = setting(
        None,
        "A regular expression: layers whose whole path (`backbone/conv1`) it is do not learn, nor what is "
        "inside them.",
    )
    calc_ema: float | None = setting(
        None,
        "Validate, keep as best, and export with an exponential moving average of the weights, of this rate "
        "in [0, 1). -1: a rate "
        "from the length of an epoch. null: with the weights themselves. The training itself is not touched.",
    )
    val_raw_every_n: int = setting(
        0,
        "With calc_ema, validate the raw weights, too, where an n-th epoch is validated, and after the last one. "
        "Their values are recorded, for the curves of the report, and decide nothing. 0: after the last alone.",
        ge=0,
        le=1_000_000,
    )
    post_hoc_ema: tuple[float, ...] = setting(
        (),
        "Keep power-function averages of the weights of these lengths (parts of the training, in (0, 0.28]; "
        "Karras et al. 2024 keep "
        "0.05 and 0.1). `ema-weights RUN` then makes an average of any length. [] keeps none.",
        gt=0,
        le=0.28,
    )
    post_hoc_every_n_epochs: int = setting(
        1,
        "Save these averages after each n-th epoch; checkpoints hold the newest. The oftener, the nearer is "
        "what is made of them.",
        ge=1,
        le=1_000_000,
    )
    checkpoint_every_n_epochs: int = setting(
        1, "Save a checkpoint after each n-th epoch, and after the last. 0: only then.", ge=0, le=1_000_000
    )
    checkpoint_every_n_steps: int | None = setting(
        None, "Save a checkpoint after each n-th step, too.", ge=1, le=10**9
    )
    checkpoint_every_n_minutes: float | None = setting(
        10.0,
        "Save a checkpoint in the middle of an epoch where none was saved for that many minutes.",
        gt=0,
        le=1e6,
    )
    keep_checkpoints: int = setting(3, "Checkpoints to keep; older ones are deleted.", ge=1, le=100_000)
    export_saved_model: bool = setting(
        True, "Export a SavedModel beside `model.keras`, at the end of the run. It takes a second or two."
    )
    tensorboard: bool = setting(True, "Write event files for TensorBoard.")
    scalars_every_n_steps: int | None = setting(
        None,
        "Show loss and metrics of the steps since the last point in TensorBoard, after each n-th step. null: about "
        "ten times an epoch, and at least after each 128th step. 0: only of epochs.",
        ge=0,
        le=10**9,
    )
    samples_every_n: int = setting(
        1,
        "Show the predictions of some validation samples, and the scenario's own images, in TensorBoard after each "
        "n-th epoch with a validation. 0: never.",
        ge=0,
        le=1_000_000,
    )
    figures_every_n: int = setting(
        0,
        "Show PR curves, confusion matrix, ROC and the figures of the evaluators in TensorBoard after each n-th epoch "
        "with a validation, which runs the model over the validation data once more. 0: only of the best model, at "
        "the end.",
        ge=0,
        le=1_000_000,
    )
    histograms_every_n: int = setting(
        0,
        "Show histograms of the weights, and of their gradients for one training batch, in TensorBoard after each "
        "n-th epoch. 0: never.",
        ge=0,
        le=1_000_000,
    )
    varied: tuple[str, ...] = setting(
        (),
        "What tells the run from others like it, as overrides (`lr=0.01`): its name in TensorBoard, and some of its "
        "hyperparameters there. A sweep sets it for each of its jobs.",
    )
    report: bool = setting(
        True, "Write report.html and plots/ at the end of the run. It takes a few seconds."
    )
    profile: bool = setting(False, "Write a TensorBoard profile of some steps, early in the session.")
    profile_steps: tuple[int, ...] = setting(
        (),
        "Write a TensorBoard profile of the steps from the first to the last of `[FIRST,LAST]`, counted "
        "from 1. [] writes none.",
        ge=1,
        le=10**12,
    )
    run_eagerly: bool = setting(
        False,
        "Run each training step as plain Python, so that a debugger stops in it and a print prints. Slow.",
    )
    on_nan: Literal["stop", "skip", "rollback"] = setting(
        "stop",
        "What happens where loss or weights are not finite. The step is found, with its samples and the "
        "layer, and nothing of it is "
        "kept. stop: the run ends. skip: the step is left out. rollback: so are those before it, back to "
        "the last checkpoint.",
    )
    trace_nan: bool = setting(
        False,
        "Check all that a step computes, and stop at the first NaN or infinity with the layer, the step and "
        "the samples that made it. "
        "Slow.",
    )

    def check(self) -> Iterator[Problem]:
        for name in self.lav_lists:
            if not re.fullmatch(r"\w[\w-]*", name):
                yield Problem(
                    f"lav_lists.{name}", "must be a name for a list", allowed="letters, digits, - and _"
                )
        if self.no_train_scope is not None and (reason := regex_fault(self.no_train_scope)):
            yield Problem(
                "no_train_scope", f"must be a regular expression: {reason}", given=self.no_train_scope
            )
        if self.calc_ema is not None and self.calc_ema != -1 and not 0 <= self.calc_ema < 1:
            yield Problem(
                "calc_ema",
                "must be a rate",
                given=self.calc_ema,
                allowed="a number >= 0 and < 1, or -1, or null",
            )
        if len(set(self.post_hoc_ema)) < len(self.post_hoc_ema):
            yield Problem("post_hoc_ema", "must name each length once", given=list(self.post_hoc_ema))
        if self.profile_steps and (
            len(self.profile_steps) != 2 or self.profile_steps[0] > self.profile_steps[1]
        ):
            yield Problem(
                "profile_steps",
                "must be a first and a last step",
                given=list(self.profile_steps),
                allowed="[FIRST,LAST], two whole numbers, the second not below the first; [10,10] is one "
                "step",
            )
        if self.profile_steps and self.profile:
            yield Problem(
                "profile_steps", "stands in for profile, and both are set", given=list(self.profile_steps)
            )
        if self.samples_per_epoch is not None and self.steps_per_epoch is not None:
            yield Problem(
                "steps_per_epoch",
                "stands in for samples_per_epoch, and both are set",
                given=self.steps_per_epoch,
                allowed="one of the two",
            )
