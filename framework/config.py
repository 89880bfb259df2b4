"""The typed, frozen configuration of a run.

`parse` makes a `RunConfig` of the plain values that Hydra composed, or reports every problem in them at once. TensorFlow is
not imported on the way, which is why a config error takes a fraction of a second: every module that holds a config dataclass,
a scenario's modules too, imports TensorFlow inside the functions that build.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from framework.errors import ConfigError, Problem, nearest, unknown_name
from framework.registry import Registry
from framework.schema import read, read_value, regex_fault, setting, to_plain

# What is typed daily, and the long form that each stands for. conf/config.yaml ties them by interpolation.
SHORT_FORMS = {
    "lr": "learning_rate.lr",
    "epochs": "trainer.epochs",
    "batch_size": "data.batch_size",
    "seed": "trainer.seed",
    "output_dir": "trainer.output_dir",
    "samples_per_epoch": "trainer.samples_per_epoch",
    "overfit_batches": "trainer.overfit_batches",
    "trial_run": "trainer.trial_run",
}

SCENARIOS = Registry("scenario")

_LAV_SPLIT = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How long a run goes, and what it writes down on its way."""

    epochs: int = setting(10, "Epochs to train.", ge=1)
    seed: int = setting(1, "Seeds the initial weights, dropout, the order of samples, and augmentation.", ge=0, le=2**31 - 1)
    output_dir: str | None = setting(None, "The run directory. null makes a new one, `outputs/<scenario>-<date>-<time>`.")
    samples_per_epoch: int | None = setting(
        None, "Samples that make an epoch; whole batches are trained. null: as many as the training split has.", ge=1
    )
    steps_per_epoch: int | None = setting(None, "Steps that make an epoch; stands in for `samples_per_epoch`.", ge=1)
    overfit_batches: int | None = setting(
        None, "Train and validate on the samples of that many batches alone: a sound model learns them by heart.", ge=1
    )
    trial_run: bool = setting(False, "Do one batch of everything, in a folder that is deleted afterwards, to see that all works.")
    val_every_n: int = setting(
        1, "Validate after each n-th epoch, and after the last. 0: never; best then follows the training metric.", ge=0
    )
    lav_every_n: int = setting(
        0,
        "LAV after each n-th epoch, the first and the last: export the model, load what was exported, and validate that, with the "
        "scenario's evaluators. 0: never.",
        ge=0,
    )
    lav_lists: dict[str, dict[str, Any]] = dataclasses.field(
        default_factory=dict,
        metadata={
            "help": "What LAV validates on: a name for each list, and the settings of `data` that are other there, "
            "`{other: {val_dir: DIR}}`; `split: test` takes another split than the validation data. "
            "Empty: the validation data of the run."
        },
    )
    recalibrate_batch_norm: bool = setting(
        True,
        "Validate, keep as best, and export with fresh BatchNorm statistics, taken over some training batches with the "
        "weights at hand, instead of the moving averages, which lag behind. The training itself is not touched.",
    )
    recalibrate_batches: int = setting(8, "Training batches that fresh BatchNorm statistics are taken over.", ge=1)
    no_train_scope: str | None = setting(
        None, "A regular expression: layers whose whole path (`backbone/conv1`) it is do not learn, nor what is inside them."
    )
    calc_ema: float | None = setting(
        None,
        "Validate, keep as best, and export with an exponential moving average of the weights, of this rate in [0, 1). -1: a rate "
        "from the length of an epoch. null: with the weights themselves. The training itself is not touched.",
    )
    post_hoc_ema: tuple[float, ...] = setting(
        (),
        "Keep power-function averages of the weights of these lengths (parts of the training, in (0, 0.28]; Karras et al. 2024 keep "
        "0.05 and 0.1). `ema-weights RUN` then makes an average of any length. [] keeps none.",
        gt=0,
        le=0.28,
    )
    post_hoc_every_n_epochs: int = setting(
        1, "Save these averages after each n-th epoch, and after the last: the oftener, the nearer is what is made of them.", ge=1
    )
    checkpoint_every_n_epochs: int = setting(
        1, "Save a checkpoint after each n-th epoch, and after the last. 0: only then.", ge=0
    )
    checkpoint_every_n_steps: int | None = setting(None, "Save a checkpoint after each n-th step, too.", ge=1)
    checkpoint_every_n_minutes: float | None = setting(
        10.0, "Save a checkpoint in the middle of an epoch where none was saved for that many minutes.", gt=0
    )
    keep_checkpoints: int = setting(3, "Checkpoints to keep; older ones are deleted.", ge=1)
    export_saved_model: bool = setting(
        True, "Export a SavedModel beside `model.keras`, at the end of the run. It takes a second or two."
    )
    tensorboard: bool = setting(True, "Write TensorBoard scalars.")
    profile: bool = setting(False, "Write a TensorBoard profile of some steps, early in the session.")
    run_eagerly: bool = setting(
        False, "Run each training step as plain Python, so that a debugger stops in it and a print prints. Slow."
    )
    trace_nan: bool = setting(
        False,
        "Check all that a step computes, and stop at the first NaN or infinity with the layer, the step and the samples that made it. "
        "Slow.",
    )

    def check(self) -> Iterator[Problem]:
        for name in self.lav_lists:
            if not re.fullmatch(r"\w[\w-]*", name):
                yield Problem(f"lav_lists.{name}", "is no name for a list", allowed="letters, digits, - and _")
        if self.no_train_scope is not None and (reason := regex_fault(self.no_train_scope)):
            yield Problem("no_train_scope", f"is no regular expression: {reason}", given=self.no_train_scope)
        if self.calc_ema is not None and self.calc_ema != -1 and not 0 <= self.calc_ema < 1:
            yield Problem("calc_ema", "is no rate", given=self.calc_ema, allowed="a number >= 0 and < 1, or -1, or null")
        if len(set(self.post_hoc_ema)) < len(self.post_hoc_ema):
            yield Problem("post_hoc_ema", "names a length twice", given=list(self.post_hoc_ema))
        if self.samples_per_epoch is not None and self.steps_per_epoch is not None:
            yield Problem(
                "steps_per_epoch",
                "stands in for samples_per_epoch, and both are set",
                given=self.steps_per_epoch,
                allowed="one of the two",
            )

    def check_with(self, config: RunConfig) -> Iterator[Problem]:
        for name in self.lav_lists:
            try:
                lav_config(config, name)
            except ConfigError as error:
                yield from error.problems
        if self.lav_lists and not self.lav_every_n:
            yield Problem(
                "trainer.lav_lists", "are not validated on", given=list(self.lav_lists), hint="set trainer.lav_every_n, to 1 say"
            )
        if config.device.jit_compile:
            for name in ("run_eagerly", "trace_nan"):
                if getattr(self, name):
                    yield Problem(f"trainer.{name}", "does not go together with device.jit_compile=true", given=True)


