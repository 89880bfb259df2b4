"""A folder of images of classes on which trained models are evaluated, and its names for their classes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from framework.classification import Classification
from framework.data.groups import group_of
from framework.data.image_faults import SUFFIXES
from framework.data.image_files import files_below, warn_of_ignored
from framework.data.images import class_folders
from framework.errors import ConfigError, DataError, Problem, listing, nearest, unknown_name

SUBJECT = "what was asked for"
_MANIPULATIONS = 30  # sub-folders of a class; if it has more, they are taken for videos


@dataclass(frozen=True)
class ImageSet:
    """The images of a data set.

        DIR/real/one.png
        DIR/fake/Deepfakes/033_097/0001.png      a sub-folder of a class is a manipulation

    Args:
        name: of the data set.
        folder: an absolute path.
        paths: of the images, relative to `folder`, with `/`, sorted by their bytes.
    """

    name: str
    folder: Path
    paths: Sequence[str]

    @property
    def files(self) -> list[str]:
        """The absolute paths of the images."""
        return [os.path.join(self.folder, path) for path in self.paths]

    @property
    def class_names(self) -> list[str]:
        """The names that the data set has for its classes."""
        return sorted({path.partition("/")[0] for path in self.paths}, key=os.fsencode)

    def chosen(self, indices: Sequence[int]) -> ImageSet:
        """Return the set with only some of its images."""
        return ImageSet(self.name, self.folder, [self.paths[i] for i in indices])

    def spread(self, limit: int | None) -> ImageSet:
        """Return the set with at most `limit` of its images, evenly spread."""
        count = len(self.paths)
        if limit is None or limit >= count:
            return self
        return self.chosen([i * count // limit for i in range(limit)])

    def videos(self, group_by: str | None) -> list[str] | None:
        """Return the video of each image, or None if `group_by` is None or empty.

        Images of one video have the same group, and are in the same class and sub-folder. So a person that
        `group_by` finds in several manipulations is a video in each.

        Args:
            group_by: a regular expression; see `framework.data.groups.group_of`.

        Raises:
            DataError: naming the first images that it does not match.
        """
        if not group_by:
            return None
        groups = [group_of(group_by, path) for path in self.paths]
        missed = [path for path, group in zip(self.paths, groups, strict=True) if group is None]
        if missed:
            raise DataError(
                f"--group-by: {group_by!r} matches {len(groups) - len(missed):,} of the {len(groups):,} images of "
                f"{self.name}, and each needs a group; it does not match:{listing(missed, 5)}",
                hint=f"the expression is searched for in the path below {self.folder}; an empty one, --group-by '', "
                "leaves videos out",
            )
        return [f"{_folders(path)}/{group}" for path, group in zip(self.paths, groups, strict=True)]

    def manipulations(self, videos: Sequence[str] | None) -> list[str]:
        """Return the manipulation of each image: its sub-folder with that of its class, such as `fake/Deepfakes`.

        Sub-folders that are videos are no manipulations: those of which each holds a single video, or more than
        30 of them in a class. An image that is in no sub-folder belongs to the folder of its class.

        Args:
            videos: as `self.videos` gives them.
        """
        parts = [_folders(path) for path in self.paths]
        below = {part for part in parts if "/" in part}
        count = Counter(part.partition("/")[0] for part in below)
        if videos is not None:
            several = Counter(part for part, _ in set(zip(parts, videos, strict=True)))
            count = Counter({name: n for name, n in count.items() if _any_above_one(several, name)})
        kept = {name for name, n in count.items() if n <= _MANIPULATIONS}
        return [part if part.partition("/")[0] in kept else part.partition("/")[0] for part in parts]


def _any_above_one(several: Mapping[str, int], name: str) -> bool:
    return any(n > 1 for part, n in several.items() if part.startswith(f"{name}/"))


def _folders(path: str) -> str:
    """The folder of the class, and the sub-folder if the image is in one: `fake`, or `fake/Deepfakes`."""
    return "/".join(path.split("/")[:-1][:2])


def find_image_sets(data: Mapping[str, str | Path]) -> list[ImageSet]:
    """Find the images of data sets.

    Args:
        data: the folder of each, with a sub-folder for each class, by its name.

    Raises:
        ConfigError: naming each folder that does not exist, or holds no folders of classes, or no images.
    """
    problems: list[Problem] = []
    found: list[ImageSet] = []
    ignored: list[str] = []
    for name, given in data.items():
        folder = Path(given).absolute()
        try:
            classes, others = class_folders(f"--data {name}", str(folder))
        except ConfigError as error:
            problems += error.problems
            continue
        paths: list[str] = []
        for label in classes:
            images, more = files_below(folder / label)
            paths += [f"{label}/{image}" for image in images]
            others += [f"{label}/{other}" for other in more]
        ignored += [str(folder / other) for other in others]
        if not paths:
            what = f"files that end in {', '.join(SUFFIXES)}"
            problems.append(Problem(f"--data {name}", "holds no images", given=str(folder), allowed=what))
        found.append(ImageSet(name, folder, sorted(paths, key=os.fsencode)))
    if problems:
        raise ConfigError(problems, subject=SUBJECT)
    warn_of_ignored(ignored)
    return found


@dataclass(frozen=True)
class ClassMap:
    """What the classes of data sets are called by the models.

    Args:
        names: the class of a model by the name of a folder, or by `DATA:FOLDER` for one data set. An empty class
            leaves the folder out.
    """

    names: Mapping[str, str]

    def classes_of(self, one: ImageSet, scenario: Classification) -> dict[str, str | None]:
        """Return the class of a model for each folder: empty to leave it out, None if it is unknown.

        The map comes first, then the name of the folder itself, then the names that the run has renamed. So a map
        that is meant for one of several models leaves the others alone.

        Args:
            one: the data set.
            scenario: of the model.
        """
        rename: Mapping[str, str] = getattr(scenario.data, "rename", {})
        found: dict[str, str | None] = {}
        for folder in one.class_names:
            candidates = (self.mapped(one, folder), folder, rename.get(folder))
            known = (name for name in candidates if name == "" or name in scenario.classes)
            found[folder] = next(known, None)
        return found

    def mapped(self, one: ImageSet, folder: str) -> str | None:
        """Return what the map says of a folder of a data set; None if it says nothing."""
        return self.names.get(f"{one.name}:{folder}", self.names.get(folder))

    def problems_of(self, sets: Sequence[ImageSet], classes: Sequence[str]) -> Iterator[Problem]:
        """Yield the problems of names that no data set has, and of classes that no model has.

        Args:
            sets: all data sets.
            classes: those of all models.
        """
        folders = list(dict.fromkeys(name for one in sets for name in one.class_names))
        known = {*folders, *(f"{one.name}:{name}" for one in sets for name in one.class_names)}
        for folder, name in self.names.items():
            if folder not in known:
                yield unknown_name("--class-map", "class of the data sets", folder, folders)
            if name and name not in classes:
                yield unknown_name(f"--class-map {folder}", "class of the models", name, classes)


def unknown_classes(one: ImageSet, unknown: Sequence[str], classes: Sequence[str], model: str) -> Problem:
    """Return the problem of folders that are not classes of a model, with an example of the flag.

    Args:
        one: the data set.
        unknown: the names of these folders.
        classes: those of the model.
        model: its name.
    """
    example = ",".join(f"{name}={nearest(name, classes) or 'CLASS'}" for name in unknown)
    return Problem(
        f"--data {one.name}",
        f"holds folders that are not classes of {model}: {', '.join(map(repr, unknown))}",
        given=str(one.folder),
        allowed=", ".join(classes),
        hint=f"--class-map {example} gives them the names of its classes; an empty name, {unknown[0]}=, leaves a "
        "folder out",
    )
