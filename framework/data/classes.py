"""What data configs share whose samples have one class each: a section with `classes` and `positive_class`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from framework.errors import Problem, unknown_name

if TYPE_CHECKING:
    import numpy as np


def check_classes(classes: Sequence[str] | None, positive_class: str | None) -> Iterator[Problem]:
    """The problems of the two settings; none where the classes are left for the data to say."""
    if classes is None:
        return
    if len(set(classes)) < max(len(classes), 2):
        yield Problem("classes", "are too few, or not all different", given=classes, allowed="two or more names")
    elif positive_class is not None and len(classes) != 2:
        yield Problem("positive_class", f"means nothing with {len(classes)} classes", given=positive_class, allowed="null")
    elif positive_class is not None and positive_class not in classes:
        yield unknown_name("positive_class", "class", positive_class, classes)


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
