"""What a model is worth on a data set: measures with intervals, of images and of videos, in all and by manipulation."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from framework.report.intervals import Interval
from framework.report.measures import Curves, label_intervals

if TYPE_CHECKING:
    import numpy as np

ALL = "all"
"""The part that is the whole data set."""
CLEAN = "none"
"""The degradation of images as they are."""


@dataclass(frozen=True)
class Measured:
    """A measure of a model on a data set, or on a part of it.

    Args:
        run: the name of the model.
        data: the name of the data set.
        level: `image`; or `video`, of which the score is the mean over its images.
        part: `all`, or a manipulation as `ImageSet.manipulations` names it.
        degradation: of the images: `none`, `jpeg`, `blur` or `scale`.
        strength: of the degradation; None without one.
        measure: its name.
        value: None where it means nothing here.
        low, high: the 95 % interval; None without a value.
        samples: images or videos that it is of.
        note: why there is no value; empty where there is one.
    """

    run: str
    data: str
    level: str
    part: str
    degradation: str
    strength: float | None
    measure: str
    value: float | None
    low: float | None
    high: float | None
    samples: int
    note: str = ""


@dataclass(frozen=True)
class EvaluatedModel:
    """A model that was evaluated.

    Args:
        name: of its run, short.
        source: the run directory, or the file, as it was given.
        folder: the exported folder, or the file.
        epoch: of its training; None for a file of weights.
        classes: their names; of two, the negative one first.
        positive: of two classes, the one that the scores are for.
        threshold: of two classes, above which a probability decides for the positive one.
    """

    name: str
    source: str
    folder: Path
    epoch: int | None
    classes: Sequence[str]
    positive: str | None
    threshold: float | None


@dataclass(frozen=True)
class EvaluatedData:
    """A data set that models were evaluated on.

    Args:
        name: of the data set.
        folder: an absolute path.
        images: how many each folder of a class has.
        classes: the class of the models that each folder stands for.
        videos: how many there are; None without videos.
    """

    name: str
    folder: Path
    images: Mapping[str, int]
    classes: Mapping[str, str]
    videos: int | None


@dataclass(frozen=True)
class Evaluation:
    """Models on data sets.

    Args:
        models, data_sets: what was evaluated.
        rows: the measures.
        group_by: the regular expression that found the videos; None without videos.
        warnings: what the values are to be read with, such as images that a model was trained on.
    """

    models: Sequence[EvaluatedModel]
    data_sets: Sequence[EvaluatedData]
    rows: Sequence[Measured]
    group_by: str | None
    warnings: Sequence[str] = ()

    def get(
        self,
        run: str,
        data: str,
        measure: str,
        *,
        level: str = "image",
        part: str = ALL,
        degradation: str = CLEAN,
        strength: float | None = None,
    ) -> Measured | None:
        """Return a measure, or None if it was not taken; see `Measured`."""
        return self._places.get((run, data, level, part, degradation, strength, measure))

    @functools.cached_property
    def _places(self) -> dict[tuple[object, ...], Measured]:
        return {astuple(row)[:7]: row for row in self.rows}

    @property
    def levels(self) -> list[str]:
        """The levels that there are: images, and videos if they were found."""
        return list(dict.fromkeys(row.level for row in self.rows))

    @property
    def notes(self) -> list[str]:
        """Why measures have no value: each reason once, with the data set and the measures."""
        found: dict[tuple[str, str], list[str]] = {}
        for row in self.rows:
            if row.note:
                found.setdefault((row.data, row.note), []).append(row.measure)
        return [
            f"{data}: no {', '.join(dict.fromkeys(measures))}, since {note}"
            for (data, note), measures in found.items()
        ]

    def as_csv(self) -> str:
        """Format as CSV (RFC 4180): a line a measure, with a header line; what is None is empty."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow([field.name for field in fields(Measured)])
        writer.writerows(astuple(row) for row in self.rows)
        return text.getvalue()


