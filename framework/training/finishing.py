"""The export at the end of a run."""

from __future__ import annotations

from framework.model.export import add_saved_model, export_model
from framework.run.run_directory import RunDirectory
from framework.run.signals import Interruption
from framework.training.best_model import BestModel
from framework.training.components import Components
from framework.training.state import Progress


def export_models(
    components: Components,
    run: RunDirectory,
    progress: Progress,
    best_model: BestModel,
    interruption: Interruption,
) -> None:
    """Export the final state, and complete the best model.

    Args:
        components: what the run was trained with.
        run: where to export to.
        progress: how the run ended.
        best_model: what is on disk already.
        interruption: asked before each of the three things that take time.
    """
    saved_model = components.scenario.config.trainer.export_saved_model
    interruption.check()
    with components.evaluation_weights(progress.step):
        record = {"epoch": progress.epoch, "step": progress.step, "metrics": progress.final}
        export_model(components.model, run.export, components.facts(record), saved_model=saved_model)
    interruption.check()
    if saved_model and progress.best:
        add_saved_model(run.best, lambda: components.model)
    interruption.check()
    # What was best before the end is needed as long as the end can be undone.
    before = progress.before_end
    if before is None or before["best"] == progress.best:
        best_model.drop_earlier()
