"""A guard against imports from run directories, which hold data and never code."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType


def refuse_imports_from(folder: str | Path) -> None:
    """Make every later import from `folder` or below raise an `ImportError`.

    The config of a run names the class of its scenario. A run from elsewhere could bring a module of that
    name, and Python could find it in the current folder or in the folder of the run.

    """
    finder = next((finder for finder in sys.meta_path if isinstance(finder, _GuardedFinder)), None)
    if finder is None:
        finder = _GuardedFinder()
        # In front of PathFinder, which it calls, so that each module is looked for once.
        at = next(
            (i for i, other in enumerate(sys.meta_path) if other is importlib.machinery.PathFinder),
            len(sys.meta_path),
        )
        sys.meta_path.insert(at, finder)
    finder.refused.add(os.path.realpath(folder))


class _GuardedFinder(importlib.abc.MetaPathFinder):
    def __init__(self) -> None:
        self.refused: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None:
            return None
        places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
        for place in places:
            found = Path(os.path.realpath(place))
            for refused in self.refused:
                if found.is_relative_to(refused):
                    raise ImportError(
                        f"{fullname} would be imported from the run directory {refused}, which holds data "
                        "and no code"
                    )
        return spec
