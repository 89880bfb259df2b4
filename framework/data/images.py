"""Folders of images, with one sub-folder per class."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from framework.config.schema import setting
from framework.data.classes import Renaming, check_classes, check_renaming, with_classes
from framework.data.groups import check_pattern, held_out_groups
from framework.data.image_config import ImageConfig, check_image_size
from framework.data.image_faults import SUFFIXES, quick_faults
from framework.data.image_files import (
    ImageFiles,
    files_below,
    find_images,
    hint_for_missing,
    load_image,
    visible_entries,
    warn_of_ignored,
)
from framework.data.source import Fault, Split
from framework.data.subset import held_out
from framework.errors import ConfigError, DataError, Problem, listing, nearest

_FIELDS = {Split.TRAIN: "train_dir", Split.VALIDATION: "val_dir", Split.TEST: "test_dir"}

_log = logging.getLogger("framework")


@dataclass(frozen=True, kw_only=True)
class ImageFolder(Renaming, ImageConfig):
    """Images in one sub-folder per class.

        train_dir/cat/one.jpg
        train_dir/cat/more/two.png        a folder below a class belongs to it
        train_dir/dog/three.webp

    Hidden files and folders are passed over in silence, files without the suffix of an image with a warning.
    The format of an image is told by its content. Samples are in the order of their relative paths, byte by
    byte, on every platform.
    """

    train_dir: str | None = setting(None, "Folder of the training images, with one sub-folder per class.")
    val_dir: str | None = setting(
        None, "Folder of the validation images. null: a part of train_dir, see validation_split."
    )
    test_dir: str | None = setting(None, "Folder of the test images.")
    validation_split: float = setting(
        0.2,
        "Part of each class in train_dir that is kept for validation if val_dir is null. The seed decides "
        "which images. 0: train on all, without validation.",
        ge=0,
        lt=1,
    )
    classes: tuple[str, ...] | None = setting(
        None, "Names of the classes. null: the sub-folders of train_dir, in alphabetical order."
    )
    positive_class: str | None = setting(
        None, "The positive one of two classes: the model gives its probability. null: the last."
    )

    def check(self) -> Iterator[Problem]:
        yield from check_image_size(self.image_size)
        yield from check_pattern("group_by", self.group_by)
        yield from check_classes(self.classes, self.positive_class, self.rename)

    def has_validation(self) -> bool:
        """Return whether there is a validation split: a folder, or a part of the training images."""
        return bool(self.val_dir) or self._divides(Split.VALIDATION)

    def _divides(self, split: Split) -> bool:
        """Return whether a split is a part of the training folder."""
        return not self.val_dir and self.validation_split > 0 and split is not Split.TEST

    def resolve(self) -> ImageFolder:
        """Return the config with absolute folders, the classes, and the positive one of two, filled in.

        Raises:
            ConfigError: if a folder is missing or `train_dir` has no classes. If `classes` is set, no folder
                is read.
        """
        given = {field: getattr(self, field) for field in _FIELDS.values()}
        folders = {field: str(Path(folder).absolute()) for field, folder in given.items() if folder}
        absolute = dataclasses.replace(
            self,
            train_dir=folders.get("train_dir", self.train_dir),
            val_dir=folders.get("val_dir", self.val_dir),
            test_dir=folders.get("test_dir", self.test_dir),
        )
        resolved = with_classes(absolute, lambda: _find_classes(folders, self.rename))
        return self if resolved == self else resolved  # which may have listed its folder already

    def unchecked_source(self, split: Split, *, seed: int) -> ImageFiles:
        return self._source(split, seed, on_error=None)

    def source(self, split: Split, *, seed: int) -> ImageFiles:
        """Return the images of a split.

        Args:
            split: the split.
            seed: decides which images are kept for validation if `val_dir` is null.

        Raises:
            ConfigError: at `data.train_dir`, `data.val_dir` or `data.test_dir`, if the folder is missing or
                its content is not valid.
            DataError: naming all images that cannot be read.
        """
        return self._source(split, seed, on_error=self.on_error)

    def _source(self, split: Split, seed: int, on_error: str | None) -> ImageFiles:
        config = self.resolve()
        divided = config._divides(split)
        field = "train_dir" if divided else _FIELDS[split]
        folder = getattr(config, field)
        if not folder:
            raise _not_set(field, f"the {split} images")
        assert config.classes is not None
        found = config._training_folder if field == "train_dir" else config._list(field)
        if not divided or split is Split.TRAIN:  # a divided folder warns only once
            found.warn()
        if on_error == "fail":
            found.refuse_unreadable()
        by_class = dict(found.images)
        if divided:
            _check_divisible(by_class)
            kept = config._held_out(by_class, split, seed)
            by_class = {
                name: [image for image in images if (image in kept) == (split is Split.VALIDATION)]
                for name, images in by_class.items()
            }
        labelled = [(image, label) for label, name in enumerate(config.classes) for image in by_class[name]]
        labelled.sort(key=lambda pair: os.fsencode(pair[0]))
        source = config.files(
            [os.path.join(folder, image) for image, _ in labelled],
            labels=[label for _, label in labelled],
            classes=config.classes,
            positive_class=config.positive_class,
            group_names=config.group_names([image for image, _ in labelled]),
        )
        return without_unreadable(source, folder) if on_error == "skip" else source

    def _held_out(self, by_class: Mapping[str, Sequence[str]], split: Split, seed: int) -> set[str]:
        """Choose the images that are kept for validation: a part of each class, or whole groups."""
        labelled = [(image, name) for name, images in by_class.items() for image in images]
        groups = self.group_names([image for image, _ in labelled])
        if groups is None:
            parts = (held_out(images, self.validation_split, seed) for images in by_class.values())
            return set().union(*parts)
        names, tell = [name for _, name in labelled], split is Split.VALIDATION  # once for both parts
        kept = held_out_groups(groups, names, self.validation_split, seed, log=tell)
        return {image for (image, _), group in zip(labelled, groups, strict=True) if group in kept}

    @functools.cached_property
    def _training_folder(self) -> _Listing:
        """The content of `train_dir`.

        It is kept, since both parts of a divided folder need it, and listing opens each file.
        """
        return self._list("train_dir")

    def _list(self, field: str) -> _Listing:
        assert self.classes is not None
        return _list_images(f"data.{field}", getattr(self, field), self.classes, self.rename)


@dataclass(frozen=True)
class _Listing:
    """The content of a folder of classes.

    Args:
        where: the setting that names the folder.
        folder: the folder.
        images: for each class the paths of its images, relative to `folder`, sorted.
        ignored: the files that are passed over.
    """

    where: str
    folder: str
    images: Mapping[str, Sequence[str]]
    ignored: Sequence[str]

    def warn(self) -> None:
        """Warn of classes without images, and of files that are passed over."""
        empty = [name for name, images in self.images.items() if not images]
        if empty:
            names = ", ".join(map(repr, empty))
            _log.warning("%s: no images of class %s in %s", self.where, names, self.folder)
        warn_of_ignored(self.ignored)

    def refuse_unreadable(self) -> None:
        """Raise a `DataError` that names all files that cannot be images, if there are any."""
        if self._faults:
            raise unreadable_images(self._faults, sum(map(len, self.images.values())), self.folder)

    @functools.cached_property
    def _faults(self) -> Sequence[Fault]:
        names = itertools.chain.from_iterable(self.images.values())
        return list(quick_faults(os.path.join(self.folder, name) for name in names))


def _find_classes(folders: dict[str, str], rename: Mapping[str, str]) -> list[str]:
    """Find the classes, under their new names, in the first of the folders.

    That is `train_dir`, if it is given. The other folders must exist and hold classes.
    """
    if not folders:
        raise _not_set(
            "train_dir", "the names of the classes", "data.train_dir=DIR, or name them: data.classes=[A,B]"
        )
    first = next(iter(folders))
    problems: list[Problem] = []
    found: dict[str, list[str]] = {}
    for field, folder in folders.items():
        try:
            found[field], _ = class_folders(f"data.{field}", folder)
        except ConfigError as error:
            problems += error.problems
    names = sorted({rename.get(name, name) for name in found.get(first, ())}, key=os.fsencode)
    if len(names) == 1:
        what = f"holds one class only, {names[0]!r}" + (
            ", with data.rename" if names[0] not in found[first] else ""
        )
        problems.append(
            Problem(f"data.{first}", what, given=folders[first], allowed="two or more folders of classes")
        )
    if problems:
        raise ConfigError(problems)
    check_renaming(rename, {name for classes in found.values() for name in classes})
    return names


def _not_set(field: str, needed: str, hint: str | None = None) -> ConfigError:
    keeps = "; data.validation_split=0 keeps nothing for validation" if field == "val_dir" else ""
    hint = f"add {hint or f'data.{field}=DIR'}{keeps}"
    return ConfigError(Problem(f"data.{field}", f"is needed for {needed}", given=None, hint=hint))


def class_folders(where: str, folder: str) -> tuple[list[str], list[str]]:
    """Return the names of the sub-folders, one per class, and of the files beside them.

    Args:
        where: what names the folder, for the message.
        folder: the folder.

    Raises:
        ConfigError: if it does not exist, or holds no folders.
    """
    if not Path(folder).is_dir():
        there = Path(folder).exists()
        what = "is a file, not a folder" if there else "does not exist"
        raise ConfigError(
            Problem(where, what, given=folder, hint=None if there else hint_for_missing(folder))
        )
    classes, files = visible_entries(folder)
    if not classes:
        images = sum(name.lower().endswith(SUFFIXES) for name in files)
        what = (
            f"holds {images:,} images, but no folders of classes" if images else "holds no folders of classes"
        )
        layout = os.path.join(folder, "CLASS", "IMAGE.jpg")
        raise ConfigError(Problem(where, what, given=folder, allowed=f"one sub-folder per class: {layout}"))
    return classes, files


def _list_images(where: str, folder: str, classes: Sequence[str], rename: Mapping[str, str]) -> _Listing:
    """Find the images in a folder of classes.

    Raises:
        ConfigError: if a class is unknown, or has no training images.
    """
    folders, ignored = class_folders(where, folder)
    unknown = [name for name in folders if rename.get(name, name) not in classes]
    if unknown:
        what = f"holds folders of unknown classes: {', '.join(map(repr, unknown))}"
        near = nearest(unknown[0], classes)
        hint = f"is {unknown[0]!r} meant to be {near!r}? " if near else ""
        hint += f"'data.rename={{{unknown[0]}: {near or 'CLASS'}}}' gives it the name of a class"
        if where == "data.val_dir":
            named = ",".join(f"{name}={nearest(name, classes) or 'CLASS'}" for name in unknown)
            hint += (
                "; a trained run is evaluated on data with other names by "
                f"load-and-validate RUN --data {folder} --class-map {named}"
            )
        raise ConfigError(Problem(where, what, given=folder, allowed=", ".join(classes), hint=hint))
    found: dict[str, list[str]] = {name: [] for name in classes}
    for name in folders:
        images, others = files_below(os.path.join(folder, name))
        found[rename.get(name, name)] += [f"{name}/{image}" for image in images]
        ignored += [f"{name}/{other}" for other in others]
    empty = [name for name, images in found.items() if not images]
    if empty and (where == "data.train_dir" or len(empty) == len(classes)):
        what = f"holds no images of class {', '.join(map(repr, empty))}"
        raise ConfigError(
            Problem(where, what, given=folder, allowed=f"files that end in {', '.join(SUFFIXES)}")
        )
    return _Listing(where, folder, found, [os.path.join(folder, name) for name in ignored])


def unreadable_images(faults: Sequence[Fault], count: int, where: str) -> DataError:
    """Return the error that names all files that cannot be images.

    Args:
        faults: the faults of these files.
        count: the number of all files.
        where: the folder or the list of the files.
    """
    return DataError(
        f"{_describe(faults, count, where)}:{listing(list(map(str, faults)))}",
        hint="data.on_error=skip leaves them out; `validate-data` finds all that is wrong, with the "
        "same words as train-scenario",
    )


def without_unreadable(source: ImageFiles, where: str) -> ImageFiles:
    """Return the source without the files that cannot be read, and warn of them. Every file is tried.

    Raises:
        DataError: if no file of a class would be left.
    """
    faults = source.unreadable(range(len(source)))
    if not faults:
        return source
    problem, listed = _describe(faults, len(source), where), listing(list(map(str, faults)))
    bad = {fault.name for fault in faults}
    readable = source.chosen([i for i, path in enumerate(source.paths) if path not in bad])
    if source.labels is not None and readable.labels is not None:
        lost = sorted(set(source.labels.tolist()) - set(readable.labels.tolist()))
        if lost:
            names = ", ".join(repr(source.classes[label]) for label in lost)
            raise DataError(f"{problem}, none of class {names} can:{listed}")
    _log.warning("%s and are left out:%s", problem, listed)
    return readable


def _describe(faults: Sequence[Fault], count: int, where: str) -> str:
    return f"{len(faults):,} of {count:,} images in {where} cannot be read"


def _check_divisible(by_class: Mapping[str, Sequence[str]]) -> None:
    single = [name for name, images in by_class.items() if len(images) < 2]
    if single:
        what = (
            f"holds a single image of class {', '.join(map(repr, single))}, which cannot be in both "
            "training and validation"
        )
        raise ConfigError(Problem("data.train_dir", what, hint="add images, or set data.val_dir"))


__all__ = ["SUFFIXES", "ImageFiles", "ImageFolder", "find_images", "load_image"]
