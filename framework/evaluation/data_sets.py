"""evaluate_data_sets: trained models on data sets, each predicted once."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from framework.classification import Classification
from framework.config.overrides import key_of
from framework.data.groups import check_pattern
from framework.data.image_faults import quick_faults
from framework.data.images import unreadable_images
from framework.data.source import raise_unreadable
from framework.data.stream import in_order
from framework.errors import ConfigError, NumericsError, Problem, listing
from framework.evaluation.image_models import (
    ImageModel,
    image_scenario,
    load_image_model,
    name_runs,
    open_images,
)
from framework.evaluation.image_set import SUBJECT, ClassMap, ImageSet, find_image_sets, unknown_classes
from framework.evaluation.leakage import warn_of_leakage
from framework.evaluation.robustness import Degradation, Variants, degradations_of
from framework.evaluation.trained_model import find_scenario
from framework.report.measured import EvaluatedData, Evaluation, Measured, Place, measure
from framework.run.console import plural

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("framework")

_TELL_EVERY = 30.0  # seconds between two lines on the progress of a data set


def evaluate_data_sets(
    runs: Sequence[str | Path],
    data: Mapping[str, str | Path],
    *overrides: str,
    class_map: Mapping[str, str] | None = None,
    group_by: str | None = None,
    robustness: Mapping[str, Sequence[float]] | None = None,
    model: str = "best",
    weights: str | None = None,
    threshold: float | None = None,
    config_dir: str | Path | None = None,
) -> Evaluation:
    """Evaluate trained models on folders of images.

        found = evaluate_data_sets(["outputs/run1"], {"celeb": "data/celeb"}, class_map={"forged": "fake"})
        print(found.rows[0].measure, found.rows[0].value)

    Each model is loaded once, and each data set is read once for all models that read images in the same way.

    Args:
        runs: run directories; or files of weights, as for `load_and_validate`.
        data: the folder of each data set by its name, with a sub-folder for each class. Sub-folders of these are
            manipulations.
        overrides: applied to the config of each run, such as `batch_size=5` or `data.limit=100`, which takes that
            many images of each data set, evenly spread.
        class_map: the classes of the models by the folders of the data sets, or by `DATA:FOLDER`; an empty class
            leaves a folder out. A folder with the name of a class needs none.
        group_by: a regular expression that finds in the path of an image its video; None: `data.group_by` of the
            first run that has it; empty: no videos.
        robustness: strengths by degradation, as in `framework.evaluation.robustness.STRENGTHS`.
        model, weights, threshold, config_dir: as for `load_and_validate`, for each run.

    Raises:
        ScenarioError: if a run, a model or a data set cannot be used.
    """
    degradations = degradations_of(robustness or {})
    named, names = name_runs(runs), ClassMap(class_map or {})
    scenarios = {
        name: image_scenario(find_scenario(run, overrides, config_dir)[0], name)
        for name, run in named.items()
    }
    own = (getattr(scenario.data, "group_by", None) for scenario in scenarios.values())
    group_by = next(filter(None, own), None) if group_by is None else group_by
    sets = find_image_sets(data)
    _check(sets, scenarios, names, group_by)
    sets = [_used(one, scenarios.values(), names) for one in sets]
    for one in sets:
        one.videos(group_by)  # raises before a model is loaded
    if any(key_of(override) == "data.limit" for override in overrides):
        limit = next(iter(scenarios.values())).config.data.limit
        sets = [one.spread(limit) for one in sets]
    warnings = warn_of_leakage(named, sets)
    models = [
        load_image_model(
            name,
            run,
            overrides,
            model=model,
            weights=weights,
            threshold=threshold,
            config_dir=config_dir,
        )
        for name, run in named.items()
    ]
    sets = [_readable(one, models[0].scenario) for one in sets]
    rows: list[Measured] = []
    for one in sets:
        log.info("evaluating on %s: %s", one.name, plural(len(one.paths), "image"))
        rows += _evaluate(models, one, names, group_by, degradations)
    described = [_describe(one, scenarios.values(), names, group_by) for one in sets]
    return Evaluation([one.describe() for one in models], described, rows, group_by or None, warnings)


def _check(
    sets: Sequence[ImageSet],
    scenarios: Mapping[str, Classification],
    names: ClassMap,
    group_by: str | None,
) -> None:
    """Check that each folder of the data sets is a class of each model or is left out.

    Raises:
        ConfigError: naming all folders that are not, or a wrong `group_by`.
    """
    problems = list(check_pattern("--group-by", group_by))
    if not sets:
        problems.append(Problem("--data", "is needed", hint="add --data NAME=DIR"))
    known = list(dict.fromkeys(name for scenario in scenarios.values() for name in scenario.classes))
    problems += names.problems_of(sets, known)
    for one in sets:
        for model, scenario in scenarios.items():
            found = names.classes_of(one, scenario)
            # A folder with a wrong name in the map is a problem of the map.
            unknown = [
                f for f, name in found.items() if name is None and names.mapped(one, f) in (None, *known)
            ]
            if unknown:
                problems.append(unknown_classes(one, unknown, scenario.classes, model))
            elif not any(found.values()):
                problems.append(Problem(f"--data {one.name}", "has nothing left: --class-map leaves all out"))
    if problems:
        raise ConfigError(problems, subject=SUBJECT)


def _used(one: ImageSet, scenarios: Iterable[Classification], names: ClassMap) -> ImageSet:
    """The data set without the folders that are left out for all models."""
    used = {folder for found in scenarios for folder, name in names.classes_of(one, found).items() if name}
    return one.chosen([i for i, path in enumerate(one.paths) if path.partition("/")[0] in used])


def _readable(one: ImageSet, scenario: Classification) -> ImageSet:
    """The data set without the images that cannot be read, where `data.on_error` says so.

    Raises:
        DataError: naming files that cannot be images, where it does not.
    """
    if getattr(scenario.data, "on_error", "fail") == "fail":
        if faults := list(quick_faults(one.files)):
            raise unreadable_images(faults, len(one.paths), str(one.folder))
        return one
    faults = open_images(scenario, one).unreadable(range(len(one.paths)))
    if not faults:
        return one
    bad = {fault.name for fault in faults}
    good = [i for i, file in enumerate(one.files) if file not in bad]
    if not good:
        raise unreadable_images(faults, len(one.paths), str(one.folder))
    log.warning("%d images of %s are left out:%s", len(bad), one.name, listing(list(map(str, faults)), 5))
    return one.chosen(good)


def _evaluate(
    models: Sequence[ImageModel],
    one: ImageSet,
    names: ClassMap,
    group_by: str | None,
    degradations: Sequence[Degradation],
) -> Iterator[Measured]:
    """Measure models on a data set. Images are read once for all models that are given the same."""
    videos = one.videos(group_by)
    parts = one.manipulations(videos)
    outputs: dict[str, list[np.ndarray]] = {}
    by_reading: dict[object, list[ImageModel]] = {}
    for model in models:
        by_reading.setdefault(model.reading(), []).append(model)
    for alike in by_reading.values():
        source = Variants(open_images(alike[0].scenario, one), degradations)
        source.check(alike[0].scenario.name)
        outputs |= _outputs_of(alike, source)
    for model in models:
        of_folder = names.classes_of(one, model.scenario)
        labels = [of_folder[path.partition("/")[0]] for path in one.paths]
        for degradation, given in zip([None, *degradations], outputs[model.name], strict=True):
            at = Place(model.name, one.name)
            if degradation is not None:
                at = Place(model.name, one.name, degradation.kind, degradation.strength)
            scores = model.score(given, labels, videos, parts)
            yield from measure(scores, at, by_part=degradation is None)


def _outputs_of(models: Sequence[ImageModel], source: Variants) -> dict[str, list[np.ndarray]]:
    """The outputs of each model, by its name: for each variant of the images float [images, ...].

    Raises:
        DataError: naming the images that cannot be loaded.
        NumericsError: if an output is not finite.
    """
    import numpy as np
    import tensorflow as tf

    data = models[0].scenario.config.data
    found: dict[str, list[list[np.ndarray]]] = {}
    done, told = 0, time.monotonic()
    try:
        # All variants of a batch are in memory at once.
        batch_size = min(data.batch_size, 32) if source.degradations else data.batch_size
        for batch in in_order(source, batch_size=batch_size, workers=data.workers):
            for model in models:
                given = [np.asarray(model.network.predict_on_batch(images), np.float64) for images in batch]
                found.setdefault(model.name, []).append(given)
            done += len(batch[0])
            if time.monotonic() > told + _TELL_EVERY:
                log.info("%s of %s", f"{done:,}", plural(len(source), "image"))
                told = time.monotonic()
    except tf.errors.OpError as error:
        raise_unreadable(source, range(len(source)), error)
        raise
    joined = {
        name: [np.concatenate(one) for one in zip(*given, strict=True)] for name, given in found.items()
    }
    for name, variants in joined.items():
        finite = np.isfinite(np.stack(variants, axis=1).reshape(len(source), -1)).all(axis=1)
        if not finite.all():
            first = source.sample_name(int(np.argmin(finite)))
            raise NumericsError(f"{name} does not give finite numbers for {first}")
    return joined


def _describe(
    one: ImageSet, scenarios: Iterable[Classification], names: ClassMap, group_by: str | None
) -> EvaluatedData:
    of_models = [names.classes_of(one, scenario) for scenario in scenarios]
    classes = {
        folder: ", ".join(dict.fromkeys(found[folder] or "left out" for found in of_models))
        for folder in one.class_names
    }
    images = Counter(path.partition("/")[0] for path in one.paths)
    videos = one.videos(group_by)
    return EvaluatedData(one.name, one.folder, images, classes, None if videos is None else len(set(videos)))
