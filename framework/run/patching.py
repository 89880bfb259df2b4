"""Patching: methods of one Keras object are replaced, for a while or for good, only by these functions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


def patch(instance: object, **attributes: object) -> None:
    """Replace attributes of an object, mostly methods, for good.

    They are put into the object's own dict, around Keras' attribute tracking, which would take them for a
    part of the model.
    """
    vars(instance).update(attributes)


@contextlib.contextmanager
def patching(instance: object, **methods: Callable[..., object]) -> Iterator[None]:
    """Replace methods of an object while the context lasts, also for calls by Keras itself.

    The functions are put into the object's own dict, around Keras' attribute tracking. Afterwards the dict is
    as before.


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
