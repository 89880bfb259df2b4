"""Warm start: initial weights from a trained model, matched by path and shape, and a report of the matches.

If no path of the source is in the model, as with layers that were named by number, the variables are matched
by their order. That needs the same variable names and shapes throughout. `framework.model.weight_files`
describes paths, and which files can be read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from framework.config.warm_start_config import WarmStartConfig
from framework.errors import ConfigError, Problem, listing, nearest
from framework.model.hdf5_weights import WeightSource
from framework.model.weight_files import ModelVariable, model_variables, open_weights, structure_of

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Transfer:
    """The outcome for one variable.

    Args:
        path: its path in the model; empty for a variable of the source that the model does not have.
        source: its path in the source, before renaming; empty if it was not found.
        shape: its shape in the model, or in the source if the model does not have it.
        outcome: "loaded"; "renamed", which is also loaded, under a path that `rename` changed; or "skipped".
        reason: why it was skipped, or how it was found.
    """

    path: str
    source: str
    shape: tuple[int, ...]
    outcome: Literal["loaded", "renamed", "skipped"]
    reason: str = ""


def describe(rows: Iterable[Transfer]) -> list[tuple[str, ...]]:
    """Format the outcomes as rows of a table: variable, shape, source, outcome with its reason."""
    shown = ((row, f"{row.outcome}: {row.reason}" if row.reason else row.outcome) for row in rows)
    return [(row.path or "-", str(row.shape), row.source or "-", outcome) for row, outcome in shown]


def warm_start(model: keras.Model, config: WarmStartConfig) -> list[Transfer]:
    """Load the weights of a trained model into a model. Seeds of random generators are not changed.

    Args:
        model: a built model. Its variables get the values of the source bit for bit if the dtypes are the
            same, else cast.
        config: the source and the patterns. If its `model` is None, nothing is done.

    Returns:
        A row for each variable of the model in its order, then one for each variable of the source that the
        model does not have.

    Raises:
        ConfigError: at `warmstart.model`, if there is no such file, it is damaged or of an unknown kind,
            nothing in it fits, or not everything fits and `allow_partial` is false; at `warmstart.include` or
            `.rename`, if these do not suit this model. No variable is changed then.
    """
    if config.model is None:
        return []
    source, targets = open_weights(config.model), model_variables(model)
    wanted = {target.path for target in targets if _is_wanted(target.path, config)}
    if not wanted:
        paths = listing([target.path for target in targets])
        setting_name = "exclude" if config.include is None else "include"
        given = getattr(config, setting_name)
        raise ConfigError(
            Problem(
                f"warmstart.{setting_name}", f"leaves no variable to load; the model has:{paths}", given=given
            )
        )
    places = _places(source, config.rename)
    found = _match_by_path(targets, source, places)
    by_order = not any(found.values()) and not config.rename
    if by_order:
        found = _match_by_order(model, targets, source)
    siblings = (
        Counter(_parent(path) for path in source.arrays)
        if source.naming == "number" and not by_order
        else None
    )
    rows = []
    for target in targets:
        place, shape = found.get(target.path) or "", tuple(target.variable.shape)
        reason = ""
        if target.path not in wanted:
            reason = "excluded"
        elif not place:
            reason = "no such path in the source"
        elif siblings and siblings[_parent(place)] != target.siblings:
            reason = (
                f"its layer has {siblings[_parent(place)]} variables in the source, {target.siblings} "
                "in the model"
            )
        elif source.arrays[place].shape != shape:
            reason = f"shape {source.arrays[place].shape} in the source, {shape} in the model"
        if reason:
            rows.append(Transfer(target.path, place, shape, "skipped", reason))
        else:
            outcome: Literal["loaded", "renamed"] = "loaded" if places.get(place) == place else "renamed"
            rows.append(Transfer(target.path, place, shape, outcome, "by order" if by_order else ""))
    used = {row.source for row in rows}
    _check_rows(rows, source, config)
    for target, row in zip(targets, rows, strict=True):
        if row.outcome != "skipped":
            target.variable.assign(source.arrays[row.source])
    unused = [(path, array.shape) for path, array in source.arrays.items() if path not in used]
    return rows + [Transfer("", path, shape, "skipped", "not in the model") for path, shape in unused]


def _check_rows(rows: Sequence[Transfer], source: WeightSource, config: WarmStartConfig) -> None:
    """Raise a `ConfigError` if nothing fits, or some variable does not and `allow_partial` is false."""
    failed = [row for row in rows if row.outcome == "skipped" and row.reason != "excluded"]
    if all(row.outcome == "skipped" for row in rows):
        # The first pair of similar names shows best what went wrong.
        pairs = ((row.path, nearest(row.path, source.arrays)) for row in failed if not row.source)
        near = next((pair for pair in pairs if pair[1]), None)
        reasons = listing([f"{row.path}: {row.reason}" for row in failed], 5)
        there = listing(list(source.arrays), 5)
        raise ConfigError(
            Problem(
                "warmstart.model",
                f"nothing in it fits the model:{reasons}\n    the source has:{there}",
                given=config.model,
                hint=f"{near[1]!r} is near to {near[0]!r}; set warmstart.rename=['FROM->TO']"
                if near
                else None,
            )
        )
    if failed and not config.allow_partial:
        reasons = listing([f"{row.path}: {row.reason}" for row in failed], 5)
        raise ConfigError(
            Problem(
                "warmstart.model",
                f"has no weights for {len(failed)} of the model's {len(rows)} variables:{reasons}",
                given=config.model,
                hint="set warmstart.allow_partial=true to keep the initial values of these, or name them in "
                "warmstart.exclude",
            )
        )


# Paths ------------------------------------------------------------------------------------------------------


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _is_wanted(path: str, config: WarmStartConfig) -> bool:
    return (config.include is None or _names(config.include, path)) and not (
        config.exclude and _names(config.exclude, path)
    )


def _names(pattern: str, path: str) -> bool:
    """Return whether a pattern matches a path or a leading part of it."""
    parts = path.split("/")
    return any(re.fullmatch(pattern, "/".join(parts[: i + 1])) for i in range(len(parts)))


def _places(source: WeightSource, renames: Sequence[str]) -> dict[str, str]:
    """Return the place of each array in the source, by its path after the renames, which apply in turn."""
    places: dict[str, str] = {}
    for original in source.arrays:
        path = original
        for rename in renames:
            old, _, new = rename.partition("->")
            path = re.sub(old, new, path)
        if path in places:
            message = f"{places[path]!r} and {original!r} of the source both become {path!r}"
            raise ConfigError(Problem("warmstart.rename", message, given=list(renames)))
        places[path] = original
    return places


def _match_by_path(
    targets: Sequence[ModelVariable], source: WeightSource, places: Mapping[str, str]
) -> dict[str, str | None]:
    """Return for each path of the model the place of its array in the source, or None."""
    found = {t.path: places.get(t.path) or places.get(getattr(t, source.naming)) for t in targets}
    heads = {path.partition("/")[0] for path in places}
    if source.naming == "graph_name" and not any(found.values()) and len(heads) == 1:
        # TensorFlow's names of a sequential or subclassed model begin with the name of that model.
        inner = {path.partition("/")[2]: place for path, place in places.items()}
        found = {t.path: inner.get(t.path) or inner.get(t.graph_name) for t in targets}
    return found


def _match_by_order(
    model: keras.Model, targets: Sequence[ModelVariable], source: WeightSource
) -> dict[str, str | None]:
    """Pair the paths of model and source by order if both have the same structure; return none otherwise."""
    if source.naming == "number":
        # Keras' keys in a file follow from the structure of the model, so equal sets of keys match.
        own, at = structure_of(model), {key: path for path, key in source.keys.items()}
        if set(at) != set(own.values()):
            return {}
        keys = [own.get(target.number) or own.get(target.path) for target in targets]
        order = [at[key] for key in keys if key]
    else:
        order = list(source.arrays)
        if [_last(path) for path in order] != [_last(target.path) for target in targets]:
            return {}
    if len(order) != len(targets):  # two layers have one key, and cannot be told apart
        return {}
    pairs = [
        (target.path, source.arrays[path].shape, tuple(target.variable.shape))
        for target, path in zip(targets, order, strict=True)
    ]
    if differ := [
        f"{path}: shape {there} in the source, {here} in the model"
        for path, there, here in pairs
        if there != here
    ]:
        if len(differ) > len(pairs) / 2:
            return {}
        # Nothing is matched by order then, but the shapes are the problem, and not the names, so say that.
        raise ConfigError(
            Problem(
                "warmstart.model",
                "has the layers of the model in their order, and some with other "
                f"shapes:{listing(differ, 5)}",
                hint="build the model as it was trained: the size of what goes in (data.image_size, data), "
                "the number of classes",
            )
        )
    return {target.path: path for target, path in zip(targets, order, strict=True)}


def _last(path: str) -> str:
    return path.rpartition("/")[2].partition("~")[0]
