"""What data configs share whose samples have one class each: a section with `classes` and
`positive_class`."""

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
    """Classes under other names than the data have for them."""

    rename: dict[str, str] = dataclasses.field(
        default_factory=dict,
        metadata={
            "help": "Other names for classes of the data, `{df: fake}`, in each split; classes that get one "
            "name become one. All other "
            "settings take the new names."
        },
    )


def check_renaming(rename: Mapping[str, str], known: Collection[str]) -> None:
    """Refuse new names for classes that the data do not have.

    Args:
        rename: new names by the names that the data have.
        known: the classes of the data of all splits, by the names that they have there.

    Raises:
        ConfigError: naming each class that there is nowhere.
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
    """The problems of the settings; of the names only where they are not left for the data to say."""
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
    """A section `data` with its classes named, and, where there are two, the positive one.

    Args:
        config: its settings `classes` and `positive_class` are filled in where they are null.
        find: gives the classes of the training samples, in their order; called only where they are not named.

    Raises:
        ConfigError: where they are no classes, or the positive one is not among them.
    """
    classes = config.classes or tuple(find())
    positive = config.positive_class or (classes[-1] if len(classes) == 2 else None)
    resolved: C = dataclasses.replace(config, classes=classes, positive_class=positive)
    if problems := check(resolved, "data"):
        raise ConfigError(problems)
    return resolved


def targets_of(labels: np.ndarray, classes: Sequence[str], positive_class: str | None) -> np.ndarray:
    """What a model is trained to give.

    Args:
        labels: for each sample the index of its class, int32 [n].
        classes: their names.
        positive_class: with two classes, the one whose target is 1; None: the last.

    Returns:
        With two classes float32 [n, 1], 1.0 for the positive one; otherwise `labels`.
    """
    import numpy as np

    if len(classes) != 2:
        return labels
    positive = list(classes).index(positive_class or classes[-1])
    return (labels == positive).astype(np.float32)[:, np.newaxis]
