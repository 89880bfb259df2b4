"""Settings of data with one class for each sample: `classes`, `positive_class` and `rename`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeVar

from framework.config.schema import Section, check
from framework.errors import ConfigError, Problem, unknown_name

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class Renaming:
    """Other names for the classes of the data."""

    rename: dict[str, str] = dataclasses.field(
        default_factory=dict,
        metadata={
            "help": "Other names for classes of the data in each split, as in `{df: fake}`. Classes with "
            "the same new name become one. All other settings take the new names."
        },
    )


def check_renaming(rename: Mapping[str, str], known: Collection[str]) -> None:
    """Refuse new names for classes that the data do not have.

    Args:
        rename: new names by the names that the data have.
        known: the classes of all splits, by the names that the data have.

    Raises:
        ConfigError: naming each class that no split has.
    """
    if unknown := [name for name in rename if name not in known]:
        raise ConfigError(
            [unknown_name("data.rename", "class of the data", name, sorted(known)) for name in unknown]
        )


def check_classes(
    classes: Sequence[str] | None,
    positive_class: str | None,
    rename: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Problem]:
    """Yield the problems of the settings. The names are checked only if `classes` is set."""
    for name, new in rename.items():
        if not new.strip():
            yield Problem(f"rename.{name}", "is an empty name", given=new, allowed="the name of a class")
    if classes is None:
        return
    if len(set(classes)) < max(len(classes), 2):
        yield Problem(
            "classes", "are too few, or not all different", given=classes, allowed="two or more names"
        )
    elif positive_class is not None and len(classes) != 2:
        yield Problem(
            "positive_class",
            f"means nothing with {len(classes)} classes",
            given=positive_class,
            allowed="null",
        )
    elif positive_class is not None and positive_class not in classes:
        problem = unknown_name("positive_class", "class", positive_class, classes)
        renamed = f"data.rename calls it {rename[positive_class]!r}" if positive_class in rename else None
        yield dataclasses.replace(problem, hint=renamed or problem.hint)


class _HasClasses(Section, Protocol):
    @property
    def classes(self) -> tuple[str, ...] | None: ...

    @property
    def positive_class(self) -> str | None: ...


C = TypeVar("C", bound=_HasClasses)


def with_classes(config: C, find: Callable[[], Sequence[str]]) -> C:
    """Return a section `data` with its classes filled in, and the positive class if there are two.

    Args:
        config: its settings `classes` and `positive_class` are filled in where they are null.
        find: returns the classes of the training samples, in order; called only if `classes` is null.

    Raises:
        ConfigError: if the classes are not valid, or the positive class is not among them.
    """
    classes = config.classes or tuple(find())
    positive = config.positive_class or (classes[-1] if len(classes) == 2 else None)
    resolved: C = dataclasses.replace(config, classes=classes, positive_class=positive)
    if problems := check(resolved, "data"):
        raise ConfigError(problems)
    return resolved


def targets_of(labels: np.ndarray, classes: Sequence[str], positive_class: str | None) -> np.ndarray:
    """Return the targets that a model is trained on.

    Args:
        labels: for each sample the index of its class, int32 [n].
        classes: the names of the classes.
        positive_class: with two classes, the one with the target 1; None: the last.

    Returns:
        With two classes float32 [n, 1], 1.0 for the positive class; otherwise `labels`.
    """
    import numpy as np

    if len(classes) != 2:
        return labels
    positive = list(classes).index(positive_class or classes[-1])
    return (labels == positive).astype(np.float32)[:, np.newaxis]
