"""Lists of images, each with its label."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from framework.config.schema import setting
from framework.data.groups import check_pattern, held_out_groups
from framework.data.image_config import ImageConfig, check_image_size
from framework.data.image_faults import quick_faults
from framework.data.image_files import ImageFiles, find_images, named_by
from framework.data.images import unreadable_images, without_unreadable
from framework.data.labelled_files import LabelledFiles
from framework.data.rows import KINDS, Row, check_rows, read_rows, read_text, refuse
from framework.data.source import Split
from framework.errors import DataError, Problem


@dataclass(frozen=True, kw_only=True)
class ImageList(ImageConfig, LabelledFiles):
    """One list for each split, with an image file and a label in each row.

        file,label                 train.csv; in train.jsonl {"file": "faces/one.jpg", "label": "real"}
        faces/one.jpg,real
        /data/more/two.png,fake

        faces/one.jpg real         train.txt: the last word of a line is the label, all before it the file
        /data/more/two.png fake

    Paths are relative to the folder of the list, or absolute. The format of an image is told by its content.
    Samples are in the order of the list. A sample is `(image, target)`. The image is RGB, uint8 [height,
    width, 3]. With two classes the target is float32 [1], 1.0 for the positive class. With more it is an
    int32 scalar, the index into `classes`.
    """

    file: str = setting("file", "Column, or key, of the path of the image.")

    what: ClassVar[str] = "images"
    kinds: ClassVar[str] = f"{KINDS}, or lines of `FILE LABEL` (.txt)"

    def check(self) -> Iterator[Problem]:
        yield from check_image_size(self.image_size)
        yield from check_pattern("group_by", self.group_by)
        yield from super().check()

    def read(self, path: str) -> Sequence[Row]:
        rows = (
            self._read_lines(path)
            if path.lower().removesuffix(".gz").endswith(".txt")
            else read_rows(path, self.kinds)
        )
        columns = {self.file: "data.file", self.label: "data.label"}
        check_rows(rows, columns, texts=columns)
        files = ((row, str(row.cells[self.file])) for row in rows)
        no_files = [
            (row, f"its {self.file!r} is {file!r}, which is not a path")
            for row, file in files
            if not file.strip() or "\0" in file
        ]
        refuse(rows, no_files, hint="give each row the path of an image, or remove it")
        return rows

    def _read_lines(self, path: str) -> Sequence[Row]:
        rows = []
        for number, line in enumerate(filter(str.strip, read_text(path, self.kinds).split("\n")), start=1):
            name, words = f"{path}:{number}", line.strip().rsplit(None, 1)
            problem = (
                None if len(words) == 2 else f"has a single word, {words[0]!r}, where `FILE LABEL` is wanted"
            )
            rows.append(
                Row(name, problem=problem)
                if problem
                else Row(name, dict(zip((self.file, self.label), words, strict=True)))
            )
        if not rows:
            raise DataError(f"{path} has no rows", hint=f"wanted: {self.kinds}")
        return rows

    def source(self, split: Split, *, seed: int) -> ImageFiles:
        """Return the images of a split.

        Args:
            split: the split.
            seed: decides which images are kept for validation if `val` is null.

        Raises:
            ConfigError: if a list is missing.
            DataError: naming each row that cannot be used, or all images that cannot be read, each with its
                row.
        """
        return self._source(split, seed, on_error=self.on_error)

    def unchecked_source(self, split: Split, *, seed: int) -> ImageFiles:
        return self._source(split, seed, on_error=None)

    def _source(self, split: Split, seed: int, on_error: str | None) -> ImageFiles:
        config = self.resolve()
        assert config.classes is not None
        path = config.file_of(split)
        rows = config.read(path)
        folder = os.path.dirname(path)
        files = [os.path.join(folder, str(row.cells[config.file])) for row in rows]
        if on_error == "fail":
            faults = [
                named_by(row.name, fault)
                for file, row in zip(files, rows, strict=True)
                for fault in quick_faults([file])
            ]
            if faults:
                raise unreadable_images(faults, len(files), path)
        groups = config.group_names([str(row.cells[config.file]) for row in rows])
        chosen = config._part(rows, groups, split, seed)
        rows = [rows[i] for i in chosen]
        source = config.files(
            [files[i] for i in chosen],
            labels=config.labels(rows).tolist(),
            classes=config.classes,
            positive_class=config.positive_class,
            rows=[row.name for row in rows],
            root=folder,
            group_names=groups and [groups[i] for i in chosen],
        )
        return without_unreadable(source, path) if on_error == "skip" else source

    def _part(
        self, rows: Sequence[Row], groups: Sequence[str] | None, split: Split, seed: int
    ) -> Sequence[int]:
        """Return the indices of the rows that belong to a split: by chance, or by whole groups."""
        if groups is None or not self.divides(split):
            return self.part(range(len(rows)), split, seed=seed)
        names, tell = self.names_of(rows, self.label), split is Split.VALIDATION  # once for both parts
        kept = held_out_groups(groups, names, self.validation_split, seed, log=tell)
        return [i for i, group in enumerate(groups) if (group in kept) == (split is Split.VALIDATION)]


_LISTS = (".csv", ".tsv", ".jsonl", ".json", ".ndjson", ".txt")


def images_to_predict(
    arguments: Sequence[str | Path],
    *,
    classes: Sequence[str],
    rename: Mapping[str, str] = MappingProxyType({}),
    file: str = "file",
    label: str = "label",
) -> dict[str, str | None]:
    """Find images to predict and, where they are known, their classes.

    The class of an image is its label in a list, or else the name of a folder that it is in.

    Args:
        arguments: image files, folders of them, and lists as for `ImageList`, in which labels may be missing.
        classes: the names of the classes. The nearest folder in the path of an image with such a name says
            its class.
        rename: other names for the classes, by the names that folders and lists have for them.
        file, label: the columns of a list.

    Returns:
        The class of each image, None if it is not known, by the paths of the images in their order.

    Raises:
        DataError: naming what does not exist, or cannot be read as a list.
    """

    def is_list(path: Path) -> bool:
        return path.is_file() and path.name.lower().removesuffix(".gz").endswith(_LISTS)

    def class_of(path: str) -> str | None:
        names = (rename.get(part, part) for part in reversed(Path(path).parent.parts))
        return next((name for name in names if name in classes), None)

    paths = [Path(argument) for argument in arguments]
    find_images([path for path in paths if not path.exists()])  # raises if any are missing
    found: dict[str, str | None] = {}
    for path in paths:
        if is_list(path):
            listed = _listed(path, {*classes, *rename}, file, label)
            found |= {
                image: rename.get(given, given) if given else class_of(image) for image, given in listed
            }
        else:
            found |= {str(image): class_of(str(image)) for image in find_images([path])}
    return found


def _listed(path: Path, classes: Collection[str], file: str, label: str) -> list[tuple[str, str | None]]:
    """Return the images in a list, each with its label, or None without one."""
    pairs: list[tuple[str, str | None]]
    if path.name.lower().removesuffix(".gz").endswith(".txt"):
        lines = [line.strip() for line in read_text(str(path), ImageList.kinds).split("\n") if line.strip()]
        split = [(line, line.rsplit(None, 1)) for line in lines]
        pairs = [
            (words[0], words[1]) if len(words) == 2 and words[1] in classes else (line, None)
            for line, words in split
        ]
    else:
        rows = read_rows(str(path), ImageList.kinds)
        check_rows(rows, {file: "data.file"}, texts=[file])
        pairs = [(str(row.cells[file]), str(row.cells.get(label) or "") or None) for row in rows]
    return [(os.path.join(path.parent, image), given) for image, given in pairs]
