"""Trained models that classify images, loaded for use on images that are not those of their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from framework.classification import Classification, ImageClassification
from framework.data.image_config import ImageConfig
from framework.data.source import Source
from framework.errors import ConfigError, Problem, ScenarioError
from framework.evaluation.image_set import SUBJECT, ImageSet
from framework.evaluation.trained_model import open_trained
from framework.report.comparison import short_paths
from framework.report.measured import EvaluatedModel, Scores
from framework.run.console import plural
from framework.run.device import apply_device
from framework.scenario import Scenario
from framework.splits import open_source
from framework.training.threshold import decide_at

if TYPE_CHECKING:
    import keras
    import numpy as np


@dataclass(frozen=True)
class ImageModel:
    """A loaded model that classifies images.

    Args:
        name: of its run, short.
        source: the run directory, or the file, as it was given.
        scenario: reads the images, and says what the outputs are.
        network: the model, not compiled.
        folder: the exported folder, or the file.
        epoch: of its training; None for a file of weights.
    """

    name: str
    source: str
    scenario: Classification
    network: keras.Model
    folder: Path
    epoch: int | None

    @property
    def classes(self) -> list[str]:
        """The names of the classes; of two, the negative one first."""
        names = list(self.scenario.classes)
        return sorted(names, key=lambda name: name == self.positive) if len(names) == 2 else names

    @property
    def positive(self) -> str | None:
        """Of two classes, the one that the output is the probability of."""
        return self.scenario.data.positive_class if len(self.scenario.classes) == 2 else None

    def describe(self) -> EvaluatedModel:
        """Return what is told of the model beside its measures."""
        threshold = self.scenario.threshold if self.positive else None
        return EvaluatedModel(
            self.name, self.source, self.folder, self.epoch, self.classes, self.positive, threshold
        )

    def reading(self) -> object:
        """Return what models have in common that are given the same images."""
        data, source = self.scenario.data, type(self.scenario).prediction_source
        if source is ImageClassification.prediction_source and isinstance(data, ImageConfig):
            return data.image_size, data.exif, data.jpeg
        return self.name

    def score(
        self,
        outputs: np.ndarray,
        labels: Sequence[str | None],
        videos: Sequence[str] | None,
        parts: Sequence[str],
    ) -> Scores:
        """Return what the model gives for the images of a data set that are not left out.

        Args:
            outputs: float [images, ...].
            labels: the class of each image; empty or None where it is left out.
            videos, parts: as for `Scores`.

        Raises:
            ScenarioError: if the outputs are not probabilities of classes.
        """
        import numpy as np

        classes = self.classes
        wanted = 1 if len(classes) == 2 else len(classes)
        if outputs.shape[1:] != (wanted,):
            raise ScenarioError(
                f"{self.name} gives numbers of the shape {list(outputs.shape[1:])} for an image, and for "
                f"{len(classes)} classes {[wanted]} is wanted"
            )
        if len(classes) == 2:
            outputs = np.concatenate([1 - outputs, outputs], axis=1)
        indices = np.array([classes.index(label) if label else -1 for label in labels])
        scores = Scores(indices, outputs, classes, self.scenario.threshold, videos, parts)
        return scores.chosen(indices >= 0)


def name_runs(runs: Sequence[str | Path]) -> dict[str, str | Path]:
    """Give runs short names.

    Raises:
        ConfigError: if there are none, or one is given twice.
    """
    if not runs:
        raise ConfigError(Problem("RUN", "is needed"), subject=SUBJECT)
    names = short_paths([Path(run) for run in runs])
    for name, run in zip(names, runs, strict=True):
        if names.count(name) > 1:
            raise ConfigError(Problem("RUN", "is given twice", given=str(run)), subject=SUBJECT)
    return dict(zip(names, runs, strict=True))


def image_scenario(scenario: Scenario, name: str) -> Classification:
    """Check that a scenario classifies images.

    Args:
        scenario: of a trained model.
        name: of the model.

    Raises:
        ScenarioError: if it does not.
    """
    of_images = isinstance(scenario, ImageClassification) or isinstance(scenario.composed.data, ImageConfig)
    if not (isinstance(scenario, Classification) and of_images and scenario.predicts()):
        raise ScenarioError(
            f"{name} is of the scenario {scenario.name}, which does not classify image files, and --data names "
            "folders of them",
            hint=f"without --data, load-and-validate evaluates {name} on its own data, or with overrides such as "
            "data.val=FILE on others",
        )
    return scenario


def load_image_model(
    name: str,
    run: str | Path,
    overrides: Sequence[str],
    *,
    model: str,
    weights: str | None,
    threshold: float | None,
    config_dir: str | Path | None,
) -> ImageModel:
    """Load the model of a run, or of a file of weights, by a name; the other arguments are those of
    `load_and_validate`."""
    with open_trained(run, overrides, model=model, weights=weights, config_dir=config_dir) as trained:
        scenario = image_scenario(trained.scenario, name)
        if threshold is not None:
            decide_at(scenario, threshold)
        with apply_device(scenario.config.device).scope():
            network = trained.load()
        epoch = trained.facts.get("epoch")
        known = epoch if isinstance(epoch, int) else None
        return ImageModel(name, str(run), scenario, network, trained.folder, known)


def open_images(scenario: Scenario, one: ImageSet) -> Source:
    """Open the images of a data set as the scenario reads images to predict.

    Raises:
        ScenarioError: if it does not give one sample for each.
    """
    source = open_source(scenario, scenario.prediction_source(one.files), "prediction_source", targets=False)
    if len(source) != len(one.paths):
        raise ScenarioError(
            f"prediction_source of {scenario.name} gives {plural(len(source), 'sample')} for "
            f"{plural(len(one.paths), 'image file')}, so their classes are not known"
        )
    return source
