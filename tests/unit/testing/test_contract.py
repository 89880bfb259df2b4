"""The contract of scenarios: sound ones of each structure hold to it, and each way of breaking it is found,
and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.testing import check_scenario
from framework.testing.checks import CHECKS
from framework.testing.subject import Subject
from framework.training.agreement import Broken

pytestmark = pytest.mark.usefixtures("toy_on_the_path")

BUILDS, AGREES, STREAM = (
    "it builds",
    "data, model and loss go together",
    "the stream is the same from any step",
)
HEART, KILLED = "a batch can be learned by heart", "killed and resumed, it ends with the same bits"
LAV, EXPORT = (
    "LAV equals validation, in batches of 1 and of 5",
    "the export is whole without the scenario's code",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["scenario.target=structures:TwoByTwo", "lr=1e-2"], id="dicts in and out"),
        pytest.param(["scenario.target=structures:Line", "lr=0.05"], id="regression", marks=pytest.mark.long),
    ],
)
def test_scenarios_of_each_structure_hold_to_the_contract(words: list[str]) -> None:
    outcomes = list(check_scenario("scenario=module", *words))
    assert [outcome.line for outcome in outcomes if not outcome.passed] == []
    assert [outcome.check for outcome in outcomes] == list(CHECKS)
    assert outcomes[0].line == "passed    it composes"


@pytest.mark.parametrize(
    ("scenario", "check", "reason"),
    [
        ("SameModel", BUILDS, "gives the same model again"),
        ("NotBuilt", BUILDS, "a model without weights"),
        ("OtherInputs", AGREES, r"the input is float32 \(4,\), and the model takes \(5,\)"),
        ("TooManyLabels", AGREES, "the target has labels of 0 to 2, and the model gives 2 classes"),
        ("OtherOutputs", AGREES, r"the target is float32 \(2,\), and the model gives float32 \(3,\)"),
        (
            "OtherValidation",
            AGREES,
            r"the sample\[1\] is int32 \(\) in training, and int64 \(\) in validation",
        ),
        ("WithoutTargets", AGREES, r"not \(inputs, targets\)"),
        ("Infinite", AGREES, "the loss of the first batch is nan"),
        ("Logits", AGREES, "layer 'scores' gives any number"),
        (
            "RandomAugmentation",
            STREAM,
            r"batch 3 is another one when it is made again: the sample\[0\], in 32 of 32 values",
        ),
        ("RandomSource", STREAM, "other samples when it is asked again"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, scenario: str, check: str, reason: str) -> None:
    subject = Subject([f"scenario.target=broken:{scenario}"], None, tmp_path)
    with pytest.raises(Broken, match=reason) as caught:
        CHECKS[check](subject)
    assert caught.value.hint


def test_a_model_that_cannot_learn_is_found(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="and not to its half"):
        CHECKS[HEART](Subject(["scenario.target=broken:Sound", "lr=1e-9"], None, tmp_path))
    CHECKS[HEART](Subject(["scenario.target=broken:Sound", "lr=0.1"], None, tmp_path))


def test_a_check_has_its_own_settings_in_the_place_of_others(tmp_path: Path) -> None:
    typed = ["scenario.target=broken:Sound", "epochs=7", "data.batch_size=4"]
    trainer = (
        Subject(typed, None, tmp_path)
        .scenario("trainer.epochs=300", "trainer.steps_per_epoch=1")
        .config.trainer
    )
    assert (trainer.epochs, trainer.steps_per_epoch, trainer.tensorboard) == (300, 1, False)


def test_frozen_layers_are_named_where_nothing_is_learned(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="these layers do not learn: body") as caught:
        CHECKS[HEART](Subject(["scenario.target=broken:Frozen", "lr=1e-9"], None, tmp_path))
    assert "no_train_scope" in caught.value.hint


@pytest.mark.slow
def test_state_outside_of_variables_batches_that_matter_and_python_in_the_export_are_found(
    tmp_path: Path,
) -> None:
    subject = Subject(["scenario.target=broken:WithUnsteady"], None, tmp_path)
    with pytest.raises(Broken, match="differs from an undisturbed run: the last checkpoint"):
        CHECKS[KILLED](subject)
    with pytest.raises(Broken, match=r"val_loss is .*, and .* in batches of 1"):
        CHECKS[LAV](subject)
    with pytest.raises(Broken, match=r"it cannot be used: .*Error"):
        CHECKS[EXPORT](subject)


def test_what_rests_on_a_failed_check_is_not_tried_and_an_error_names_its_line() -> None:
    outcomes = list(check_scenario("scenario.target=broken:Raising"))
    failed = outcomes[1]
    assert (failed.check, failed.status, failed.reason) == (BUILDS, "failed", "KeyError: 'units'")
    assert failed.hint is not None
    assert "broken.py:" in failed.hint
    assert "Traceback" in (failed.details or "")
    assert {outcome.status for outcome in outcomes[2:]} == {"not tried"}
    (first, *_) = check_scenario("scenario.target=broken:Raising", "scenario.nosuch=1")
    assert first.status == "failed"
    assert "scenario.nosuch" in (first.reason or "")
