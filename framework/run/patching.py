"""Methods of one Keras object replaced, for a while or for good: the one way in which that is done."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


def patch(instance: Any, **attributes: Any) -> None:
    """Give an object methods, and other attributes, of its own, for good.

    They go into the object's own dict, around Keras' attribute tracking, which would take them for a part of
    the model.
    """
    vars(instance).update(attributes)


@contextlib.contextmanager
def patching(instance: Any, **methods: Callable[..., Any]) -> Iterator[None]:
    """Within the context, calls of these methods of the object go to the given functions, those that Keras
    makes itself too.

    The functions go into the object's own dict, around Keras' attribute tracking; what was there before comes
    back.

    >>> with patching(layer, call=lambda inputs: inputs):
    ...     model(x)
    """
    own = vars(instance)
    before = {name: own[name] for name in methods if name in own}
    patch(instance, **methods)
    try:
        yield
    finally:
        for name in methods:
            own.pop(name, None)
        own.update(before)
