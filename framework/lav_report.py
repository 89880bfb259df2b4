"""load_and_validate: an exported model of a run, loaded and evaluated, and the report of it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framework.data.source import Split
from framework.evaluation import prepare_source
from framework.export import load_facts
from framework.files import check_report, now, strict_json, write_report
from framework.lav import LavList, lav_list, load_compiled, validator_of
from framework.run_directory import RunDirectory
from framework.scenario import scenario_of
from framework.weight_comparison import RunWeights


@dataclass(frozen=True)
class Report:
    """What LAV found.

    Args:
        metrics: loss, metrics, and what the evaluators found, by name.
        facts: what the model was exported with: epoch, metrics of its validation, classes.
        samples: how many samples it was evaluated on.
        data: the section `data` that they came from.
        split: which of its splits.
    """

    metrics: Mapping[str, float]
    facts: Mapping[str, Any]
    samples: int
    data: Mapping[str, Any]
    split: str


def load_and_validate(
    run: str | Path,
    *overrides: str,
    model: str = "best",
    split: str = "validation",
    name: str | None = None,
    weights: str | None = None,
    output: str | Path | None = None,
) -> Report:
    """Load the exported model of a run and evaluate it (LAV).

    Args:
        run: the run directory.
        overrides: words applied to the config of the run, such as `data.val_dir=OTHER` or `batch_size=5`.
        model: `best`, `export` (the final state), or the path of another exported folder.
        split: `train`, `validation` or `test`.
        weights: weights that the run holds but has not exported, in place of a model, as `RunWeights` names them: `raw`, `ema`, ...
        name: a list of `trainer.lav_lists`, in place of a split.
        output: where to write the report as JSON; None: `lav.json` in the run directory.

    Raises:
        ScenarioError: where run, model or data cannot be used.
    """
    directory = RunDirectory.open(run)
    report_file = Path(output) if output else directory.path / "lav.json"
    check_report(report_file)
    scenario = scenario_of(directory.load_config(overrides))
    of = lav_list(scenario.config, name) if name is not None else LavList("", scenario, Split(split))
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_exported_weights(directory, weights)) if weights else directory.exported(model)
        facts = load_facts(folder)
        strategy = scenario.device.apply()
        source = prepare_source(of.scenario, of.split)
        loaded = load_compiled(folder, of.scenario, strategy)
    metrics = validator_of(loaded, source, of.scenario, strategy)(of.scenario.evaluators())
    data = of.scenario.config.to_plain()["data"]
    report = Report(metrics=metrics, facts=facts, samples=len(source), data=data, split=of.split.value)
    content = {
        "time": now(),
        "run": str(directory.path),
        "model": None if weights else model,
        "weights": facts.get("weights"),
        "epoch": facts.get("epoch"),
        "list": name,
        "split": report.split,
        "overrides": list(overrides),
        "samples": report.samples,
        "metrics": dict(metrics),
        "data": data,
    }
    write_report(report_file, strict_json(content, indent=2))
    return report


@contextlib.contextmanager
def _exported_weights(run: RunDirectory, name: str) -> Iterator[Path]:
    """A folder that a model with these weights is exported to."""
    held = RunWeights(run.path)
    with tempfile.TemporaryDirectory() as folder:
        held.export(held.candidate(name), Path(folder) / "model", {}, saved_model=False)
        yield Path(folder) / "model"
