"""Degraded variants of images, on which a model is evaluated beside the images as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from framework.data.degradations import DEGRADATIONS
from framework.data.source import Fault, Source
from framework.errors import ConfigError, Problem, ScenarioError, unknown_name
from framework.evaluation.image_set import SUBJECT

if TYPE_CHECKING:
    import tensorflow as tf

STRENGTHS: Mapping[str, Sequence[float]] = MappingProxyType(
    {"jpeg": (90, 70, 50, 30), "blur": (0.5, 1.0, 2.0, 3.0), "scale": (0.75, 0.5, 0.25)}
)
"""Strengths by the degradations: the JPEG quality, the standard deviation of the blur in pixels, the factor of the
scaling."""

_ALLOWED = {
    "jpeg": "whole numbers from 1 to 100, the quality",
    "blur": "numbers above 0 and up to 100, the standard deviation in pixels",
    "scale": "numbers above 0 and below 1, the factor of height and width",
}


@dataclass(frozen=True)
class Degradation:
    """A degradation of a strength.

    Args:
        kind: a name of `DEGRADATIONS`.
        strength: the second argument of its function.
    """

    kind: str
    strength: float

    def apply(self, image: tf.Tensor) -> tf.Tensor:
        """Degrade an image, [height, width, 1 or 3] in [0, 255]."""
        import tensorflow as tf

        if image.shape[-1] == 3:
            return DEGRADATIONS[self.kind](image, self.strength)
        coloured = tf.repeat(image, 3, axis=-1)
        return DEGRADATIONS[self.kind](coloured, self.strength)[..., :1]


def degradations_of(strengths: Mapping[str, Sequence[float]]) -> list[Degradation]:
    """Return the degradations of these strengths.

    Raises:
        ConfigError: naming each unknown degradation, and each strength that is out of bounds.
    """
    problems = list(_problems(strengths))
    if problems:
        raise ConfigError(problems, subject=SUBJECT)
    return [Degradation(kind, value) for kind, values in strengths.items() for value in dict.fromkeys(values)]


def _problems(strengths: Mapping[str, Sequence[float]]) -> Iterator[Problem]:
    for kind, values in strengths.items():
        if kind not in DEGRADATIONS:
            yield unknown_name("--degrade", "degradation", kind, list(DEGRADATIONS))
            continue
        bad = [value for value in values if not _is_allowed(kind, value)]
        if bad or not values:
            what = f"cannot have the strength {bad[0]:g}" if bad else "needs a strength"
            yield Problem(f"--degrade {kind}", what, given=list(values), allowed=_ALLOWED[kind])


def _is_allowed(kind: str, value: float) -> bool:
    if kind == "jpeg":
        return 1 <= value <= 100 and float(value).is_integer()
    return 0 < value < 1 if kind == "scale" else 0 < value <= 100


class Variants(Source):
    """Images, and each of them degraded.

    A sample is a tuple of images: the one that the original loads, then one for each degradation. The original has
    brought them to the size of the model. So a strength means the same for large and for small files, and it is what
    a model sees that is trained on augmented images.

    Args:
        original: its samples are `(image,)`.
        degradations: may be none.
    """

    def __init__(self, original: Source, degradations: Sequence[Degradation]) -> None:
        self._original = original
        self.degradations = degradations

    def __len__(self) -> int:
        return len(self._original)

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        image = self._original.load(index)[0]
        return (image, *(degradation.apply(image) for degradation in self.degradations))

    def check(self, name: str) -> None:
        """Refuse to degrade what is not an image with values in [0, 255].

        Args:
            name: of the scenario.

        Raises:
            ScenarioError: saying what the samples are instead.
        """
        import tensorflow as tf

        if not self.degradations:
            return
        image: Any = self._original.load(tf.constant(0, tf.int64))[0]
        is_image = tf.is_tensor(image) and image.shape.rank == 3 and image.shape[-1] in (1, 3)
        low, high = (float(tf.reduce_min(image)), float(tf.reduce_max(image))) if is_image else (0.0, 0.0)
        if not is_image or low < 0 or high > 255 or (image.dtype.is_floating and high <= 1):
            found = (
                f"{image.dtype.name} {tuple(image.shape)}" if tf.is_tensor(image) else type(image).__name__
            )
            values = f" with values from {low:g} to {high:g}" if is_image else ""
            raise ScenarioError(
                f"the samples of {name} are {found}{values}, and the degradations of --robustness are of images with "
                "1 or 3 channels and values from 0 to 255",
                hint="leave out --robustness, or scale the values in the model",
            )

    def sample_name(self, index: int) -> str:
        return self._original.sample_name(index)

    def diagnose(self, index: int, reason: str) -> Fault:
        return self._original.diagnose(index, reason)

    def known_fault(self, index: int) -> Fault | None:
        return self._original.known_fault(index)