@dataclass(frozen=True, kw_only=True)
class ScenarioSection:
    """Which scenario, and its own settings.

    Args:
        name: its registered name.
        target: where its class is, `package.module:Class`.
        settings: an instance of the scenario's `Config`.
    """

    name: str
    target: str
    settings: Any


# The groups with one config dataclass each, or a registry of them, of which the key `name` picks one.
PARTS = {
    "optimizer": "framework.optimizers:OPTIMIZERS",
    "learning_rate": "framework.learning_rates:LEARNING_RATES",
    "early_stopping": "framework.early_stopping:EarlyStoppingConfig",
    "device": "framework.device:DeviceConfig",
    "loop": "framework.loops:LOOPS",
    "warmstart": "framework.warmstart:WarmStartConfig",
}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that a run is made of. Each section is typed; `parse` makes it, `to_plain` gives the plain values back."""

    scenario: ScenarioSection
    model: Any
    data: Any
    optimizer: Any
    learning_rate: Any
    early_stopping: Any
    device: Any
    loop: Any
    warmstart: Any
    trainer: TrainerConfig

    def to_plain(self) -> dict[str, Any]:
        """Plain values that `parse` turns into an equal `RunConfig`."""
        plain = {field.name: to_plain(getattr(self, field.name)) for field in dataclasses.fields(self)}
        settings = plain["scenario"].pop("settings")
        plain["scenario"] |= settings
        return plain


SECTIONS = tuple(field.name for field in dataclasses.fields(RunConfig))


def locate(target: str, path: str = "target") -> Any:
    """The object that `package.module:Name` names.

    Raises:
        ConfigError: where there is no such module, it cannot be imported, or it has no such name.
    """
    module_name, colon, name = target.partition(":")
    if not colon or not module_name or not name:
        raise ConfigError(Problem(path, "names no class", given=target, allowed="package.module:Class"))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise ConfigError(
                Problem(
                    path,
                    f"there is no module {error.name!r}",
                    given=target,
                    hint="install the package that holds it, or set PYTHONPATH to the folder that the package is in",
                )
            ) from error
        raise ConfigError(Problem(path, f"importing it failed: {error}", given=target)) from error
    except Exception as error:  # whatever a user's module raises while it is imported is theirs to read
        raise ConfigError(Problem(path, f"importing it failed: {type(error).__name__}: {error}", given=target)) from error
    if not hasattr(module, name):
        near = nearest(name, vars(module))
        raise ConfigError(
            Problem(
                path,
                f"module {module_name!r} has no {name!r}",
                given=target,
                hint=f"did you mean {near!r}?" if near else None,
            )
        )
    return getattr(module, name)


def parse(plain: Mapping[str, Any]) -> RunConfig:
    """Type and check the plain values of a composed config.

    Args:
        plain: sections as mappings. The short forms (`SHORT_FORMS`) may stand in it; they are not read, since conf/config.yaml
            has the long forms refer to them.

    Returns:
        The config of a run, every value in its range.

    Raises:
        ConfigError: naming all problems, each with its path.
    """
    problems: list[Problem] = []
    _check_sections(plain, problems)
    scenario_class = _find_scenario(plain.get("scenario"), problems)
    sections: dict[str, Any] = {"trainer": read(TrainerConfig, plain.get("trainer"), "trainer", problems)}
    if scenario_class is not None:
        own = {k: v for k, v in plain["scenario"].items() if k not in ("name", "target")}
        settings = read(scenario_class.Config, own, "scenario", problems)
        section = plain["scenario"]
        sections["scenario"] = ScenarioSection(name=scenario_class.name, target=section["target"], settings=settings)
        for group in ("model", "data"):
            sections[group] = read_variant(getattr(scenario_class, group + "s"), plain.get(group), group, problems)
    for group, target in PARTS.items():
        sections[group] = read_variant(locate(target), plain.get(group), group, problems)
    if not problems:
        config = RunConfig(**sections)
        problems.extend(scenario_class.check_config(config))
        for section in sections.values():
            problems.extend(check_with_run(section, config))
    if problems:
        raise ConfigError(problems)
    return config


def lav_config(config: RunConfig, name: str) -> tuple[RunConfig, str]:
    """The config of a run with the data of one of its LAV lists, and the split of these data that the list is.

    Args:
        config: the config of the run.
        name: a name in `trainer.lav_lists`.

    Raises:
        ConfigError: where there is no such list, or its settings are wrong; the paths begin with `trainer.lav_lists.NAME`.
    """
    lists = config.trainer.lav_lists
    if name not in lists:
        raise ConfigError(unknown_name("trainer.lav_lists", "list", name, list(lists)))
    path, scenario_class = f"trainer.lav_lists.{name}", locate(config.scenario.target, "scenario.target")
    changes = dict(lists[name])
    problems: list[Problem] = []
    split = read_value(_LAV_SPLIT, changes.pop("split", "validation"), f"{path}.split", problems, {})
    plain = to_plain(config.data)
    if changes.get("name", plain.get("name")) != plain.get("name"):
        problems.append(Problem(f"{path}.name", "is another kind of data", given=changes["name"], allowed=f"{plain['name']}"))
    data = read_variant(scenario_class.datas, plain | changes, path, problems) if not problems else None
    if problems:
        raise ConfigError(problems)
    changed = dataclasses.replace(config, data=data)
    if found := list(scenario_class.check_config(changed)):
        raise ConfigError([dataclasses.replace(problem, path=f"{path} ({problem.path})") for problem in found])
    return changed, split


def check_with_run(section: Any, config: RunConfig) -> list[Problem]:
    """The problems of one section that only show beside the others: what its `check_with(config)` yields, if it has one."""
    own_check = getattr(section, "check_with", None)
    return list(own_check(config)) if own_check else []


def read_variant(kind: Any, node: Any, path: str, problems: list[Problem]) -> Any:
    """Read the section of a group.

    Args:
        kind: the config dataclass of the group, or a `Registry` of them: the key `name` then says which.
        node, path, problems: as for `schema.read`.
    """
    if not isinstance(kind, Registry):
        return read(kind, node, path, problems)
    name = node.get("name") if isinstance(node, Mapping) else None
    if not isinstance(name, str):
        problems.append(Problem(path, f"no {kind.kind} is chosen", allowed=", ".join(kind), hint=f"add {path}=NAME"))
        return None
    try:
        cls = kind.find(name, path)
    except ConfigError as error:
        problems.extend(error.problems)
        return None
    return read(cls, {key: value for key, value in node.items() if key != "name"}, path, problems)


def _check_sections(plain: Mapping[str, Any], problems: list[Problem]) -> None:
    known = [*SECTIONS, *SHORT_FORMS]
    for key, value in plain.items():
        if key not in known:
            near = nearest(key, known)
            problems.append(
                Problem(
                    str(key),
                    "unknown key",
                    given=value,
                    allowed=", ".join(known),
                    hint=f"did you mean {near!r}?" if near else None,
                )
            )


def _find_scenario(node: Any, problems: list[Problem]) -> Any:
    if not isinstance(node, Mapping) or not isinstance(node.get("target"), str):
        problems.append(
            Problem(
                "scenario.target",
                "no scenario class is named",
                allowed="package.module:Class",
                hint="choose a scenario with scenario=NAME; `train-scenario --help` lists them",
            )
        )
        return None
    try:
        found = locate(node["target"], "scenario.target")
    except ConfigError as error:
        problems.extend(error.problems)
        return None
    if found not in SCENARIOS.values():
        problems.append(
            Problem(
                "scenario.target",
                "is not a scenario",
                given=node["target"],
                allowed='a class derived from framework.Scenario and decorated with @register_scenario("name")',
            )
        )
        return None
    if node.get("name", found.name) != found.name:
        problems.append(Problem("scenario.name", "is not the name of its target", given=node["name"], allowed=found.name))
        return None
    return found
