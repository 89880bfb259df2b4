"""Texts with labels, from JSON lines or CSV."""

from __future__ import annotations

import csv
import dataclasses
import functools
import gzip
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framework.data.classes import check_classes, targets_of
from framework.data.image_files import hint_for_missing
from framework.data.source import ArraySource, DataConfig, Fault, Split
from framework.device import import_tensorflow
from framework.errors import ConfigError, DataError, Problem, listing, nearest
from framework.schema import check, setting

_FIELDS = {Split.TRAIN: "train", Split.VALIDATION: "val", Split.TEST: "test"}
_KINDS = "JSON lines (.jsonl) or CSV (.csv, .tsv) with a head line, packed by gzip (.gz) or not"


class TextSource(ArraySource):
    """Texts in memory: `(text, target)`, a string scalar and a label, or `(text,)` without labels.

    Args:
        texts: the texts.
        targets: float32 [n, 1] or int32 [n]; None for prediction.
        names: what to call each text.
    """

    def __init__(self, texts: Sequence[str], targets: Any, names: list[str]) -> None:
        import numpy as np

        encoded = np.array([text.encode() for text in texts], dtype=object)
        super().__init__((encoded,) if targets is None else (encoded, targets), names)
        self.texts = tuple(texts)

    def remarks(self, index: int) -> Iterable[Fault]:
        if not self.texts[index].strip():
            yield Fault(self.sample_name(index), "empty text", "has no words", fatal=False)

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for text in self.texts:
            digest.update(text.encode() + b"\0")
        return f"{len(self)} texts ({digest.hexdigest()[:12]})"


@dataclass(frozen=True, kw_only=True)
class TextFiles(DataConfig):
    """A file a split, with a text and a label a row: JSON lines or CSV with a head line, packed by gzip or not.

    A sample is `(text, target)`: a string scalar, and with two classes float32 [1], 1.0 for the positive one, with more an int32
    scalar, the index into `classes`. Without `train`, Keras' own copy of Reuters is taken, which needs a network once.
    """

    train: str | None = setting(None, "File of the training texts. null: Reuters by keras.datasets, which needs a network once.")
    val: str | None = setting(None, "File of the validation texts. null: a part of the training texts, see validation_split.")
    test: str | None = setting(None, "File of the test texts.")
    validation_split: float = setting(
        0.2, "Part of the training texts that is kept for validation where val is null. The seed says which.", gt=0, lt=1
    )
    text: str = setting("text", "Column, or key, of the text.")
    label: str = setting("label", "Column, or key, of the label.")
    classes: tuple[str, ...] | None = setting(None, "Names of the classes. null: the labels of the training texts, sorted.")
    positive_class: str | None = setting(
        None, "Of two classes, the one that the model's output is the probability of. null: the last."
    )

    def check(self) -> Iterator[Problem]:
        yield from check_classes(self.classes, self.positive_class)

    def resolve(self, *, seed: int) -> TextFiles:
        """The same with absolute paths, and the classes named."""
        paths: dict[str, Any] = {
            field: str(Path(path).absolute()) for field in _FIELDS.values() if (path := getattr(self, field)) is not None
        }
        for field, path in paths.items():
            if not Path(path).is_file():
                raise ConfigError(Problem(f"data.{field}", "is no file", given=path, allowed=_KINDS, hint=hint_for_missing(path)))
        config = dataclasses.replace(self, **paths)
        classes = self.classes or tuple(sorted({label for _, label, _ in config._rows(Split.TRAIN, seed)}))
        positive = self.positive_class or (classes[-1] if len(classes) == 2 else None)
        resolved = dataclasses.replace(config, classes=classes, positive_class=positive)
        if problems := check(resolved, "data"):
            raise ConfigError(problems)
        return resolved

    def source(self, split: Split, *, seed: int) -> TextSource:
        """The texts of a split.

        Args:
            split: which.
            seed: says which texts are kept for validation, where `val` is null.

        Raises:
            ConfigError: where a file is missing.
            DataError: naming each row that cannot be used.
        """
        import numpy as np

        config = self.resolve(seed=seed)
        assert config.classes is not None
        rows = config._rows(split, seed)
        unknown = [f"{name}: {label!r}" for _, label, name in rows if label not in config.classes]
        if unknown:
            near = nearest(unknown[0], config.classes)
            hint = (
                f"is it meant to be {near!r}?" if near else f"the classes are those of the training texts: {len(config.classes)}"
            )
            raise DataError(f"{len(unknown):,} of {len(rows):,} texts have labels of no class:{listing(unknown)}", hint=hint)
        index = {name: i for i, name in enumerate(config.classes)}
        labels = np.array([index[label] for _, label, _ in rows], np.int32)
        targets = targets_of(labels, config.classes, config.positive_class)
        return TextSource([text for text, _, _ in rows], targets, [name for _, _, name in rows])

    def _rows(self, split: Split, seed: int) -> list[tuple[str, str, str]]:
        """Text, label and name of each row of a split."""
        field = _FIELDS[split]
        if self.train is None:
            return _downloaded(split)
        if split is Split.TEST and self.test is None:
            raise ConfigError(Problem("data.test", "is needed for the test texts", given=None, hint="add data.test=FILE"))
        if self.val is not None or split is Split.TEST:
            return read_texts(getattr(self, field), self.text, self.label)
        rows = read_texts(self.train, self.text, self.label)
        # Ranked by a hash of seed and place: the same on each platform.
        ranked = sorted(range(len(rows)), key=lambda i: hashlib.sha256(f"{seed}/{i}".encode()).digest())
        kept = set(ranked[: min(max(round(self.validation_split * len(rows)), 1), len(rows) - 1)])
        return [row for i, row in enumerate(rows) if (i in kept) == (split is Split.VALIDATION)]


