"""The checks of a scenario's contract; `framework.testing.contract` runs them."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, get_args, get_type_hints

from framework.config.compose import compose_config
from framework.config.run_config import parse
from framework.data.source import Source, Split
from framework.data.stream import in_order
from framework.errors import ConfigError
from framework.evaluation.compare_runs import differences
from framework.evaluation.load_and_validate import load_and_validate
from framework.model.export import SAVED_MODEL, load_model
from framework.model.layers import all_layers
from framework.run.run_directory import RunDirectory
from framework.splits import prepare_source
from framework.testing.subject import Subject, finish, without
from framework.training.agreement import Broken, check_batch, check_splits, inputs_of, named_parts
from framework.training.training_data import training_stream

if TYPE_CHECKING:
    from framework.data.structure import Tensors

_STEPS = 300  # within which a model must learn a batch

Check = Callable[[Subject], None]
CHECKS: dict[str, Check] = {}
"""The checks by their descriptions, in the order in which they run."""
# If one of these fails, the checks after it cannot run.
GROUND = ("it composes", "it builds", "data, model and loss go together")


def _check(name: str) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return add


# The checks -------------------------------------------------------------------------------------------------


@_check("it composes")
def _composes(subject: Subject) -> None:
    config = subject.config
    if parse(config.to_plain()) != config:
        raise Broken(
            "its config is not the same when it is written and read",
            "settings are plain values: numbers, strings, tuples",
        )


@_check("it builds")
def _builds(subject: Subject) -> None:
    first, second = (subject.scenario().build_model() for _ in range(2))
    if not first.built:
        raise Broken(
            "build_model() gives a model without weights", "begin it with keras.Input, or call build() on it"
        )
    if first is second or {id(v) for v in first.variables} & {id(v) for v in second.variables}:
        raise Broken("build_model() gives the same model again", "make its layers inside build_model()")


@_check("data, model and loss go together")
def _agrees(subject: Subject) -> None:
    scenario = subject.scenario()
    batches = training_stream(scenario, prepare_source(scenario, Split.TRAIN)).from_step(0)
    if scenario.config.trainer.val_every_n and scenario.config.data.has_validation():
        validation = in_order(
            prepare_source(scenario, Split.VALIDATION), batch_size=scenario.config.data.batch_size
        )
        check_splits(
            batches.element_spec, validation.element_spec
        )  # from element_spec, because with padding each batch has another length
    check_batch(scenario.build_model(), scenario.objective(), next(iter(batches)))
    subject.components()


@_check("settings that are wrong are answered")
def _answers_bad_config(subject: Subject) -> None:
    sections = {
        "scenario": subject.config.scenario.settings,
        "model": subject.config.model,
        "data": subject.config.data,
    }
    wrong = {f"{section}.no_such_setting": "1" for section in sections}
    for section, values in sections.items():
        for name, kind in get_type_hints(type(values)).items():
            kinds = {kind, *get_args(kind)}
            if kinds & {int, float, bool} and str not in kinds and hasattr(values, name):
                wrong[f"{section}.{name}"] = "no_number"
    for path, value in wrong.items():
        try:
            compose_config([*without(subject.words, path), f"{path}={value}"], config_dir=subject.config_dir)
        except ConfigError as error:
            if not any(path in problem.path for problem in error.problems):
                raise Broken(
                    f"{path}={value} is answered without its name: {error}", "name the setting in the Problem"
                ) from error
        else:
            raise Broken(
                f"{path}={value} is taken",
                "settings are a frozen dataclass of `setting(...)`s, with their types",
            )


@_check("the stream is the same from any step")
def _streams(subject: Subject) -> None:
    components = subject.components()
    whole = [batch for batch, _ in zip(components.stream.from_step(0), range(4), strict=False)]
    for step in (0, 3):
        if differs := _difference(whole[step], next(iter(components.stream.from_step(step)))):
            raise Broken(
                f"batch {step} is another one when it is made again: {differs}",
                "load(index) depends on its index alone, and augment(batch, seeds) draws from "
                "tf.random.stateless_* with its seeds",
            )
    original = getattr(
        components.source, "original", components.source
    )  # without the cache, which returns the same sample each time
    if differs := _difference(_load(original, 0), _load(original, 0)):
        raise Broken(
            f"sample 0 is another one when it is loaded again: {differs}",
            "load(index) and dataset[index] depend on the index alone; random augmentation belongs in "
            "augment(batch, seeds)",
        )
    again = subject.components().source
    changed = len(again) != len(components.source) or again.fingerprint() != components.source.fingerprint()
    if changed or any(
        _difference(_load(components.source, i), _load(again, i))
        for i in (0, len(again) // 2, len(again) - 1)
    ):
        raise Broken(
            "source(split) gives other samples when it is asked again",
            "what it draws comes from the seed of the config",
        )


def _load(source: Source, index: int) -> Tensors:
    import tensorflow as tf

    return source.load(tf.constant(index, tf.int64))


def _difference(one: Tensors, other: Tensors) -> str | None:
    """Describe the first tensor that differs between two structures; None if they are equal."""
    for (name, ours), (_, theirs) in zip(named_parts(one), named_parts(other), strict=True):
        ours, theirs = ours.numpy(), theirs.numpy()
        if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
            return f"{name} of another shape or dtype"
        if ours.tobytes() != theirs.tobytes():
            return f"{name}, in {(ours != theirs).sum():,} of {ours.size:,} values"
    return None


@_check("a batch can be learned by heart")
def _learns(subject: Subject) -> None:
    words = (
        "trainer.overfit_batches=1",
        "trainer.steps_per_epoch=1",
        f"trainer.epochs={_STEPS}",
        "trainer.calc_ema=null",
    )
    components = subject.components(*words, augment=False)
    batches, validator, done = components.batches(0), components.make_validator(), 0

    def loss() -> float:
        with components.evaluation_weights(done):
            return validator.evaluate()["loss"]

    first = now = loss()
    while done < _STEPS and not now <= first / 2:
        until = done + 50
        while done < until:
            done += components.loop.run(batches, until - done)
        now = loss()
    if not now <= first / 2:
        frozen = sorted(
            layer.name for layer in all_layers(components.model) if layer.weights and not layer.trainable
        )
        raise Broken(
            f"its loss went from {first:.4g} to {now:.4g} in {_STEPS} steps, and not to its half"
            + (f"; these layers do not learn: {', '.join(frozen)}" if frozen else ""),
            "let them learn (trainer.no_train_scope=null, layer.trainable=True), or see whether the others "
            "can do it alone"
            if frozen
            else "try another lr; see whether labels belong to their samples, and whether the last "
            "activation goes with the loss",
        )


@_check("killed and resumed, it ends with the same bits")
def _survives_a_kill(subject: Subject) -> None:
    run = subject.folder / "killed"
    process = subject.start("train", run)
    while process.poll() is None and not list(run.glob("checkpoints/step-*")):
        time.sleep(0.001)
    process.kill()
    _, errors = process.communicate()
    if not (run / "config.yaml").exists():
        raise Broken(f"training failed: {errors.strip()}", "see the message")
    finish(subject.start("resume", run, str(run)))
    if found := differences(run, subject.undisturbed):
        raise Broken(
            f"what differs from an undisturbed run: {', '.join(found)}",
            "random numbers come from keras.random.SeedGenerator or from layers, and what a model remembers "
            "is in its variables",
        )


@_check("the exported model loads in a process of its own")
def _loads_afresh(subject: Subject) -> None:
    # In a new process: one that has built the model knows its classes even if they are not registered.
    _ = subject.freshly_loaded


@_check("LAV equals validation, in batches of 1 and of 5")
def _lav_equals_validation(subject: Subject) -> None:
    best = (RunDirectory.open(subject.undisturbed).load_result() or {}).get("best")
    if not best:
        raise Broken("no epoch was the best", "objective().monitor names a value that is a number")
    if not subject.config.data.has_validation():
        return
    in_fives = load_and_validate(
        subject.undisturbed, "batch_size=5", output=subject.folder / "lav.json"
    ).metrics
    for size, found in ((1, subject.freshly_loaded), (5, in_fives)):
        for name, value in best["metrics"].items():
            other = found.get(name.removeprefix("val_"))
            if (
                name.startswith("val_")
                and other is not None
                and not math.isclose(value, other, rel_tol=1e-3, abs_tol=1e-4)
            ):
                raise Broken(
                    f"{name} is {value:.6g}, and {other:.6g} in batches of {size}",
                    "a layer, loss or metric must not depend on which samples share a batch",
                )


@_check("the export is whole without the scenario's code")
def _exports(subject: Subject) -> None:
    import numpy as np
    import tensorflow as tf

    folder = RunDirectory.open(subject.undisturbed).export
    model = load_model(folder, subject.scenario().build_model)
    split = Split.VALIDATION if subject.config.data.has_validation() else Split.TRAIN
    inputs = next(iter(in_order(prepare_source(subject.scenario(), split), batch_size=5)))[0]
    if (wanted := inputs_of(model)) is not None:  # Keras casts by itself, a SavedModel does not
        inputs = tf.nest.map_structure(
            lambda x, to: x if x.dtype == to.dtype else tf.cast(x, to.dtype), inputs, wanted
        )
    expected = tf.nest.flatten(model.predict_on_batch(inputs))
    flat = [part.numpy() for part in tf.nest.flatten(inputs)]
    given, made = subject.folder / "inputs.npz", subject.folder / "outputs.npz"
    np.savez(given, *[part.astype(np.bytes_) if part.dtype == object else part for part in flat])
    structure = json.dumps(tf.nest.pack_sequence_as(inputs, list(range(len(flat)))))
    words = [str(folder / SAVED_MODEL), str(given), structure, str(made)]
    # -I: neither this folder nor PYTHONPATH; nothing of the framework or the scenario is imported.
    done = subprocess.run(
        [sys.executable, "-I", "-c", _SERVE, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = re.findall(r"^[\w.]+(?:Error|Exception): .*", done.stderr, re.MULTILINE)
        raise Broken(
            f"it cannot be used: {reason[-1] if reason else done.stderr}",
            "what the model calls must be TensorFlow operations",
        )
    with np.load(made) as served:
        for ours, name in zip(expected, served.files, strict=True):
            if not np.allclose(ours, served[name], rtol=1e-4, atol=1e-5):
                raise Broken(
                    "it answers otherwise than the model does",
                    "the model's call must not depend on anything outside of it",
                )


_SERVE = """
import json, sys
import numpy as np, tensorflow as tf
folder, given, structure, made = sys.argv[1:]
arrays = np.load(given)
batch = tf.nest.map_structure(lambda i: tf.constant(arrays[f"arr_{i}"]), json.loads(structure))
model = tf.saved_model.load(folder)
np.savez(made, *[part.numpy() for part in tf.nest.flatten(model.serve(batch))])
"""
