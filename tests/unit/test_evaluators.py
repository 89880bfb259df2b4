"""Evaluators: figures worked out by hand, the rules that they keep, and what scikit-learn says."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from framework.evaluators import (
    BinaryReport,
    ClassReport,
    Evaluator,
    Sample,
    ScikitLearnMetric,
    equal_error_rate,
)

pytestmark = pytest.mark.filterwarnings("error")

Column = Sequence[Any] | np.ndarray
Samples = list[tuple[Any, Any, Any]]

BOTH = ("fake", "real")
THREE = ("cat", "dog", "owl")
NAN = math.nan


def found(
    evaluator: Evaluator,
    targets: Column,
    outputs: Column,
    weights: Iterable[float] | None = None,
) -> Mapping[str, float]:
    """What an evaluator says of these samples."""
    for target, output, weight in zip(targets, outputs, weights or [1.0] * len(targets), strict=True):
        evaluator.update(Sample(inputs=None, target=target, output=output, weight=weight))
    result = evaluator.result()
    assert list(result) == list(evaluator.names)
    assert all(type(value) is float for value in result.values())
    return result


def binary(targets: Column, scores: Column, weights: Iterable[float] | None = None) -> Mapping[str, float]:
    return found(BinaryReport(BOTH, "real"), targets, scores, weights)


def classes(targets: Column, outputs: Column, weights: Iterable[float] | None = None) -> Mapping[str, float]:
    return found(ClassReport(THREE), targets, outputs, weights)


def approx(values: Any) -> Any:
    return pytest.approx(values, abs=1e-9, nan_ok=True)


# By hand ----------------------------------------------------------------------------------------------------


def test_a_binary_report_by_hand() -> None:
    # From the highest score down: + + - + -. Of the 6 pairs of a positive and a negative sample, 5 are in the
    # right order. The ROC goes (0, 1/3), (0, 2/3), (1/2, 2/3), (1/2, 1), (1, 1). On its piece at tpr 2/3,
    # both errors are 1/3. Above 0.5 are + + -: of the positive class 2 of 3 found, 2 of 3 right.
    assert binary([1, 1, 0, 1, 0], [0.9, 0.8, 0.7, 0.4, 0.2]) == approx(
        {
            "auc": 5 / 6,
            "eer": 1 / 3,
            "average_precision": (1 + 1 + 3 / 4) / 3,
            "f1": 2 / 3,
            "eer_threshold": 0.55,  # above it 1 of 2 and 2 of 3, the pair of error rates that differs least
            "fake/precision": 1 / 2,
            "fake/recall": 1 / 2,
            "fake/f1": 1 / 2,
            "fake/samples": 2,
            "real/precision": 2 / 3,
            "real/recall": 2 / 3,
            "real/f1": 2 / 3,
            "real/samples": 3,
        }
    )


@pytest.mark.parametrize(
    ("targets", "scores", "eer"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], 0),
        ([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4], 1),
        ([0, 1, 0, 1], [0.3] * 4, 0.5),
        # A point of the ROC, (1/2, 1/2), is the answer.
        ([1, 0, 1, 0], [0.9, 0.9, 0.1, 0.1], 0.5),
        # + +- - with a tie in the middle: from (0, 1/2) to (1/2, 1), which y = 1 - x meets at 1/4.
        ([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.1], 0.25),
        # + then a tie of ++---, then -: from (0, 1/3) to (3/4, 1). 1/3 + 8/9 x = 1 - x gives x = 6/17.
        ([1, 1, 1, 0, 0, 0, 0], [0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.1], 6 / 17),
    ],
)
def test_equal_error_rate_by_hand(targets: list[int], scores: list[float], eer: float) -> None:
    assert binary(targets, scores)["eer"] == pytest.approx(eer, abs=1e-12)


def test_equal_error_rate_of_a_curve() -> None:
    # Between (0.2, 0.4) and (0.4, 0.8): 0.4 + 2 (x - 0.2) = 1 - x gives x = 1/3.
    assert equal_error_rate(np.array([0, 0.2, 0.4, 1]), np.array([0, 0.4, 0.8, 1])) == pytest.approx(
        1 / 3, abs=1e-12
    )


def test_a_class_report_by_hand() -> None:
    cat, dog, owl = [0.8, 0.1, 0.1], [-3.0, 2.0, 1.0], [0, 0, 9]  # probabilities or logits
    # cat: 2 of 3 found, all right. dog: 1 of 1 found, 1 of 3 right. owl: 1 of 2 found, all right.
    assert classes([0, 0, 0, 1, 2, 2], [cat, cat, dog, dog, dog, owl]) == approx(
        {
            "balanced_accuracy": (2 / 3 + 1 + 1 / 2) / 3,
            "f1": (4 / 5 + 1 / 2 + 2 / 3) / 3,
            "cat/precision": 1,
            "cat/recall": 2 / 3,
            "cat/f1": 4 / 5,
            "cat/samples": 3,
            "dog/precision": 1 / 3,
            "dog/recall": 1,
            "dog/f1": 1 / 2,
            "dog/samples": 1,
            "owl/precision": 1,
            "owl/recall": 1 / 2,
            "owl/f1": 2 / 3,
            "owl/samples": 2,
        }
    )


def test_a_half_is_not_positive() -> None:
    assert binary([1, 0], [0.5, 0.4])["real/recall"] == 0


def test_the_positive_class_may_stand_first() -> None:
    targets, scores = [1, 1, 0, 1, 0], [0.9, 0.8, 0.7, 0.4, 0.2]
    last = binary(targets, scores)
    first = found(BinaryReport(("real", "fake"), "real"), targets, scores)
    assert first == last
    assert list(first)[5:9] == ["real/precision", "real/recall", "real/f1", "real/samples"]


def test_shapes_that_models_and_data_have() -> None:
    flat = binary([1, 0, 1], [0.75, 0.5, 0.25])
    assert (
        binary(np.array([[1], [0], [1]], np.float32), np.array([[0.75], [0.5], [0.25]], np.float32)) == flat
    )
    outputs = np.eye(3)[[0, 1, 1]]
    assert classes(np.array([[0], [1], [2]], np.int32), outputs) == classes([0, 1, 2], outputs)


def test_a_name_is_parted_at_its_last_slash() -> None:
    names = BinaryReport(("a/b", "deep fake"), "a/b").names
    rows = {tuple(name.rsplit("/", 1)) for name in names[5:]}
    assert rows == {
        (row, column) for row in ("a/b", "deep fake") for column in ("precision", "recall", "f1", "samples")
    }
    assert not any("/" in name for name in names[:4])


# Rules ------------------------------------------------------------------------------------------------------

GRID = 64
"""Scores are multiples of 1/64, so that no transformation below makes two of them one by rounding."""
rated = st.lists(
    st.tuples(st.booleans(), st.integers(0, GRID), st.integers(0, 3)), min_size=2, max_size=40
).filter(lambda samples: len({target for target, _, weight in samples if weight}) == 2)
labelled = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.integers(0, 5), min_size=3, max_size=3), st.integers(0, 3)),
    max_size=30,
)
quickly = settings(max_examples=40, deadline=None)


def columns(samples: Samples) -> tuple[np.ndarray, np.ndarray, list[float]]:
    targets, scores, weights = zip(*samples, strict=True) if samples else ((), (), ())
    return np.array(targets, int), np.array(scores) / GRID, [float(weight) for weight in weights]


@quickly
@given(rated, st.sampled_from([lambda p: p / 4, lambda p: p**3, np.sqrt, lambda p: 1 - (1 - p) ** 2]))
def test_rates_are_rates_and_depend_on_the_order_of_scores_alone(
    samples: Samples, rising: Callable[[np.ndarray], np.ndarray]
) -> None:
    targets, scores, weights = columns(samples)
    plain, risen = binary(targets, scores, weights), binary(targets, rising(scores), weights)
    for name in ("auc", "eer", "average_precision"):
        assert 0 <= plain[name] <= 1
        assert risen[name] == pytest.approx(plain[name], abs=1e-12)


@quickly
@given(rated)
def test_flipped_scores_flip_the_rates(samples: Samples) -> None:
    targets, scores, weights = columns(samples)
    plain, flipped = binary(targets, scores, weights), binary(targets, 1 - scores, weights)
    assert flipped["auc"] == pytest.approx(1 - plain["auc"], abs=1e-12)
    assert flipped["eer"] == pytest.approx(1 - plain["eer"], abs=1e-12)


@quickly
@given(rated)
def test_which_class_is_positive_does_not_change_the_rates(samples: Samples) -> None:
    targets, scores, weights = columns(samples)
    plain, turned = binary(targets, scores, weights), binary(1 - targets, 1 - scores, weights)
    for name in ("auc", "eer"):
        assert turned[name] == pytest.approx(plain[name], abs=1e-12)


@quickly
@given(rated.flatmap(lambda samples: st.tuples(st.just(samples), st.permutations(samples))))
def test_the_order_of_samples_changes_nothing(both: tuple[Samples, Samples]) -> None:
    plain, permuted = (binary(*columns(samples)) for samples in both)
    assert permuted == approx(plain)


@quickly
@given(rated)
def test_a_weight_is_the_sample_so_many_times(samples: Samples) -> None:
    targets, scores, weights = columns(samples)
    times = np.array(weights, int)
    assert binary(targets, scores, weights) == approx(binary(targets.repeat(times), scores.repeat(times)))


@quickly
@given(labelled)
def test_a_class_report_counts_by_weight_too(samples: Samples) -> None:
    targets, outputs, weights = columns(samples)
    times = np.array(weights, int)
    plain = classes(targets.repeat(times), outputs.repeat(times, axis=0))
    assert classes(targets, outputs, weights) == approx(plain)
    assert classes(targets[::-1], outputs[::-1], weights[::-1]) == approx(plain)


# scikit-learn -----------------------------------------------------------------------------------------------


@quickly
@given(rated)
def test_a_binary_report_says_what_scikit_learn_says(samples: Samples) -> None:
    targets, scores, weights = columns(samples)
    report = binary(targets, scores, weights)
    assert report["auc"] == pytest.approx(metrics.roc_auc_score(targets, scores, sample_weight=weights))
    assert report["average_precision"] == pytest.approx(
        metrics.average_precision_score(targets, scores, sample_weight=weights)
    )
    expected = metrics.precision_recall_fscore_support(
        targets, scores > 0.5, sample_weight=weights, zero_division=0
    )
    for i, name in enumerate(BOTH):
        assert [
            report[f"{name}/{part}"] for part in ("precision", "recall", "f1", "samples")
        ] == pytest.approx([float(column[i]) for column in expected])
    assert report["f1"] == report["real/f1"]


@pytest.mark.parametrize("weighted", [False, True])
def test_a_class_report_says_what_scikit_learn_says(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    targets, outputs = rng.integers(0, 3, 50), rng.normal(size=(50, 3))
    weights = rng.uniform(0, 2, 50).tolist() if weighted else None
    predicted = outputs.argmax(axis=1)
    report = classes(targets, outputs, weights)
    assert report["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(targets, predicted, sample_weight=weights)
    )
    assert report["f1"] == pytest.approx(
        metrics.f1_score(targets, predicted, average="macro", sample_weight=weights)
    )
    expected = metrics.precision_recall_fscore_support(targets, predicted, sample_weight=weights)
    for i, name in enumerate(THREE):
        assert [
            report[f"{name}/{part}"] for part in ("precision", "recall", "f1", "samples")
        ] == pytest.approx([float(column[i]) for column in expected])


def test_a_function_of_scikit_learn() -> None:
    targets, outputs = [0, 1, 2, 2], np.eye(3)[[0, 1, 1, 2]]
    kappa = found(ScikitLearnMetric("kappa", metrics.cohen_kappa_score, output=np.argmax), targets, outputs)
    assert kappa == {"kappa": pytest.approx(metrics.cohen_kappa_score(targets, [0, 1, 1, 2]))}
    f1 = functools.partial(metrics.f1_score, average="micro")
    assert found(ScikitLearnMetric("micro/f1", f1, output=np.argmax), targets, outputs) == {"micro/f1": 0.75}


def test_a_function_gets_what_the_model_gives() -> None:
    seen = []

    def function(targets: np.ndarray, outputs: np.ndarray) -> float:
        seen.append((targets, outputs))
        return 7

    assert found(
        ScikitLearnMetric("seven", function),
        np.array([[1], [0]], np.float32),
        np.array([[0.5], [0.25]], np.float32),
    ) == {"seven": 7.0}
    ((targets, outputs),) = seen
    np.testing.assert_array_equal(targets, np.array([1, 0], np.float32))
    np.testing.assert_array_equal(outputs, np.array([0.5, 0.25], np.float32))
    found(ScikitLearnMetric("seven", function), [0, 1], np.eye(2))
    np.testing.assert_array_equal(seen[1][1], np.eye(2))


@pytest.mark.parametrize(
    "function", [metrics.mean_absolute_error, functools.partial(metrics.mean_absolute_error)]
)
def test_weights_reach_a_function_that_takes_them(function: Callable[..., float]) -> None:
    result = found(ScikitLearnMetric("error", function), [0.0, 0.0, 0.0], [1.0, 4.0, 9.0], [2, 1, 0])
    assert result == {"error": pytest.approx(2)}


def test_another_function_sees_all_samples_alike_but_those_that_do_not_count() -> None:
    largest = ScikitLearnMetric("largest", lambda targets, outputs: outputs.max())
    assert found(largest, [0.0, 0.0, 0.0], [1.0, 4.0, 9.0], [2, 1, 0]) == {"largest": 4.0}


# What the data do not define --------------------------------------------------------------------------------


def defined(result: Mapping[str, float]) -> Mapping[str, float]:
    return {name: value for name, value in result.items() if not math.isnan(value)}


def test_no_samples() -> None:
    assert defined(binary([], [])) == {"fake/samples": 0, "real/samples": 0}
    assert defined(classes([], [])) == {"cat/samples": 0, "dog/samples": 0, "owl/samples": 0}
    assert not defined(found(ScikitLearnMetric("auc", metrics.roc_auc_score), [], []))


@pytest.mark.parametrize("weights", [[1, 1], [2, 1, 0]])
def test_a_binary_report_on_one_class(weights: list[float]) -> None:
    targets, scores = [1, 1, 0][: len(weights)], [0.9, 0.2, 0.7][: len(weights)]
    recall = weights[0] / sum(weights)
    assert defined(binary(targets, scores, weights)) == approx(
        {
            "f1": 2 * recall / (1 + recall),
            "fake/samples": 0,
            "real/precision": 1,
            "real/recall": recall,
            "real/f1": 2 * recall / (1 + recall),
            "real/samples": sum(weights),
        }
    )
    assert math.isnan(binary([0, 0], [0.9, 0.2])["f1"])


def test_a_class_report_leaves_a_missing_class_out() -> None:
    # An owl was seen where there is none: its figures are nan all the same, and the means are those of cat
    # and dog.
    report = classes([0, 0, 1], np.eye(3)[[0, 2, 1]])
    assert {name for name, value in report.items() if math.isnan(value)} == {
        "owl/precision",
        "owl/recall",
        "owl/f1",
    }
    assert report["owl/samples"] == 0
    assert report["balanced_accuracy"] == pytest.approx((1 / 2 + 1) / 2)
    assert report["f1"] == pytest.approx((2 / 3 + 1) / 2)


def test_a_class_that_is_never_predicted() -> None:
    report = classes([0, 1, 2], np.eye(3)[[0, 1, 1]])
    assert [report[f"owl/{part}"] for part in ("precision", "recall", "f1", "samples")] == [0, 0, 0, 1]


@pytest.mark.parametrize("bad", [NAN, math.inf])
def test_outputs_that_are_no_probabilities(bad: float) -> None:
    assert defined(binary([1, 0], [bad, 0.2])) == {"fake/samples": 1, "real/samples": 1}
    assert defined(binary([1, 0, 0], [bad, 0.2, 0.9], [0, 1, 1])) == {
        "fake/precision": 1,
        "fake/recall": 0.5,
        "fake/f1": 2 / 3,
        "fake/samples": 2,
        "real/samples": 0,
    }


def test_outputs_that_are_no_numbers() -> None:
    outputs = [[0, 0, 1], [0, NAN, 0]]
    assert defined(classes([2, 2], outputs)) == {"cat/samples": 0, "dog/samples": 0, "owl/samples": 2}
    assert classes([2, 2], [[0, 0, 1], [-math.inf, 0, math.inf]])["owl/recall"] == 1
    assert not defined(found(ScikitLearnMetric("error", metrics.mean_absolute_error), [0, 1], [0, NAN]))


def test_what_scikit_learn_calls_ill_defined(recwarn: pytest.WarningsRecorder) -> None:
    assert not defined(found(ScikitLearnMetric("auc", metrics.roc_auc_score), [1, 1], [0.2, 0.3]))
    assert not defined(found(ScikitLearnMetric("r2", metrics.r2_score), [1.0], [0.2]))
    # scikit-learn would warn and say 0.
    assert not defined(found(ScikitLearnMetric("f1", metrics.f1_score), [0, 0], [0, 0]))
    # Of a class that is predicted, but not there, scikit-learn warns without calling its value ill-defined.
    balanced = ScikitLearnMetric("balanced", metrics.balanced_accuracy_score, output=np.argmax)
    assert found(balanced, [0, 0], np.eye(2)) == {"balanced": 0.5}
    assert not recwarn.list


def test_what_a_function_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="continuous"):
        found(ScikitLearnMetric("accuracy", metrics.accuracy_score), [0, 1], [0.3, 0.6])


# Wrong use --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "positive"), [(BOTH, "forged"), (BOTH, None), (THREE, "cat"), (("fake",), "fake")]
)
def test_a_binary_report_needs_two_classes(names: tuple[str, ...], positive: str) -> None:
    with pytest.raises(ValueError, match="two classes"):
        BinaryReport(names, positive)


@pytest.mark.parametrize(
    ("target", "output"), [(2, 0.5), (-1, 0.5), (0.3, 0.5), ([0, 1], 0.5), (1, [0.2, 0.8])]
)
def test_a_binary_report_refuses_what_it_cannot_read(target: Any, output: Any) -> None:
    with pytest.raises(ValueError, match=r"target|size 1"):
        binary([target], [output])


@pytest.mark.parametrize(
    ("target", "output"), [(3, [0, 0, 1]), (-1, [0, 0, 1]), (0.5, [0, 0, 1]), (0, [0, 1]), (0, 0.5)]
)
def test_a_class_report_refuses_what_it_cannot_read(target: Any, output: Any) -> None:
    with pytest.raises(ValueError, match="do not fit 3 classes"):
        classes([target], [output])


@pytest.mark.parametrize(
    ("targets", "scores", "threshold"),
    [
        ([1, 0], [0.9, 0.1], 0.5),  # told apart: in the middle between both
        ([0, 1], [0.9, 0.1], 0.5),  # the wrong way round: both rates are 1 in the middle
        ([1, 1, 0, 0], [0.5, 0.5, 0.5, 0.5], 0.5),
        ([1, 1, 0, 0], [-3.0, -1.0, -7.0, -5.0], -4.0),  # no probabilities, but scores all the same
    ],
)
def test_the_threshold_of_the_equal_error_rate(
    targets: list[int], scores: list[float], threshold: float
) -> None:
    """A sample above it is positive; then the error rates of both classes are as near to each other as they
    can be."""
    assert binary(targets, scores)["eer_threshold"] == pytest.approx(threshold)


def test_a_report_at_another_threshold() -> None:
    targets, scores = [1, 1, 0, 1, 0], [0.9, 0.8, 0.7, 0.4, 0.2]
    values = found(BinaryReport(("fake", "real"), "real", threshold=0.3), targets, scores)
    assert (values["real/recall"], values["fake/recall"], values["real/precision"]) == approx(
        (1, 1 / 2, 3 / 4)
    )
    assert values["auc"] == approx(5 / 6)
