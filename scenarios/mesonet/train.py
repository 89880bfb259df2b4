"""Training of a Keras model on a folder of images, in a run directory.

Names, arguments and defaults are those of https://github.com/MalayAgr/MesoNet-DeepFakeDetection, mesonet/train.py.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework import ConfigError, RunDirectory, ScenarioError, Trainer
from framework.config.run_config import parse
from framework.errors import unknown_name
from framework.report.recorded import Recorded
from scenarios.mesonet.arguments import plain, problems_of_arguments
from scenarios.mesonet.augmentations import settings_of

if TYPE_CHECKING:
    import keras

log = logging.getLogger("framework")

_TARGET = "scenarios.mesonet.given_model:GivenModel"
_PREFIXES = {"train": "", "validation": "val_"}


def train_model(
    model: keras.Model,
    train_data_dir: str | Path,
    validation_split: float | None = None,
    batch_size: int = 32,
    use_default_augmentation: bool = True,
    augmentations: Mapping[str, object] | None = None,
    epochs: int = 30,
    compile: bool = True,
    lr: float = 1e-3,
    loss: str = "binary_crossentropy",
    lr_decay: bool = True,
    decay_rate: float = 0.10,
    decay_limit: float = 1e-6,
    checkpoint: bool = True,
    stop_early: bool = True,
    monitor: str = "val_accuracy",
    mode: str = "auto",
    patience: int = 20,
    tensorboard: bool = True,
    loss_curve: bool = True,
) -> keras.callbacks.History:
    """Train a model in a new run directory, `outputs/mesonet_model-<date>-<time>`.

    The run is resumed, evaluated and reported like any other: `resume-training RUN`. Afterwards the model has the
    weights that the run ended with, with which its last epoch was validated; the best ones are in `RUN/best`.

    Args:
        model: a model of images, compiled or not. It gets values of 0 to 1; if it has a `Rescaling` layer, of 0 to
            255. Images are resized to the size that it takes.
        train_data_dir: a folder with one sub-folder per class. The second of two in alphabetical order is class 1.
        validation_split: fraction of each class that is kept for validation, in [0, 1). None or 0: nothing; then
            training values stand in for those of the validation data.
        batch_size: images of a batch.
        use_default_augmentation: whether to augment as MesoNet's authors do. It takes precedence.
        augmentations: further arguments of Keras' `ImageDataGenerator`.
        epochs: epochs to train.
        compile: whether to begin with a new Adam. Otherwise the model is compiled already, and training goes on with
            its optimizer, the state of that, its learning rate, loss and metrics; `lr`, `loss` and the decay are
            not used.
        lr: the learning rate in the beginning.
        loss: a loss by its name in Keras.
        lr_decay: whether the learning rate decays, by `decay_rate` as often as it takes to come down to
            `decay_limit`, in steps that are evenly spread over the epochs.
        decay_rate: what the learning rate is multiplied by at each decay.
        decay_limit: the learning rate below which it does not decay.
        checkpoint: whether to save a checkpoint after each epoch; otherwise only at the end. The best model is kept
            either way.
        stop_early: whether to stop when `monitor` no longer improves. Otherwise `val_accuracy` says what is best.
        monitor: the value that decides what is best, such as `val_loss`.
        mode: whether the lowest or the highest value of it is best: `min`, `max`, or `auto`, as its name says.
        patience: epochs without improvement after which training stops.
        tensorboard: whether to write TensorBoard files, `RUN/tensorboard`.
        loss_curve: whether to draw the loss over the epochs; `RUN/plots/loss_curve.png` has it either way.

    Returns:
        Loss and metrics by epoch: `history["loss"]`, `["accuracy"]`, `["val_loss"]`, `["val_accuracy"]`;
        `params["run"]` is the run directory.

    Raises:
        ScenarioError: if an argument or the data cannot be used.
        Interrupted: after a signal; the run can be resumed.
    """
    from framework.run.device import import_tensorflow

    import_tensorflow()
    import keras

    from scenarios.mesonet.compiled import hand_over, name_of_loss, settings_as_compiled
    from scenarios.mesonet.given_model import GivenModel, KerasModel

    described = KerasModel.describing(model)
    if mode not in ("auto", "min", "max"):
        raise ConfigError(unknown_name("mode", "mode", mode, ["auto", "min", "max"]), subject="the arguments")
    if compile:
        learning: dict[str, Any] = {
            "optimizer": {"name": "adam"},
            "learning_rate": {"name": "constant", "lr": plain(lr)},
        }
        if lr_decay:
            decay = {"decay_rate": plain(decay_rate), "decay_limit": plain(decay_limit)}
            learning["learning_rate"] |= {"name": "decay_to_limit", **decay}
        judging: dict[str, Any] = {"loss": name_of_loss(loss)}
    else:
        learning, judging = settings_as_compiled(model)
        _warn_of_unused(lr=lr, loss=loss, lr_decay=lr_decay, decay_rate=decay_rate, decay_limit=decay_limit)
    early = {"monitor": plain(monitor), "patience": plain(patience)} if stop_early else {}
    saving = {} if checkpoint else {"checkpoint_every_n_epochs": 0, "checkpoint_every_n_minutes": None}
    with problems_of_arguments():
        config = parse(
            {
                "scenario": {
                    "target": _TARGET,
                    **judging,
                    **settings_of(augmentations, use_default=use_default_augmentation),
                },
                "model": {
                    "architecture": described.architecture,
                    "classes_of_layers": described.classes_of_layers,
                    "image_size": list(described.image_size),
                },
                "data": {
                    "name": "image_folder",
                    "train_dir": plain(train_data_dir),
                    "validation_split": plain(validation_split) or 0.0,
                    "batch_size": plain(batch_size),
                    "image_size": list(described.image_size),
                },
                **learning,
                "loop": {"name": "custom"},
                "early_stopping": early if mode == "auto" or not early else early | {"mode": mode},
                "device": {"precision": keras.config.dtype_policy().name},
                "trainer": {
                    "epochs": plain(epochs),
                    "tensorboard": plain(tensorboard),
                    "histograms_every_n": 1,  # of TensorBoard, as the original writes them
                    **saving,
                },
            }
        )
        scenario = GivenModel(config, model, keeps_optimizer=not compile)
        classes = scenario.classes
        if len(classes) > 2 and model.output_shape[-1] == 1:
            raise ScenarioError(
                f"{train_data_dir} has {len(classes)} classes, {', '.join(classes)}, and the model gives one "
                "probability, of the second of two classes"
            )
        _warn_of_classes(described.classes_of_layers.values())
        trainer = Trainer(scenario, RunDirectory.create(name=scenario.name))
        trainer.train()
    assert trainer.session is not None
    components = trainer.session.components
    hand_over(components, trainer.run, scenario, model, compile=compile)
    history = _history(trainer.run, model, steps=components.steps_per_epoch)
    if loss_curve:
        from scenarios.mesonet.visualization import plot_loss_curve

        plot_loss_curve(history)
    return history


def _warn_of_unused(**given: object) -> None:
    defaults = inspect.signature(train_model).parameters
    unused = [name for name, value in given.items() if value != defaults[name].default]
    if unused:
        log.warning(
            "%s: not used with compile=False, which goes on as the model is compiled", ", ".join(unused)
        )


def _warn_of_classes(targets: Iterable[str]) -> None:
    if here := [target.partition(":")[2] for target in targets if target.startswith("__main__:")]:
        log.warning(
            "the run can be resumed in this process only, since it defines %s; what is in a module is found by others",
            ", ".join(here),
        )


def _history(run: RunDirectory, model: keras.Model, *, steps: int) -> keras.callbacks.History:
    """Return what a run recorded, as `fit` of a Keras model returns it."""
    import keras

    recorded = Recorded.of(run)
    by_epoch: dict[int, dict[str, float]] = {}
    for record in recorded.history:
        if record["phase"] in _PREFIXES:
            prefix, values = _PREFIXES[record["phase"]], by_epoch.setdefault(record["epoch"], {})
            values |= {prefix + name: value for name, value in record["metrics"].items()}
    history = keras.callbacks.History()
    history.set_model(model)
    history.set_params(
        {"verbose": 1, "epochs": recorded.config.trainer.epochs, "steps": steps, "run": str(run.path)}
    )
    history.on_train_begin()
    for epoch, logs in by_epoch.items():
        history.on_epoch_end(epoch - 1, logs)
    return history