@functools.lru_cache(maxsize=4)
def read_texts(path: str, text: str = "text", label: str | None = "label") -> list[tuple[str, str, str]]:
    """The rows of a file.

    Args:
        path: `.jsonl`, `.csv` or `.tsv`, and `.gz` behind that where it is packed.
        text, label: the columns; None where no label is wanted.

    Returns:
        For each row the text, the label (empty without one), and its name: `FILE:ROW`, counted from 1.

    Raises:
        DataError: naming each row that cannot be used.
    """
    wanted = [text] if label is None else [text, label]
    rows, faults = [], []
    try:
        content = Path(path).read_bytes()
        decoded = (gzip.decompress(content) if path.endswith(".gz") else content).decode("utf-8-sig")
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}", hint=f"wanted: {_KINDS}, in UTF-8") from error
    for number, row in enumerate(_parse(path, decoded), start=1):
        name = f"{path}:{number}"
        if isinstance(row, str):
            faults.append(f"{name}: {row}")
        elif missing := [column for column in wanted if not isinstance(row.get(column), str | int)]:
            faults.append(f"{name}: has no {' and no '.join(map(repr, missing))}; it has {', '.join(map(repr, row))}")
        else:
            rows.append((str(row[text]), str(row[label]) if label is not None else "", name))
    if faults:
        raise DataError(
            f"{len(faults):,} of {len(rows) + len(faults):,} rows cannot be used:{listing(faults)}",
            hint="data.text and data.label name the columns",
        )
    if not rows:
        raise DataError(f"{path} has no rows", hint=f"wanted: {_KINDS}")
    return rows


def _parse(path: str, content: str) -> Iterator[dict[str, Any] | str]:
    """Each row, or what is wrong with it."""
    suffix = Path(path.removesuffix(".gz")).suffix
    if suffix in (".csv", ".tsv"):
        yield from csv.DictReader(io.StringIO(content, newline=""), delimiter="\t" if suffix == ".tsv" else ",")
        return
    if suffix not in (".jsonl", ".json", ".ndjson"):
        raise DataError(f"what kind of file is {path}?", hint=f"wanted: {_KINDS}")
    for line in content.splitlines():
        try:
            row = json.loads(line)
        except ValueError as error:
            yield f"is no JSON: {error}"
            continue
        yield row if isinstance(row, dict) else "is no JSON object"


def _downloaded(split: Split) -> list[tuple[str, str, str]]:
    """Keras' own split of Reuters, turned back into texts."""
    import_tensorflow()
    import keras

    try:
        index = {number + 3: word for word, number in keras.datasets.reuters.get_word_index().items()}
        train, test = keras.datasets.reuters.load_data()
        names = keras.datasets.reuters.get_label_names()
    except Exception as error:  # whatever a network that is not there raises
        raise DataError(
            f"no texts are named, and Reuters cannot be downloaded here: {error}",
            hint=f"data.train=FILE data.val=FILE name {_KINDS}, with the columns 'text' and 'label'",
        ) from error
    sequences, labels = train if split is Split.TRAIN else test
    return [
        (" ".join(index.get(number, "") for number in sequence[1:]), names[label], f"text {i}")
        for i, (sequence, label) in enumerate(zip(sequences, labels, strict=True))
    ]
