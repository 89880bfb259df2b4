"""Steps over several batches and devices: as over all their samples at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.errors import ConfigError
from framework.optim.optimizers import OPTIMIZERS
from tests.runs import compose_toy, final_state, records, train, train_on_two

pytestmark = pytest.mark.usefixtures("toy_on_the_path")

# All that counts steps or looks at gradients, and nothing that depends on what a batch is.
WORDS = (
    *(
        "optimizer=adamw",
        "optimizer.clip_global_norm=0.05",
        "learning_rate=cosine_decay",
        "trainer.calc_ema=0.9",
    ),
    *("scenario.dropout=0", "epochs=2", "scenario.samples=100"),
)
WITHOUT_BATCH_NORM = ("scenario.batch_norm=false",)
OTHERS = ("sgd", "adabelief")


def assert_equal_runs(a: Path, b: Path, tolerance: float) -> None:
    for one, other in zip(records(a), records(b), strict=True):
        assert one["step"] == other["step"]
        assert one["metrics"] == pytest.approx(other["metrics"], abs=tolerance)
    ours, theirs = final_state(a).variables, final_state(b).variables
    assert ours.keys() == theirs.keys() == {"model", "optimizer", "metrics", "average"}
    for group in ("model", "optimizer", "average"):
        for x, y in zip(ours[group], theirs[group], strict=True):
            np.testing.assert_allclose(x.array, y.array, atol=tolerance, err_msg=f"{group} {x.name}")


@pytest.mark.parametrize("optimizer", ["adamw", *(pytest.param(n, marks=pytest.mark.slow) for n in OTHERS)])
def test_3_batches_of_1_make_the_step_of_1_batch_of_3(tmp_path: Path, optimizer: str) -> None:
    words = (*WORDS, *WITHOUT_BATCH_NORM, f"optimizer={optimizer}")
    train(tmp_path / "one", *words, "batch_size=3")
    train(tmp_path / "three", *words, "batch_size=1", "optimizer.accumulate_steps=3")
    assert_equal_runs(tmp_path / "one", tmp_path / "three", 1e-6)
    assert records(tmp_path / "three")[0]["step"] == 33, "and not 100, the number of batches"


SGD = (
    "optimizer=sgd",
    "optimizer.momentum=0.9",
    "lr=0.1",
)  # unlike Adam's, its steps are as long as the gradients are


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [SGD, ("batch_size=4", "optimizer.accumulate_steps=2")], ids=["one batch", "two batches"]
)
def test_two_devices_train_as_one(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Clipping after the sum over devices, BatchNorm over all of them, and steps of several batches."""
    one, two = tmp_path / "one", tmp_path / "two"
    train(one, *WORDS, *words)
    train_on_two(two, *WORDS, *words)
    assert_equal_runs(one, two, 1e-5)


def test_a_batch_that_cannot_be_divided_among_the_devices_is_answered() -> None:
    for devices in ("device.gpus=[0,1]", "device.cpu_replicas=2"):
        with pytest.raises(ConfigError, match=r"data.batch_size.*\n.*given: *9\n.*a multiple of 2"):
            compose_toy(devices, "batch_size=9")


def test_copies_of_the_cpu_are_not_gpus_and_must_be_made_in_time(tmp_path: Path) -> None:
    import tensorflow as tf

    with pytest.raises(
        ConfigError, match=r"device.cpu_replicas: does not go together with device.gpus=\[0\]"
    ):
        compose_toy("device.gpus=[0]", "device.cpu_replicas=2")
    tf.constant(1)  # from here on the devices of this process are what they are
    with pytest.raises(
        ConfigError, match=r"device.cpu_replicas: is too late.*\n.*given: *2\n.*and <= 1 in this process"
    ):
        train(tmp_path / "run", "device.cpu_replicas=2")
    assert not (tmp_path / "run").exists()


def test_accumulation_and_loss_scaling_do_not_go_together() -> None:
    with pytest.raises(ConfigError, match="mixed_bfloat16"):
        compose_toy("optimizer.accumulate_steps=2", "device.precision=mixed_float16")


def test_more_batches_than_data_are_answered(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a whole number <= 33"):
        train(tmp_path / "run", "scenario.samples=100", "batch_size=34", "optimizer.accumulate_steps=3")


def test_sparse_gradients_and_variables_without_one() -> None:
    import keras
    import tensorflow as tf

    from framework.optim.gradient_accumulation import batches_per_step, gathering

    def step(optimizer: Any, variables: list[Any], rows: list[int]) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(variables[0].value, rows) ** 2)
        optimizer.apply_gradients(
            zip(tape.gradient(loss, [v.value for v in variables]), variables, strict=True)
        )

    def make() -> tuple[Any, list[Any]]:
        variables = [keras.Variable(np.arange(6.0).reshape(3, 2)), keras.Variable(np.ones(2))]
        return OPTIMIZERS["sgd"](accumulate_steps=2).build(0.25), variables

    assert batches_per_step(keras.optimizers.SGD()) == 1, "an optimizer that was not built by a config"
    optimizer, (table, unused) = make()
    optimizer.build([table, unused])
    assert batches_per_step(optimizer) == 2
    for _ in range(2):  # twice, so that sums that were not emptied would show
        before = keras.ops.convert_to_numpy(table.value).copy()
        with gathering(optimizer):
            step(optimizer, [table, unused], [0, 1])
        np.testing.assert_array_equal(table.value, before, "nothing moves before the step")
        step(optimizer, [table, unused], [1])
        gradient = before * [[1], [2], [0]]  # the mean of the two batches' 2 * value
        np.testing.assert_allclose(table.value, before - 0.25 * gradient)
    np.testing.assert_array_equal(unused.value, [1, 1])
    assert int(optimizer.iterations) == 2
