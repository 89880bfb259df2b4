"""The arguments of Keras' `ImageDataGenerator` as settings of ours."""

from __future__ import annotations

import logging
import numbers
from collections.abc import Callable, Mapping
from typing import Any

from framework import ConfigError, Problem
from framework.errors import did_you_mean

log = logging.getLogger("framework")

DEFAULTS: Mapping[str, object] = {
    "rotation_range": 15,
    "zoom_range": 0.2,
    "brightness_range": (0.8, 1.2),
    "channel_shift_range": 30,
    "horizontal_flip": True,
}
"""The augmentation that MesoNet was trained with; see `framework.AffineAugmentation`."""

# The augmentation that changes nothing.
_NONE = {
    "rotation": 0.0,
    "zoom": 0.0,
    "horizontal_flip": False,
    "channel_shift": 0.0,
    "brightness": [1.0, 1.0],
}

# What would be computed over the data first, which ImageDataGenerator does only if `fit` is called.
_OF_THE_DATA = ("featurewise_center", "featurewise_std_normalization", "zca_whitening")

# What has only one meaning here, and which.
_FIXED: Mapping[str, object] = {
    "fill_mode": "nearest",
    "rescale": 1 / 255,
    "samplewise_center": False,
    "samplewise_std_normalization": False,
    "zca_epsilon": 1e-6,
    "cval": 0.0,
    "preprocessing_function": None,
    "data_format": None,
    "interpolation_order": 1,
    "dtype": None,
}


def settings_of(
    augmentations: Mapping[str, object] | None, *, use_default: bool, where: str = "augmentations"
) -> dict[str, Any]:
    """Return the settings `augment`, `augmentation` and `displacement` of the scenario, as plain values.

    Args:
        augmentations: arguments of `ImageDataGenerator`.
        use_default: whether `DEFAULTS` apply, too. They take precedence.
        where: the path of `augmentations` in messages.

    Raises:
        ConfigError: naming each that is unknown, of a wrong type, or has no counterpart here.
    """
    if not isinstance(augmentations or {}, Mapping):
        raise ConfigError(
            Problem(where, "must be a mapping", given=augmentations, allowed='such as {"rotation_range": 10}')
        )
    given = {**(augmentations or {}), **(DEFAULTS if use_default else {})}
    affine: dict[str, Any] = dict(_NONE)
    displacement: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in given.items():
        path = f"{where}[{name!r}]"
        if name in _SETTINGS:
            section, setting_name, convert = _SETTINGS[name]
            try:
                (affine if section == "augmentation" else displacement)[setting_name] = convert(value)
            except ValueError as error:
                problems.append(Problem(path, str(error), given=value))
        elif name in _OF_THE_DATA:
            if value:
                log.warning("%s is left out: it needs statistics of the data, which are not computed", path)
        elif name not in _FIXED:
            known = ", ".join((*_SETTINGS, *_OF_THE_DATA, *_FIXED))
            problems.append(
                Problem(
                    path,
                    "is not an argument of ImageDataGenerator",
                    given=value,
                    allowed=known,
                    hint=did_you_mean(str(name), known.split(", ")),
                )
            )
        elif repr(value) != repr(_FIXED[name]):  # an array has no single truth value
            problems.append(Problem(path, "cannot be changed here", given=value, allowed=repr(_FIXED[name])))
    if problems:
        raise ConfigError(problems, subject="the arguments")
    changed = {name: value for name, value in affine.items() if value != _NONE[name]}
    moved = {name: value for name, value in displacement.items() if value}
    if not (changed or moved):
        return {"augment": False, "augmentation": {}, "displacement": {}}
    return {"augment": True, "augmentation": affine, "displacement": moved}


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError("must be a number")
    return float(value)


def _fraction(value: object) -> float:
    number = _number(value)
    if not 0 <= number <= 1:
        raise ValueError("must be a fraction of the side, from 0 to 1")
    return number


def _zoom(value: object) -> float:
    """`zoom_range` is z for [1 - z, 1 + z], or both ends."""
    if isinstance(value, list | tuple):
        low, high = _range(value)
        if abs((1 - low) - (high - 1)) > 1e-6:
            raise ValueError("must be as far below 1 as above")
        return round(high - 1, 12)
    return _number(value)


def _range(value: object) -> list[float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("must be two numbers")
    return [_number(one) for one in value]


def _brightness(value: object) -> list[float]:
    return [1.0, 1.0] if value is None else _range(value)


def _yes(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be True or False")
    return value


# The section, the setting, and how its value becomes ours.
_SETTINGS: Mapping[str, tuple[str, str, Callable[[object], Any]]] = {
    "rotation_range": ("augmentation", "rotation", _number),
    "zoom_range": ("augmentation", "zoom", _zoom),
    "horizontal_flip": ("augmentation", "horizontal_flip", _yes),
    "channel_shift_range": ("augmentation", "channel_shift", _number),
    "brightness_range": ("augmentation", "brightness", _brightness),
    "width_shift_range": ("displacement", "width_shift", _fraction),
    "height_shift_range": ("displacement", "height_shift", _fraction),
    "shear_range": ("displacement", "shear", _number),
    "vertical_flip": ("displacement", "vertical_flip", _yes),
}
