"""Load and validate (LAV): evaluation of a trained model that is loaded from its files, and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from framework.config.schema import PlainValue
from framework.config.sections import RunConfig
from framework.data.source import Source, Split
from framework.evaluation.trained_model import TrainedModel, is_run, open_trained
from framework.run.device import apply_device
from framework.run.files import check_report, now, strict_json, write_report
from framework.run.run_files import JsonObject
from framework.scenario import scenario_of
from framework.splits import prepare_source
from framework.training.lav import LavList, lav_list, load_compiled, validator_of
from framework.training.threshold import decide_at

# Settings of the section `data` that change how samples are loaded, and not which samples.
_LOADING = ("batch_size", "cache", "cache_limit", "workers")


@dataclass(frozen=True)
class Report:
    """The result of LAV.

    Args:
        metrics: loss, metrics, and values of the evaluators, by name.
        facts: what the model was exported with: epoch, metrics of its validation, classes. Empty for a file
            of weights.
        samples: number of samples it was evaluated on.
        data: the section `data` that they came from.
        split: the split of these data.
        recorded: what the training recorded for the same model on the same samples, by the same names; empty
            if it recorded nothing.
        not_comparable: the reason why `recorded` is left out; None if it is not.
    """

    metrics: Mapping[str, float]
    facts: JsonObject
    samples: int
    data: Mapping[str, PlainValue]
    split: str
    recorded: Mapping[str, float] = field(default_factory=dict)
    not_comparable: str | None = None


def load_and_validate(
    run: str | Path,
    *overrides: str,
    model: str = "best",
    split: str = "validation",
    name: str | None = None,
    weights: str | None = None,
    threshold: float | None = None,
    config_dir: str | Path | None = None,
    output: str | Path | None = None,
) -> Report:
    """Load a trained model and evaluate it (LAV).

    Args:
        run: the run directory; or a `.keras`, `.weights.h5` or legacy `.h5` file, with `overrides` that
            choose the scenario.
        overrides: applied to the config of the run, such as `data.val_dir=OTHER` or `batch_size=5`; for a
            file of weights, as for `train-scenario`.
        model: `best`, `export` (the final state), or the path of another exported folder.
        split: `train`, `validation` or `test`.
        name: a list of `trainer.lav_lists`, instead of a split.
        weights: weights that the run holds but has not exported, instead of a model, by their names in
            `RunWeights`: `raw`, `ema`, ...
        threshold: with two classes, the probability above which the positive one is predicted, in [0, 1];
            None: 0.5.
        config_dir: for a file of weights, another folder of group options.
        output: the JSON file to write the report to; None: `lav.json` in the run directory, or without a run,
            none.

    Raises:
        ScenarioError: if run, model or data cannot be used.
    """
    report_file = Path(output) if output else Path(run) / "lav.json" if is_run(run) else None
    with open_trained(run, overrides, model=model, weights=weights, config_dir=config_dir) as trained:
        if report_file is not None:
            check_report(report_file)
        scenario = trained.scenario
        of = lav_list(scenario.config, name) if name is not None else LavList("", scenario, Split(split))
        if threshold is not None:
            decide_at(of.scenario, threshold)
        strategy = apply_device(scenario.config.device)
        source = prepare_source(of.scenario, of.split)
        loaded = load_compiled(trained.load, of.scenario, strategy, threshold)
    metrics = validator_of(loaded, source, of.scenario, strategy).evaluate(of.scenario.evaluators())
    data = of.scenario.config.to_plain()["data"]
    recorded, reason = _recorded(trained, of, source, threshold)
    report = Report(metrics, trained.facts, len(source), data, of.split.value, recorded, reason)
    content = {
        "time": now(),
        "run": str(trained.run.path) if trained.run else None,
        "model": None if weights else model if trained.run else str(trained.folder),
        "weights": trained.facts.get("weights"),
        "epoch": trained.facts.get("epoch"),
        "list": name,
        "split": report.split,
        "threshold": threshold,
        "overrides": list(overrides),
        "samples": report.samples,
        "metrics": dict(metrics),
        "recorded": dict(recorded),
        "data": data,
    }
    if report_file is not None:
        write_report(report_file, strict_json(content, indent=2))
    return report


def _recorded(
    trained: TrainedModel, of: LavList, source: Source, threshold: float | None
) -> tuple[Mapping[str, float], str | None]:
    """Return what the training recorded of this model on the same samples, by the names of the values.

    Returns:
        These values, or none and the reason why they cannot be compared.
    """
    found = trained.facts.get("metrics")
    if trained.run is None or not isinstance(found, Mapping) or not found:
        return {}, None
    if not trained.folder.absolute().is_relative_to(trained.run.path.absolute()):
        return {}, "the model is not of this run"
    own = trained.run.load_config()
    prefixes: Sequence[str] = (f"lav_{of.name}_",) if of.name else ("val_", "lav_")
    if not of.name and of.split is not Split.VALIDATION:
        return {}, f"the training judged the model by the validation data, and not by the {of.split} data"
    if own.trainer.overfit_batches is not None or _which(of.scenario.config) != _which(_own_data(own, of)):
        return {}, "they are of other data"
    fingerprint = trained.facts.get("validation_data")
    if not of.name and fingerprint not in (None, source.fingerprint()):
        return {}, f"the validation data were {fingerprint}, and are {source.fingerprint()} now"
    if threshold not in (None, 0.5):
        return {}, "they are of the threshold 0.5"
    return {
        key.removeprefix(prefix): value
        for prefix in reversed(prefixes)
        for key, value in found.items()
        if key.startswith(prefix)
    }, None


def _own_data(own: RunConfig, of: LavList) -> RunConfig:
    """Return the config with the data of the run's own list or validation."""
    return (lav_list(own, of.name).scenario if of.name else scenario_of(own)).config


def _which(config: RunConfig) -> tuple[object, ...]:
    """Return the settings that determine which samples a split has, and their content."""
    plain = config.to_plain()
    data = {key: value for key, value in plain["data"].items() if key not in _LOADING}
    return data, plain["scenario"], config.trainer.seed
