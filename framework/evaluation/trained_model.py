"""Opening of trained models: from a run, or from a file of weights and overrides that choose the scenario."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.config.compose import compose_config
from framework.config.overrides import key_of
from framework.config.sections import RunConfig
from framework.data.image_files import hint_for_missing
from framework.errors import ConfigError, Problem, RunDirectoryError, ScenarioError
from framework.evaluation.compare_weights import RunWeights
from framework.model.export import FACTS_FILE, MODEL_FILE, load_facts, load_model, load_model_file
from framework.model.warm_start import warm_start
from framework.run.device import import_tensorflow
from framework.run.import_guard import refuse_imports_from
from framework.run.run_directory import RunDirectory
from framework.run.run_files import JsonObject
from framework.scenario import Scenario, scenario_of
from framework.training.loss_agreement import named_parts, outputs_of

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class TrainedModel:
    """A trained model, and the scenario to use it with.

    Args:
        scenario: reads the data and describes the outputs.
        run: the run of the model; None for a file by itself.
        folder: the exported folder, or the file.
        facts: the content of `model.json`; empty if there is none.
        load: returns the model, not compiled.
    """

    scenario: Scenario
    run: RunDirectory | None
    folder: Path
    facts: JsonObject
    load: Callable[[], keras.Model]


def is_run(source: str | Path) -> bool:
    """Return whether a source must be a run directory.

    It must unless it is a file, or a folder with a model and no config.
    """
    path = Path(source)
    holds_model = (path / MODEL_FILE).is_file() or (path / "saved_model.pb").is_file()
    run = RunDirectory(path)
    return not path.is_file() and (run.config_file.exists() or run.config_copy.exists() or not holds_model)


def find_scenario(
    source: str | Path, overrides: Sequence[str], config_dir: str | Path | None = None
) -> tuple[Scenario, RunDirectory | None]:
    """Build the scenario to use a trained model with. This does not load TensorFlow by itself.

    Args:
        source: a run directory, a `.keras`, `.weights.h5` or legacy `.h5` file, an exported folder, or a
            SavedModel.
        overrides: for a run, changes to its config; for weights alone, as for `train-scenario`.
        config_dir: for weights alone, as `--config-dir`.

    Returns:
        The scenario, and the run; None for weights alone.

    Raises:
        ScenarioError: if the overrides are wrong, or leave something open that a file of weights does not
            say.
    """
    if not is_run(source):
        return _scenario_of_weights(Path(source), overrides, config_dir), None
    if not Path(source).exists():
        raise RunDirectoryError(
            f"there is no {source}",
            hint=f"a run directory, or a file of weights; {hint_for_missing(source)}",
        )
    if config_dir is not None:
        problem = Problem(
            "--config-dir", "is for a file of weights: a run has its config", given=str(config_dir)
        )
        raise ConfigError(problem, subject="the command line")
    run = RunDirectory.open(source)
    return scenario_of(run.load_config(overrides)), run


def _scenario_of_weights(path: Path, overrides: Sequence[str], config_dir: str | Path | None) -> Scenario:
    if path.is_dir():
        refuse_imports_from(path)
    subject = f"what was said about {path}, which is not a run"
    belongs = next(
        (parent for parent in path.absolute().parents if RunDirectory(parent).config_file.is_file()), None
    )
    if belongs and not any(key_of(override).startswith("scenario") for override in overrides):
        raise ConfigError(
            Problem("scenario", "must be chosen", hint=f"{path} belongs to a run: name {belongs}"),
            subject=subject,
        )
    weights_only = not (path.is_file() and zipfile.is_zipfile(path)) and not (path / MODEL_FILE).is_file()
    if any(key_of(override) == "warmstart.model" for override in overrides):
        raise ConfigError(
            Problem("warmstart.model", f"is {path} already", hint="leave it out"), subject=subject
        )
    try:
        # Weights alone are read with the settings of a warm start: rename, exclude, allow_partial.
        config = compose_config(
            [*overrides, *(["warmstart.model=weights"] if weights_only else [])], config_dir=config_dir
        )
        if weights_only:
            config = dataclasses.replace(
                config, warmstart=dataclasses.replace(config.warmstart, model=str(path))
            )
        scenario = scenario_of(_with_classes(config, _facts_of(path), overrides))
        _ = scenario.config  # resolves the settings of the data, and raises what is wrong with them
    except ConfigError as error:
        raise ConfigError(error.problems, subject=subject) from error
    return scenario


def _with_classes(config: RunConfig, facts: Mapping[str, object], overrides: Sequence[str]) -> RunConfig:
    """Return the config with the classes that the model was exported with.

    Raises:
        ConfigError: if nothing says which class the output of a model with two classes stands for.
    """
    fields = {field.name for field in dataclasses.fields(config.data)}
    given = set(map(key_of, overrides))
    known: dict[str, Any] = {}
    if isinstance(classes := facts.get("classes"), list):
        known["classes"] = tuple(map(str, classes))
    if isinstance(positive := facts.get("positive_class"), str):
        known["positive_class"] = positive
    known = {name: value for name, value in known.items() if name in fields and f"data.{name}" not in given}
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, **known))
    data: Any = config.data.resolve()
    if "positive_class" in fields and "data.positive_class" not in given and not facts.get("positive_class"):
        names: tuple[str, ...] = data.classes or ()
        if len(names) == 2:
            raise ConfigError(
                Problem(
                    "data.positive_class",
                    "is needed: a file of weights does not say which class its output is the probability of",
                    allowed=", ".join(names),
                    hint=f"add data.positive_class={names[-1]}, if that is it",
                )
            )
    return config


def _facts_of(path: Path) -> JsonObject:
    return load_facts(path) if (path / FACTS_FILE).is_file() else {}


@contextlib.contextmanager
def open_trained(
    source: str | Path,
    overrides: Sequence[str] = (),
    *,
    model: str = "best",
    weights: str | None = None,
    config_dir: str | Path | None = None,
) -> Iterator[TrainedModel]:
    """Open a trained model for as long as the context lasts.

    Args:
        source, overrides, config_dir: as for `find_scenario`.
        model: of a run, `best`, `export` (the final state), or the path of another exported folder.
        weights: of a run, weights that it holds but has not exported, instead of a model, by their names in
            `RunWeights`.

    Raises:
        ScenarioError: if it cannot be used.
    """
    scenario, run = find_scenario(source, overrides, config_dir)
    import_tensorflow()
    if run is None:
        if model != "best" or weights:
            option = "--weights" if weights else "--model"
            raise ConfigError(
                Problem(option, f"needs a run, and {source} is not one", given=weights or model),
                subject="the command line",
            )
        path = Path(source)
        yield TrainedModel(scenario, None, path, _facts_of(path), lambda: _load_file(path, scenario))
        return
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_exported_weights(run, weights)) if weights else run.exported(model)
        yield TrainedModel(
            scenario, run, folder, load_facts(folder), lambda: load_model(folder, scenario.build_model)
        )


@contextlib.contextmanager
def _exported_weights(run: RunDirectory, name: str) -> Iterator[Path]:
    """Export a model with these weights to a temporary folder."""
    held = RunWeights(run.path)
    with tempfile.TemporaryDirectory() as folder:
        held.export(held.candidate(name), Path(folder) / "model", {}, saved_model=False)
        yield Path(folder) / "model"


def _load_file(path: Path, scenario: Scenario) -> keras.Model:
    """Load a model from its own file, or build the scenario's model with the weights of a file.

    BatchNorm's moving averages are those of the file.
    """
    built = scenario.build_model()
    if scenario.config.warmstart.model is not None:
        warm_start(built, scenario.config.warmstart)
        return built
    loaded = load_model_file(path / MODEL_FILE if path.is_dir() else path, scenario.build_model)
    if (own := _shapes(loaded)) and (wanted := _shapes(built)) and own != wanted:
        raise ScenarioError(
            f"the model in {path} gives {own}, and that of {scenario.name} gives {wanted}",
            hint="name the classes that it was trained on: data.classes=[...]",
        )
    return loaded


def _shapes(model: keras.Model) -> str | None:
    """Format the shapes of a model's outputs for a message; None if its class does not tell them."""
    if (outputs := outputs_of(model)) is None:
        return None
    return ", ".join(str(tuple(part.shape)) for _, part in named_parts(outputs))
