"""Measures of the report: equal to scikit-learn's, and with intervals that hold what they promise."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    precision_recall_fscore_support,
    r2_score,
    roc_auc_score,
)

from framework.evaluators import BinaryReport, Sample
from framework.report.measures import (
    Curves,
    best_constant,
    calibration,
    class_intervals,
    label_intervals,
    regression_intervals,
)

scored = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=40).filter(
    lambda pairs: len({target for target, _ in pairs}) == 2
)


@given(scored)
@settings(max_examples=100, deadline=None)
def test_curves_are_those_of_scikit_learn_and_of_the_evaluator(pairs: list[tuple[bool, int]]) -> None:
    targets, scores = np.array([t for t, _ in pairs]), np.array([s / 8 for _, s in pairs])
    curves = Curves(targets, scores)
    assert curves.auc == pytest.approx(roc_auc_score(targets, scores))
    report = BinaryReport(("no", "yes"), "yes")
    for target, score in zip(targets, scores, strict=True):
        report.update(Sample(inputs=None, target=int(target), output=score))
    expected = report.result()
    (point, *others) = curves.operating_points()
    assert point.f1 == pytest.approx(f1_score(targets, scores > 0.5, zero_division=0))
    assert point.accuracy == pytest.approx(accuracy_score(targets, scores > 0.5))
    assert others[0].threshold == pytest.approx(expected["eer_threshold"])
    for other in (point, *others):
        precision, recall, f1, _ = precision_recall_fscore_support(
            targets, scores > other.threshold, average="binary", zero_division=0
        )
        assert (other.tpr, other.f1) == pytest.approx((recall, f1))
        assert np.nan_to_num(other.precision) == pytest.approx(precision)
    assert others[1].f1 == pytest.approx(
        max(f1_score(targets, scores >= at, zero_division=0) for at in set(scores))
    )
    best = curves.best_accuracy()
    reachable = [accuracy_score(targets, scores >= at) for at in set(scores)]
    assert best.accuracy == pytest.approx(max(reachable))
    assert best.accuracy == pytest.approx(accuracy_score(targets, scores > best.threshold))
    assert all(other.fpr <= limit for other, limit in zip(others[2:], (0.01, 0.001), strict=True))


def test_intervals_hold_the_value_and_shrink_with_the_samples() -> None:
    generator = np.random.default_rng(1)
    widths = []
    for count in (100, 10_000):
        targets = generator.random(count) < 0.4
        scores = 1 / (1 + np.exp(-generator.normal(targets * 1.5, 1)))
        found = Curves(targets, scores).intervals()
        assert found["auc"].value == pytest.approx(roc_auc_score(targets, scores))
        assert found["average_precision"].value == pytest.approx(average_precision_score(targets, scores))
        assert found["accuracy"].value == pytest.approx(np.mean((scores > 0.5) == targets))
        for name, interval in found.items():
            assert interval.low <= interval.value <= interval.high, name
        widths.append(found["auc"].high - found["auc"].low)
    # A hundred times the samples: a tenth of the width.
    assert widths[0] / widths[1] == pytest.approx(10, rel=0.4)


def test_where_nothing_is_wrong_an_interval_is_exact_or_none() -> None:
    """A bootstrap without an error has no width, and would claim certainty."""
    targets = np.arange(388) % 2
    found = Curves(targets, 0.1 + 0.8 * targets).intervals()
    limits = binomtest(388, 388).proportion_ci(method="exact")
    assert astuple(found["accuracy"])[:3] == pytest.approx((1.0, limits.low, limits.high))
    assert limits.low == pytest.approx(0.9905, abs=1e-4)
    of_half = binomtest(194, 194).proportion_ci(method="exact").low
    assert found["tpr_at_fpr_0.01"].low == found["tpr_at_fpr_0.001"].low == pytest.approx(of_half)
    for name in ("auc", "eer", "average_precision"):
        assert found[name].note == "no errors in 388 samples"
    wrong = Curves(targets, 0.9 - 0.8 * targets).intervals()
    limits = binomtest(0, 388).proportion_ci(method="exact")
    assert astuple(wrong["accuracy"])[:3] == pytest.approx((0.0, limits.low, limits.high))
    # Ten samples of each of 20 videos are no 200 independent ones.
    video = np.arange(200) % 20
    together = Curves(video % 2, video % 2).intervals(clusters=video)
    assert together["accuracy"].low == pytest.approx(binomtest(20, 20).proportion_ci(method="exact").low)
    for several in (class_intervals(np.diag([5, 6, 7])), label_intervals(video, video, clusters=video)):
        assert several["accuracy"].low < several["accuracy"].high == 1
        assert str(several["balanced_accuracy"].note).startswith("no errors in")


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    truth = 0.7602  # of normal scores one standard deviation apart: the normal distribution at 1 / sqrt(2)
    generator = np.random.default_rng(2)
    held = 0
    for seed in range(40):
        targets = np.arange(120) % 2
        interval = Curves(targets, generator.normal(targets, 1)).intervals(seed=seed)["auc"]
        held += interval.low <= truth <= interval.high
    assert 34 <= held <= 40


def test_the_same_seed_gives_the_same_intervals() -> None:
    targets, scores = np.arange(50) % 2, np.linspace(0, 1, 50) ** 2
    assert Curves(targets, scores).intervals() == Curves(targets, scores).intervals()


@pytest.mark.parametrize(
    ("targets", "scores", "problem"),
    [
        ([1, 1], [0.1, 0.2], "no samples"),
        ([0, 0], [0.1, 0.2], "no samples"),
        ([0, 1], [0.1, np.nan], "finite"),
    ],
)
def test_what_has_no_curve(targets: list[int], scores: list[float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Curves(np.array(targets), np.array(scores))


def test_what_a_confusion_matrix_says() -> None:
    generator = np.random.default_rng(3)
    targets, predicted = generator.integers(0, 3, 400), generator.integers(0, 3, 400)
    predicted = np.where(generator.random(400) < 0.7, targets, predicted)
    table = np.zeros((4, 4), int)  # the fourth class has no samples
    np.add.at(table, (targets, predicted), 1)
    found = class_intervals(table)
    assert found["accuracy"].value == pytest.approx(accuracy_score(targets, predicted))
    assert found["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(targets, predicted))
    assert found["f1"].value == pytest.approx(f1_score(targets, predicted, average="macro"))
    assert all(interval.low < interval.value < interval.high for interval in found.values())


def test_what_residuals_say() -> None:
    generator = np.random.default_rng(4)
    targets = generator.normal(size=300)
    residuals = generator.normal(scale=0.3, size=300)
    found = regression_intervals(residuals, targets)
    assert found["mae"].value == pytest.approx(np.mean(abs(residuals)))
    assert found["rmse"].value == pytest.approx(np.mean(residuals**2) ** 0.5)
    assert found["r2"].value == pytest.approx(r2_score(targets, targets + residuals))
    assert all(interval.low < interval.value < interval.high for interval in found.values())


def test_a_confidence_that_can_be_believed_has_no_error() -> None:
    confidence = np.repeat([0.05, 0.35, 0.85], 2000)
    right = np.concatenate([np.arange(2000) < 2000 * part for part in (0.05, 0.35, 0.85)])
    bins, error = calibration(right, confidence)
    assert [part.samples for part in bins] == [2000] * 3
    assert [part.confidence for part in bins] == pytest.approx([0.05, 0.35, 0.85])
    assert error == pytest.approx(0, abs=1e-9)
    _, error = calibration(np.zeros(10), np.ones(10))
    assert error == pytest.approx(1)


def test_the_best_constant() -> None:
    assert best_constant({"real": 30, "fake": 90}) == ("fake", 0.75)


def test_copies_of_samples_in_one_cluster_change_no_interval() -> None:
    """What is drawn together counts once: intervals are those of the clusters, and not of their samples."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 60)
    scores = np.clip(labels * 0.3 + random.normal(0.35, 0.2, 60), 0, 1)
    copied, cluster = (np.repeat(part, 5) for part in (labels, np.arange(60)))
    once = Curves(labels, scores).intervals()
    together = Curves(copied, np.repeat(scores, 5)).intervals(clusters=cluster)
    apart = Curves(copied, np.repeat(scores, 5)).intervals()
    for name, interval in once.items():
        assert astuple(together[name]) == pytest.approx(astuple(interval))
    assert apart["auc"].high - apart["auc"].low < 0.6 * (once["auc"].high - once["auc"].low)
    of_labels = label_intervals(labels, scores > 0.5)
    assert of_labels == label_intervals(copied, np.repeat(scores > 0.5, 5), clusters=cluster)
    assert of_labels["balanced_accuracy"].value == pytest.approx(
        balanced_accuracy_score(labels, scores > 0.5)
    )