@dataclass(frozen=True)
class Scores:
    """What a model gives for the images of a data set.

    Args:
        labels: the class of each, int [images], an index into `classes`.
        probabilities: float [images, classes].
        classes: their names; of two, the negative one first.
        threshold: of two classes, above which the probability of the positive one decides for it.
        videos: the video of each image; None without videos.
        parts: the manipulation of each image.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    classes: Sequence[str]
    threshold: float
    videos: Sequence[str] | None
    parts: Sequence[str]

    def of_videos(self) -> Scores:
        """Return the same of videos: the probabilities of a video are the means over its images."""
        import numpy as np

        assert self.videos is not None
        # An image set has a class for a folder, and a video is in one folder.
        _, first, video = np.unique(self.videos, return_index=True, return_inverse=True)
        sums = np.zeros((len(first), self.probabilities.shape[1]))
        np.add.at(sums, video, self.probabilities)
        means = sums / np.bincount(video)[:, np.newaxis]
        parts = [self.parts[i] for i in first]
        return Scores(self.labels[first], means, self.classes, self.threshold, None, parts)

    def chosen(self, wanted: np.ndarray) -> Scores:
        """Return the same of the images for which `wanted`, bool [images], is true."""
        import numpy as np

        indices = np.flatnonzero(wanted).tolist()
        videos = None if self.videos is None else [self.videos[i] for i in indices]
        parts = [self.parts[i] for i in indices]
        return Scores(
            self.labels[indices], self.probabilities[indices], self.classes, self.threshold, videos, parts
        )

    @property
    def predicted(self) -> np.ndarray:
        """The class that each image is taken for, int [images]."""
        if len(self.classes) == 2:
            return (self.probabilities[:, 1] > self.threshold).astype(int)
        return self.probabilities.argmax(axis=1)


@dataclass(frozen=True)
class Place:
    """Where a measure belongs: the first columns of `Measured`."""

    run: str
    data: str
    degradation: str = CLEAN
    strength: float | None = None


def measure(scores: Scores, place: Place, *, by_part: bool = True) -> list[Measured]:
    """Measure a model on a data set, and by manipulation.

    A manipulation is a part of a class. With two classes, it is measured against all images of the other class, as
    tables of the field do, and its `recall` is the part of its own images that are taken for their class. With more
    classes, it has the recall alone.

    Args:
        scores: of the images. Where there are videos, these are measured, too, and intervals of both resample videos.
        place: of the results.
        by_part: whether to measure manipulations, of the classes that have several.
    """
    levels = {"image": scores} if scores.videos is None else {"image": scores, "video": scores.of_videos()}
    rows: list[Measured] = []
    for level, of_level in levels.items():
        rows += _as_rows(place, level, ALL, of_level, _intervals(of_level))
        for part in _parts(of_level) if by_part else ():
            rows += _measure_part(of_level, place, level, part)
    return rows


def _parts(scores: Scores) -> list[str]:
    """The manipulations of classes that have several, in order."""
    of_class: dict[int, set[str]] = {}
    for label, part in zip(scores.labels.tolist(), scores.parts, strict=True):
        of_class.setdefault(label, set()).add(part)
    return [
        part for label in sorted(of_class) for part in sorted(of_class[label]) if len(of_class[label]) > 1
    ]


def _measure_part(scores: Scores, place: Place, level: str, part: str) -> list[Measured]:
    import numpy as np

    inside = np.array([name == part for name in scores.parts])
    own = scores.labels[inside][0]
    alone = scores.chosen(inside)
    recall = {"recall": label_intervals(alone.labels, alone.predicted, clusters=_clusters(alone))["accuracy"]}
    rows = list(_as_rows(place, level, part, alone, recall))
    if len(scores.classes) == 2:
        against = scores.chosen(inside | (scores.labels != own))
        rows += _as_rows(place, level, part, against, _intervals(against))
    return rows


def _intervals(scores: Scores) -> dict[str, Interval | str]:
    """The intervals of the measures by their names; in place of one that means nothing here, the reason."""
    clusters = _clusters(scores)
    found: dict[str, Interval | str] = dict(
        label_intervals(scores.labels, scores.predicted, clusters=clusters)
    )
    if len(scores.classes) != 2:
        return found
    there = set(scores.labels.tolist())
    if len(there) == 2:
        curves = Curves(scores.labels, scores.probabilities[:, 1])
        return {**curves.intervals(scores.threshold, clusters=clusters), **found}
    (missing,) = {0, 1} - there
    reason = f"there is nothing of class {scores.classes[missing]!r}"
    return {"auc": reason, "eer": reason, "average_precision": reason, **found, "balanced_accuracy": reason}


def _clusters(scores: Scores) -> np.ndarray | None:
    import numpy as np

    return None if scores.videos is None else np.unique(scores.videos, return_inverse=True)[1]


def _as_rows(
    place: Place, level: str, part: str, scores: Scores, found: Mapping[str, Interval | str]
) -> Iterator[Measured]:
    at = (place.run, place.data, level, part, place.degradation, place.strength)
    count = len(scores.labels)
    for name, interval in found.items():
        if isinstance(interval, str):
            yield Measured(*at, name, None, None, None, count, interval)
        else:
            low, high = float(interval.low), float(interval.high)
            yield Measured(*at, name, float(interval.value), low, high, count)
