"""Learning rates: each schedule against values worked out by hand, and the rules that all of them keep."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
from keras.optimizers.schedules import LearningRateSchedule

from framework.config.parts import LearningRateSection
from framework.config.rules import schedule_fits_the_run
from framework.config.run_config import read_variant
from framework.config.sections import SECTIONS, RunConfig
from framework.config.trainer_config import TrainerConfig
from framework.errors import ConfigError, Problem
from framework.optim.learning_rates import LEARNING_RATES

ALL = list(LEARNING_RATES)
YAML_FILES = sorted((Path(__file__).parents[3] / "conf" / "learning_rate").glob("*.yaml"))


def build(name: str, *, steps_per_epoch: int = 10, epochs: int = 20, **settings: Any) -> LearningRateSchedule:
    return LEARNING_RATES[name](**settings).build(steps_per_epoch=steps_per_epoch, epochs=epochs)


def values(schedule: LearningRateSchedule, steps: Iterable[int]) -> list[float]:
    return [float(schedule(step)) for step in steps]


def run_config(learning_rate: LearningRateSection, *, epochs: int) -> RunConfig:
    others: Any = dict.fromkeys(
        section for section in SECTIONS if section not in ("learning_rate", "trainer")
    )
    return RunConfig(**others, learning_rate=learning_rate, trainer=TrainerConfig(epochs=epochs))


def test_constant() -> None:
    assert values(build("constant", lr=0.25), [0, 7, 199, 1000]) == [0.25] * 4


def test_exponential_decay_falls_by_a_hundredth_every_third_epoch() -> None:
    schedule = build("exponential_decay", decay=0.99, decay_epochs=3)
    assert values(schedule, [0, 29, 30, 59, 60]) == pytest.approx(
        [0.001, 0.001, 0.00099, 0.00099, 0.0009801], rel=1e-6
    )


def test_exponential_decay_per_step_is_smooth() -> None:
    schedule = build("exponential_decay", decay=0.25, decay_epochs=2, per="step")
    # 10 steps are half a decay, so a factor of sqrt(0.25); 5 steps a quarter of one, so sqrt(0.5).
    assert values(schedule, [0, 5, 10, 20]) == pytest.approx(
        [1e-3, math.sqrt(0.5) * 1e-3, 0.5e-3, 0.25e-3], rel=1e-6
    )


def test_exponential_decay_stops_at_its_smallest_fraction() -> None:
    schedule = build("exponential_decay", decay=0.5, decay_epochs=1, decay_min_fraction=0.2)
    assert values(schedule, [10, 20, 30, 190]) == pytest.approx([5e-4, 2.5e-4, 2e-4, 2e-4], rel=1e-6)


def test_cosine_decay_by_epochs() -> None:
    schedule = build("cosine_decay", final_epochs=5, alpha=0.1, decay=0.99, per="epoch")
    # Epoch 17 is 2/5 into the cosine, after 5 decays: 0.99^5 * (0.1 + 0.9 * (0.5 + 0.5 * cos(0.4 pi))) =
    # 0.95099 * 0.68906. Epoch 19: 0.99^6 * (0.1 + 0.9 * (0.5 + 0.5 * cos(0.8 pi))) = 0.94148 * 0.18594.
    expected = [0.001, 0.00099, 0.99**5 * 1e-3, 0.00065529, 0.00017506]
    assert values(schedule, [0, 30, 150, 175, 199]) == pytest.approx(expected, rel=2e-5)


def test_cosine_decay_by_steps() -> None:
    schedule = build("cosine_decay", final_epochs=5, alpha=0.1, decay=1, per="step")
    # Half of the cosine is over at step 175: 0.1 + 0.9 * 0.5. After the run it stays where it ended.
    assert values(schedule, [0, 150, 175, 200, 1000]) == pytest.approx(
        [1e-3, 1e-3, 5.5e-4, 1e-4, 1e-4], rel=1e-6
    )


def test_cosine_decay_takes_the_whole_run_by_default() -> None:
    """A plain, smooth cosine to 0, which is what the field means by the name."""
    schedule = build("cosine_decay", lr=1.0)
    assert values(schedule, [0, 50, 100, 200]) == pytest.approx(
        [1, 0.5 + 0.5 * math.sqrt(0.5), 0.5, 0], abs=1e-7
    )


def test_without_final_epochs_cosine_decay_is_exponential_decay() -> None:
    steps = [0, 95, 199]
    assert values(build("cosine_decay", final_epochs=0, decay=0.99), steps) == values(
        build("exponential_decay", per="step"), steps
    )


def test_warmup_cosine_decay() -> None:
    schedule = build("warmup_cosine_decay", lr=1.0, warmup_epochs=4, warmup_fraction=0.2, alpha=0, decay=1)
    # Up from 0.2 over 40 steps, then the cosine over the 160 that are left.
    assert values(schedule, [0, 10, 40, 120, 200]) == pytest.approx([0.2, 0.4, 1.0, 0.5, 0.0], abs=1e-7)


def test_the_decay_begins_after_the_warmup() -> None:
    schedule = build(
        "warmup_cosine_decay", lr=1.0, warmup_epochs=4, decay=0.5, decay_epochs=1, final_epochs=0, per="step"
    )
    assert values(schedule, [40, 50, 60]) == pytest.approx([1.0, 0.5, 0.25])


def test_warmup_constant_cosine_decay() -> None:
    schedule = build(
        "warmup_constant_cosine_decay",
        lr=1.0,
        warmup_epochs=4,
        constant_epochs=6,
        warmup_fraction=0,
        alpha=0.1,
        decay=1,
    )
    # Up over 40 steps, level until step 100, then 100 steps of the cosine: at its half 0.1 + 0.9 * 0.5.
    assert values(schedule, [0, 10, 40, 70, 100, 150, 200]) == pytest.approx(
        [0, 0.25, 1, 1, 1, 0.55, 0.1], abs=1e-7
    )


def test_noam() -> None:
    schedule = build("noam", lr=2.0, d_model=16, warmup_steps=4)
    # 2 * 16^-0.5 = 0.5, times s * 4^-1.5 = s / 8 up to the fourth step, then times 1 / sqrt(s).
    assert values(schedule, [0, 1, 3, 15, 99]) == pytest.approx(
        [0.5 / 8, 0.5 * 2 / 8, 0.25, 0.125, 0.05], rel=1e-6
    )


def test_piecewise() -> None:
    schedule = build("piecewise", lr=0.1, boundaries=(2.0, 3.5), values=(1.0, 0.5, 2.0), per="step")
    assert values(schedule, [0, 19, 20, 34, 35, 199]) == pytest.approx(
        [0.1, 0.1, 0.05, 0.05, 0.2, 0.2], rel=1e-6
    )


def test_piecewise_by_epochs_waits_for_the_next_one() -> None:
    schedule = build("piecewise", lr=0.1, boundaries=(2.5,), values=(1.0, 0.5))
    assert values(schedule, [25, 29, 30]) == pytest.approx([0.1, 0.1, 0.05], rel=1e-6)


def test_decay_to_limit_as_meso4_is_trained() -> None:
    # 16,384 samples in batches of 32 are 512 steps; 3 decays in 30 epochs are 10 epochs each: 5,120 steps.
    schedule = build(
        "decay_to_limit", decay_rate=0.1, decay_limit=1e-6, steps_per_epoch=16_384 // 32, epochs=30
    )
    assert values(schedule, [0, 5119, 5120, 10_239, 10_240, 15_359]) == pytest.approx(
        [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5], rel=1e-6
    )
    keras_own = keras.optimizers.schedules.ExponentialDecay(
        1e-3, decay_steps=5120, decay_rate=0.1, staircase=True
    )
    steps = range(0, 15_360, 640)
    assert values(schedule, steps) == pytest.approx(values(keras_own, steps), rel=1e-5)


def test_decay_to_limit_does_not_go_below_the_limit() -> None:
    # 5 epochs have room for 3 decays of an epoch each; the fifth epoch stays at the limit.
    assert values(build("decay_to_limit", epochs=5), [20, 30, 40, 49]) == pytest.approx(
        [1e-5, 1e-6, 1e-6, 1e-6], rel=1e-6
    )


def test_decay_to_limit_counts_a_whole_power_as_whole() -> None:
    # log(0.0081) / log(0.3) is 3.999999999999999 in floating point, and 0.3^4 is 0.0081.
    assert LEARNING_RATES["decay_to_limit"](lr=0.01, decay_rate=0.3, decay_limit=8.1e-5).decays() == 4


@pytest.mark.parametrize("name", ALL)
def test_by_epoch_the_value_changes_at_whole_epochs_only(name: str) -> None:
    schedule = build(name, per="epoch", offset_epochs=1.5)
    for epoch in range(20):
        assert len(set(values(schedule, range(10 * epoch, 10 * epoch + 10)))) == 1


@pytest.mark.parametrize(
    "name", [name for name in ALL if name not in ("constant", "piecewise", "reduce_on_plateau")]
)
def test_by_step_the_value_changes_within_an_epoch(name: str) -> None:
    assert len(set(values(build(name, per="step"), range(40, 50)))) == 10


@pytest.mark.parametrize("per", ["step", "epoch"])
@pytest.mark.parametrize("name", [name for name in ALL if name != "reduce_on_plateau"])
def test_an_offset_moves_the_beginning(name: str, per: str) -> None:
    moved = build(name, per=per, offset_epochs=4)
    at_once = build(name, per=per, epochs=16)
    assert values(moved, range(0, 40, 7)) == [float(at_once(0))] * 6
    assert values(moved, range(40, 200, 7)) == values(at_once, range(0, 160, 7))


@pytest.mark.parametrize("name", ALL)
def test_a_step_in_a_graph_gives_what_an_int_gives(name: str) -> None:
    schedule = build(name)

    @tf.function
    def in_graph(step: tf.Tensor) -> tf.Tensor:
        return schedule(step)

    for step in (0, 33, 175):
        result = in_graph(tf.constant(step, tf.int64))
        assert result.dtype == tf.float32
        assert result.shape == ()
        assert float(result) == float(schedule(step))


@pytest.mark.parametrize("name", ALL)
def test_a_rate_of_zero_stays_zero(name: str) -> None:
    assert values(build(name, lr=0.0), [0, 50, 199]) == [0.0] * 3


def test_steps_beyond_the_precision_of_float32_are_told_apart() -> None:
    step = 2**24
    schedule = build(
        "piecewise", steps_per_epoch=1, boundaries=(step + 1.0,), values=(1.0, 0.5), lr=1.0, per="step"
    )
    assert values(schedule, [step, step + 1]) == [1.0, 0.5]


@pytest.mark.parametrize("per", ["step", "epoch"])
def test_any_schedule_of_keras(per: str) -> None:
    arguments = {"first_decay_steps": 30, "alpha": 0.1}
    schedule = build("keras", lr=0.5, class_name="CosineDecayRestarts", arguments=arguments, per=per)
    theirs = keras.optimizers.schedules.CosineDecayRestarts(0.5, **arguments)
    at = [0, 1, 29, 30, 31, 89, 90, 199, 250]
    assert values(schedule, at) == pytest.approx(
        [float(theirs(step if per == "step" else step // 10 * 10)) for step in at], rel=1e-6
    )


def test_a_schedule_of_keras_takes_the_whole_run() -> None:
    own = build("cosine_decay", lr=0.5)
    assert values(build("keras", lr=0.5), range(0, 200, 9)) == pytest.approx(
        values(own, range(0, 200, 9)), abs=1e-7
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"class_name": "CosineDekay"}, r"learning_rate\.class_name: unknown schedule(.|\n)*'CosineDecay'"),
        ({"arguments": {"decay_rate": 1}}, r"arguments: CosineDecay refuses(.|\n)*allowed: .*warmup_target"),
    ],
)
def test_what_keras_refuses_is_a_problem(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build("keras", **settings)


def test_an_optimizer_follows_the_schedule() -> None:
    schedule = build("exponential_decay", lr=1.0, decay=0.5, decay_epochs=1, steps_per_epoch=1)
    optimizer = keras.optimizers.SGD(schedule)
    weight = keras.Variable([10.0])
    for _ in range(3):
        optimizer.apply([tf.constant([1.0])], [weight])
    assert weight.numpy() == pytest.approx([10 - 1 - 0.5 - 0.25])


@pytest.mark.parametrize("name", ALL)
def test_keras_saves_and_loads_a_schedule(name: str) -> None:
    schedule = build(name, lr=0.5, offset_epochs=2)
    loaded = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert loaded.learning_rate == schedule.learning_rate
    assert values(loaded, range(0, 200, 9)) == values(schedule, range(0, 200, 9))


@pytest.mark.parametrize(
    ("name", "settings", "path"),
    [
        ("constant", {"offset_epochs": 20}, "learning_rate.offset_epochs"),
        ("cosine_decay", {"final_epochs": 21}, "learning_rate.final_epochs"),
        ("cosine_decay", {"final_epochs": 18, "offset_epochs": 3}, "learning_rate.final_epochs"),
        ("warmup_cosine_decay", {"final_epochs": 19, "warmup_epochs": 2}, "learning_rate.final_epochs"),
        (
            "warmup_constant_cosine_decay",
            {"final_epochs": 18, "constant_epochs": 2},
            "learning_rate.final_epochs",
        ),
        ("decay_to_limit", {"lr": 1e-6}, "learning_rate.decay_limit"),
        ("decay_to_limit", {"decay_rate": 0.9}, "learning_rate.decay_limit"),
    ],
)
def test_what_does_not_fit_the_run_is_a_problem(name: str, settings: dict[str, Any], path: str) -> None:
    config = LEARNING_RATES[name](**settings)
    assert [problem.path for problem in schedule_fits_the_run(run_config(config, epochs=20))] == [path]
    with pytest.raises(ConfigError) as error:
        config.build(steps_per_epoch=10, epochs=20)
    assert [problem.path for problem in error.value.problems] == [path]


def test_phases_that_just_fit_the_run_are_none() -> None:
    config = LEARNING_RATES["warmup_constant_cosine_decay"](
        warmup_epochs=2, constant_epochs=3, final_epochs=12, offset_epochs=3
    )
    assert not list(schedule_fits_the_run(run_config(config, epochs=20)))


@pytest.mark.parametrize(
    ("name", "settings", "path"),
    [
        ("piecewise", {"boundaries": [3], "values": [1.0]}, "learning_rate.values"),
        ("piecewise", {"boundaries": [5, 5], "values": [1, 0.5, 0.1]}, "learning_rate.boundaries"),
        ("piecewise", {"boundaries": [0], "values": [1, 0.5]}, "learning_rate.boundaries[0]"),
        ("constant", {"lr": -1}, "learning_rate.lr"),
        ("constant", {"per": "batch"}, "learning_rate.per"),
        ("exponential_decay", {"decay": 1.1}, "learning_rate.decay"),
        ("noam", {"warmup_steps": 0}, "learning_rate.warmup_steps"),
    ],
)
def test_settings_out_of_range_are_problems(name: str, settings: dict[str, Any], path: str) -> None:
    problems: list[Problem] = []
    assert read_variant(LEARNING_RATES, {"name": name} | settings, "learning_rate", problems) is None
    assert [problem.path for problem in problems] == [path]


def test_every_schedule_has_its_yaml_file() -> None:
    assert [path.stem for path in YAML_FILES] == ALL


def test_configs_are_read_without_tensorflow() -> None:
    code = (
        "import sys; from framework.optim.learning_rates import LEARNING_RATES; from "
        "framework.optim.optimizers import OPTIMIZERS; "
        "[cls() for cls in (*LEARNING_RATES.values(), *OPTIMIZERS.values())]; "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
