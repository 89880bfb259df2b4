"""Registries: mappings of names in the config to classes in the code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from framework.errors import ConfigError, unknown_name


class Registry(Mapping[str, type]):
    """A mapping of names to classes of one kind.

    Args:
        kind: what the names name, for messages: "optimizer", "scenario".

    >>> OPTIMIZERS = Registry("optimizer")
    >>> @OPTIMIZERS.register("adam")
    ... class Adam: ...
    >>> OPTIMIZERS["adam"].name
    'adam'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._classes: dict[str, type] = {}

    def register(self, name: str) -> Callable[[type], type]:
        """Return a class decorator that registers the class under `name`, and sets its attribute `name`.

        Raises:
            ValueError: where another class already has the name. (The same class, imported again, is fine.)
        """

        def add(cls: Any) -> type:
            known = self._classes.get(name)
            if known is not None and (known.__module__, known.__qualname__) != (
                cls.__module__,
                cls.__qualname__,
            ):
                raise ValueError(
                    f"{self.kind} {name!r} is registered already, by {known.__module__}.{known.__qualname__}"
                )
            cls.name = name
            self._classes[name] = cls
            return cls

        return add

    def find(self, name: str, path: str) -> type:
        """Return the class with a name.

        Args:
            path: where in the config the name stands, for the message.

        Raises:
            ConfigError: with the known names and the nearest one, where `name` is unknown.
        """
        if name not in self._classes:
            raise ConfigError(unknown_name(path, self.kind, name, sorted(self._classes)))
        return self._classes[name]

    def remove(self, name: str) -> None:
        """Remove a name, in a test or a notebook."""
        del self._classes[name]

    def __getitem__(self, name: str) -> type:
        return self._classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._classes))

    def __len__(self) -> int:
        return len(self._classes)
