"""Output at the end of a run."""

from __future__ import annotations

from framework.run.console import Console, format_seconds, plural
from framework.run.run_directory import RunDirectory
from framework.scenario import Scenario
from framework.training.trainer import Result


def print_result(result: Result, run: RunDirectory, scenario: Scenario) -> None:
    """Print how the run ended, where its files are, and what to type next."""
    console = Console()
    state = "finished" if result.status == "finished" else "stopped early"
    console.print()
    console.print(
        f"{state} after {plural(result.epochs, 'epoch')}, {plural(result.steps, 'step')}, "
        f"{format_seconds(result.seconds)}",
        style="bold",
    )
    if result.best:
        monitor = scenario.config.early_stopping.monitor
        shown = {
            name: v
            for name, v in result.best["metrics"].items()
            if name == monitor or not name.startswith("lav_")
        }
        console.print_values(f"best epoch {result.best['epoch']}:", shown)
    console.print(
        f"everything is in {run.path}: best/ and export/ hold the models, metrics.jsonl the metrics, "
        "train.log the log"
    )
    if run.report_file.exists():
        console.print(f"report: {run.report_file}; its figures: {run.plots / 'loss_curve.png'}, ...")
    console.print("next:")
    split = "" if scenario.config.data.has_validation() else " --split train"
    console.print(f"  load-and-validate {run.path}{split}")
    if scenario.predicts():
        console.print(f"  predict-scenario {run.path} FILES... --output predictions.csv")
    console.print(f"  resume-training {run.path} epochs={result.epochs + 10}")
    if scenario.config.trainer.tensorboard:
        console.print(f"  tensorboard --logdir {run.tensorboard}")
