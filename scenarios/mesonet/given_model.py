"""The scenario mesonet_model: training of a Keras model that was made in Python.

`train_model` makes it. The layers of the model are a part of the config, and its first state is a checkpoint, so
a run is resumed in another process without the code that made the model. Its weights are shared: what is trained
is in the given model, too.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from framework import ImageClassification, Objective, ScenarioError, register_scenario, setting
from framework.config.sections import RunConfig
from framework.config.targets import locate
from framework.errors import RunDirectoryError, reason_of
from scenarios.mesonet.displacement import Displacement
from scenarios.mesonet.scenario import DATAS
from scenarios.mesonet.scenario import Settings as MesoNetSettings

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_LARGEST = 16 * 2**20  # bytes of a description in JSON
_LONGEST = 60_000  # characters of it in a config
_PIXELS = "unit_range"


@dataclass(frozen=True, kw_only=True)
class KerasModel:
    """A Keras model by the description of its layers."""

    architecture: str = setting(
        help="The layers as Keras describes them in JSON, compressed (zlib, base64). model.txt shows them."
    )
    classes_of_layers: dict[str, str] = field(
        default_factory=dict,
        metadata={
            "help": "Classes of layers that are not Keras' own: their names in Keras, and `package.module:Class`."
        },
    )
    image_size: tuple[int, ...] = setting(
        help="Height and width of an image, in pixels, as the layers have it.", ge=1, le=4096
    )

    @classmethod
    def describing(cls, model: keras.Model) -> KerasModel:
        """Describe a model.

        Raises:
            ScenarioError: if it cannot be made again from its description, or takes something else than RGB
                images of one size.
        """
        from framework.model.export import check_exportable, own_classes

        size = image_size_of(model)
        check_exportable(model)
        described = json.loads(model.to_json())
        described.pop("compile_config", None)
        packed = base64.b64encode(zlib.compress(json.dumps(described).encode(), 9)).decode()
        if len(packed) > _LONGEST:
            raise ScenarioError(
                f"the description of {model.name} has {len(packed):,} characters, and a config takes {_LONGEST:,}",
                hint="register a scenario of your own, with the code that makes the model: docs/tutorial.md",
            )
        own = {name: f"{kind.__module__}:{kind.__qualname__}" for name, kind in own_classes(model).items()}
        found = cls(architecture=packed, classes_of_layers=own, image_size=size)
        weights = [weight.shape for weight in found.bare().weights]
        if weights != [weight.shape for weight in model.weights]:
            raise _not_made_again("it then has other weights")
        return found

    def build(self, *, classes: int) -> keras.Model:
        """Build the model, with new weights: from pixel values to what the layers give."""
        return taking_pixels(self.bare())

    def bare(self) -> keras.Model:
        """Build the model as it was given, with new weights.

        Raises:
            ScenarioError: if it cannot be made from its description.
            ConfigError: if the class of a layer is not found.
        """
        import keras

        own = {
            name: locate(target, f"model.classes_of_layers.{name}")
            for name, target in self.classes_of_layers.items()
        }
        try:
            unpacker = zlib.decompressobj()
            text = unpacker.decompress(base64.b64decode(self.architecture, validate=True), _LARGEST)
            if not unpacker.eof:
                raise ValueError("it is cut off, or too large")
            model = keras.saving.deserialize_keras_object(json.loads(text), custom_objects=own)
        except Exception as error:  # a damaged description, and the code of layers, can raise anything
            raise _not_made_again(reason_of(error)) from error
        if not isinstance(model, keras.Model):
            raise _not_made_again(f"it describes a {type(model).__name__}")
        return model


def _not_made_again(reason: str) -> ScenarioError:
    return ScenarioError(
        f"the model cannot be made again from the description of its layers: {reason}",
        hint="get_config() of a layer gives the arguments of its __init__, and functions are registered with "
        "@keras.saving.register_keras_serializable() (docs/custom_layers.md)",
    )


def image_size_of(model: keras.Model) -> tuple[int, int]:
    """Return height and width of the images that a model takes; 256 where it takes any.

    Raises:
        ScenarioError: if it takes something else than RGB images.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise ScenarioError(f"a Keras model is needed, not {type(model).__name__}")
    inputs = getattr(model, "inputs", None)
    if not inputs:
        raise ScenarioError(
            f"the model {type(model).__name__} does not say what it takes",
            hint="ip = keras.Input((256, 256, 3)); model = keras.Model(ip, model(ip))",
        )
    shapes = [tuple(one.shape) for one in inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3:
        raise ScenarioError(
            f"the model takes {', '.join(map(str, shapes))}, and not RGB images, (None, height, width, 3)"
        )
    height, width = shapes[0][1:3]
    return height or 256, width or 256


def scales_pixels(model: keras.Model) -> bool:
    """Return whether a model takes pixel values of 0 to 255, since it has a `Rescaling` layer; otherwise it
    takes values of 0 to 1."""
    import keras

    from framework.model.layers import all_layers

    return any(isinstance(layer, keras.layers.Rescaling) for layer in all_layers(model))


def taking_pixels(model: keras.Model) -> keras.Model:
    """Return a model of the same layers and weights that takes pixel values of 0 to 255.

    The layers of a functional or sequential model are its own layers, and not those of a model within it, so that
    each can be observed.
    """
    import keras

    image = keras.Input((*image_size_of(model), 3), dtype="float32", name="image")
    scaled = image if scales_pixels(model) else keras.layers.Rescaling(1 / 255, name=_PIXELS)(image)
    flat = isinstance(model, keras.Sequential) or type(model).__name__ == "Functional"
    return keras.Model(image, model.call(scaled) if flat else model(scaled), name=model.name)


@dataclass(frozen=True, kw_only=True)
class Settings(MesoNetSettings):
    """The settings of the scenario mesonet_model itself."""

    displacement: Displacement = field(
        default_factory=Displacement, metadata={"help": "Transformations beside those of `augmentation`."}
    )
    compiled: dict[str, object] = field(
        default_factory=dict,
        metadata={
            "help": "`loss`, `metrics` and `weighted_metrics` as Keras serialises them, of a model that was compiled already. "
            "Empty: `loss`, and accuracy."
        },
    )


@register_scenario("mesonet_model")
class GivenModel(ImageClassification):
    """Image classification by a Keras model that was made in Python.

    Args:
        config: what describes the run, and the layers of the model.
        given: the model, of which the weights are trained; None in a process that resumes the run.
        keeps_optimizer: whether the state of its optimizer is where the run starts from.
    """

    Config = Settings
    models = KerasModel
    datas = DATAS
    settings: Settings
    model: KerasModel

    def __init__(
        self, config: RunConfig, given: keras.Model | None = None, *, keeps_optimizer: bool = False
    ) -> None:
        super().__init__(config)
        self._given = given
        self._keeps_optimizer = keeps_optimizer

    def build_model(self) -> keras.Model:
        return super().build_model() if self._given is None else taking_pixels(self._given)

    def initialise(self, model: keras.Model) -> bool:
        if self._given is None:
            raise RunDirectoryError(
                "the run ended before anything was saved, and the weights that it started from are lost",
                hint="start it again: train_model(model, ...)",
            )
        if self._keeps_optimizer:
            copy_state(self._given.optimizer, model.optimizer)
        return True

    def objective(self) -> Objective:
        import keras

        compiled: Mapping[str, Any] = self.settings.compiled
        usual = super().objective()
        if not compiled:
            return usual
        loss, metrics, weighted = (
            keras.saving.deserialize_keras_object(copy.deepcopy(compiled[part]))
            for part in ("loss", "metrics", "weighted_metrics")
        )
        own = Objective(loss=loss, metrics=metrics or (), weighted_metrics=weighted or ())
        if "accuracy" not in (metrics or ()):
            return own
        return dataclasses.replace(own, monitor=usual.monitor, mode=usual.mode)

    def augment(self, batch: tuple[tf.Tensor, tf.Tensor], seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = super().augment(batch, seeds)
        return self.settings.displacement.apply(images, seeds), labels


def copy_state(source: keras.optimizers.Optimizer, target: keras.optimizers.Optimizer) -> None:
    """Copy the state of an optimizer of the same weights: its count of steps and its moments.

    The learning rate is not copied. Nothing is done if the source has not been used yet.

    Raises:
        ScenarioError: if the optimizers have other variables.
    """
    source, target = (
        getattr(one, "inner_optimizer", one) for one in (source, target)
    )  # mixed_float16 wraps it
    if not source.built:
        return
    there, here = _state(source), _state(target)
    if there.keys() != here.keys() or any(there[name].shape != here[name].shape for name in here):
        raise ScenarioError(
            "the optimizer of the model does not fit its weights: "
            f"{len(there)} variables of its state, and {len(here)} are needed",
            hint="compile the model after its layers are frozen or unfrozen",
        )
    for name, variable in here.items():
        variable.assign(there[name])


def _state(optimizer: keras.optimizers.Optimizer) -> dict[str, keras.Variable]:
    """The variables of an optimizer by their paths, without its own name, which differs from instance to
    instance."""
    found = {variable.path.partition("/")[2]: variable for variable in optimizer.variables}
    return {name: variable for name, variable in found.items() if name != "learning_rate"}
