"""A loss or weights that are not finite: the step is found and left out, or ends the run, and nothing of it
is kept."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from framework.errors import NumericsError
from framework.run.checkpoint import CheckpointStore
from tests.runs import comparable, compose_toy, final_state, records, resume, train, trainer

pytestmark = pytest.mark.usefixtures("toy_on_the_path")

WORDS = (
    "epochs=2",
    "trainer.calc_ema=0.9",
    "scenario.samples=96",
    "learning_rate=cosine_decay",
)  # 12 steps an epoch


def step_of(sample: int, path: Path) -> int:
    """The first step that a sample is in."""
    from framework.training.components import Components

    stream = Components(compose_toy(*WORDS), fresh=True, lav_folder=path).stream
    return next(step for step in range(12) if sample in stream.indices(step))


@pytest.fixture(scope="module")
def bad(toy_on_the_path: None, tmp_path_factory: pytest.TempPathFactory) -> int:
    return step_of(3, tmp_path_factory.mktemp("stream"))


def is_finite(path: Path) -> bool:
    return all(np.isfinite(named.array).all() for named in final_state(path).variables["model"])


def test_stop_names_step_and_samples_and_saves_the_state_before(tmp_path: Path, bad: int) -> None:
    path = tmp_path / "run"
    with pytest.raises(
        NumericsError, match=rf"NaN in the batch itself.*: step {bad + 1}, in epoch 1. Its samples:"
    ) as caught:
        train(path, *WORDS, "scenario.poison=[3]")
    assert "\n    sample 3\n" in str(caught.value)
    assert f"resume-training goes on from step {bad}" in str(caught.value)
    assert final_state(path).step == bad
    assert is_finite(path)
    assert not (path / "best").exists()
    assert json.loads((path / "result.json").read_text())["status"] == "failed"


@pytest.mark.slow
def test_a_run_that_stopped_goes_on_when_the_step_is_left_out(tmp_path: Path, bad: int) -> None:
    stopped, skipped = tmp_path / "stopped", tmp_path / "skipped"
    with pytest.raises(NumericsError):
        train(stopped, *WORDS, "scenario.poison=[3]")
    resume(stopped, "trainer.on_nan=skip")
    result = train(skipped, *WORDS, "scenario.poison=[3]", "trainer.on_nan=skip")
    assert result.left_out[0] == bad
    assert len(result.left_out) == 2, "once in each epoch"
    assert comparable(stopped) == comparable(skipped)
    assert (skipped / "train.log").read_text().count("left out: 1 step") == 2


def test_skip_changes_nothing_but_that_step(tmp_path: Path, bad: int) -> None:
    """The weights are those of a run in which that step did not happen: the optimizer has done one step
    less."""
    path = tmp_path / "run"
    result = train(path, *WORDS, "epochs=1", "scenario.poison=[3]", "trainer.on_nan=skip")
    assert (result.status, result.steps, list(result.left_out)) == ("finished", 12, [bad])
    assert is_finite(path)
    state = final_state(path)
    iterations = next(named.array for named in state.variables["optimizer"] if "iteration" in named.name)
    assert int(iterations) == 11
    for record in records(path):
        assert all(np.isfinite(value) for value in record["metrics"].values())


@pytest.mark.slow
def test_how_many_steps_a_call_does_changes_nothing(tmp_path: Path) -> None:
    for name, most in (("one", 1), ("many", 64)):
        train(
            tmp_path / name,
            *WORDS,
            "scenario.poison=[3]",
            "trainer.on_nan=skip",
            f"loop.max_steps_per_call={most}",
        )
    assert comparable(tmp_path / "one") == comparable(tmp_path / "many")


def test_rollback_leaves_out_all_since_the_last_checkpoint(tmp_path: Path, bad: int) -> None:
    every = max(bad // 2, 1)
    last = bad // every * every
    words = (
        "epochs=1",
        "scenario.poison=[3]",
        "trainer.on_nan=rollback",
        f"trainer.checkpoint_every_n_steps={every}",
    )
    result = train(tmp_path / "run", *WORDS, *words)
    assert list(result.left_out) == list(range(last, bad + 1))
    assert is_finite(tmp_path / "run")
    iterations = next(
        named.array
        for named in final_state(tmp_path / "run").variables["optimizer"]
        if "iteration" in named.name
    )
    assert int(iterations) == 12 - len(result.left_out)


def test_weights_that_go_bad_in_a_step_with_a_sound_loss_are_found_before_they_are_saved(
    tmp_path: Path,
) -> None:
    """In the last step of an epoch nothing but a look at the weights can tell."""
    words = ("epochs=1", "trainer.steps_per_epoch=1", "optimizer=sgd", "lr=3e38", "optimizer.weight_decay=10")
    with pytest.raises(
        NumericsError, match=r"NaN or infinity in the weight .* after the step.*: step 1, in epoch 1"
    ):
        train(tmp_path / "run", *words, "scenario.batch_norm=false")
    assert is_finite(tmp_path / "run")
    assert final_state(tmp_path / "run").step == 0


@pytest.mark.slow
def test_step_after_step_ends_the_run(tmp_path: Path) -> None:
    everything = f"scenario.poison={list(range(96))}".replace(" ", "")
    with pytest.raises(NumericsError, match="10 steps in a row"):
        train(tmp_path / "run", *WORDS, everything, "trainer.on_nan=skip")
    assert is_finite(tmp_path / "run")


@pytest.mark.slow
def test_an_interruption_while_the_step_is_looked_for_saves_a_sound_state(tmp_path: Path, bad: int) -> None:
    from tests.runs import InterruptedAfter

    undisturbed = tmp_path / "undisturbed"
    words = (*WORDS, "epochs=1", "scenario.poison=[3]", "trainer.on_nan=skip")
    train(undisturbed, *words)
    for count in (4, 6, 8):
        path = tmp_path / str(count)
        first = trainer(path, *words)
        first.interruption = InterruptedAfter(count)
        with pytest.raises(BaseException, match="interrupted"):
            first.train()
        assert is_finite(path)
        resume(path)
        assert comparable(path) == comparable(undisturbed)


def test_bad_numbers_never_replace_a_good_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "run"
    train(path, *WORDS, "trainer.keep_checkpoints=2")
    with pytest.raises(NumericsError):
        resume(path, "epochs=4", "optimizer=sgd", "lr=3e38", "learning_rate=constant")
    store = CheckpointStore(path / "checkpoints")
    assert store.steps()
    for step in store.steps():
        assert all(np.isfinite(named.array).all() for named in store.load(step).variables["model"])
    assert keras.saving.load_model(path / "best" / "model.keras") is not None
