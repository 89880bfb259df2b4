"""The report of a run: one page, whole in itself, of whatever a run has recorded."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure
from sklearn.metrics import mean_absolute_error

from framework.data.source import ArraySource, Source
from framework.errors import RunDirectoryError
from framework.evaluators import ScikitLearnMetric
from framework.report import charts, course
from framework.report import report_run as report_run_module
from framework.report.comparison import compare_recorded, headline
from framework.report.drawing import drawing
from framework.report.findings import findings
from framework.report.judged import Judged, judge, shown
from framework.report.recorded import Recorded
from framework.report.report import write_comparison, write_run_report
from framework.report.report_run import report_at_end, report_run
from framework.report.sections import judgement
from framework.run import files
from framework.run.run_directory import RunDirectory
from framework.scenario import Scenario, compose, scenario_of
from tests.conftest import TOY
from tests.runs import LIGHT, InterruptedAfter, train

VOID = {"meta", "br", "img", "path", "use", "rect", "line", "circle", "image"}


class Page(HTMLParser):
    """Reads a page, and fails where its tags are not closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    assert len(text) < 3_000_000
    assert "<script" not in text
    page = Page(text)
    # Nothing is loaded from elsewhere: a page that came by mail looks the same.
    assert all(link.startswith(("#", "data:image/")) for link in page.links)
    targets = {link[1:] for link in page.links if link.startswith("#")}
    assert targets <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    return page


@pytest.fixture(autouse=True)
def toy(toy_on_the_path: None) -> None:
    pass


def record(phase: str, epoch: int, **metrics: float) -> str:
    more = (
        {"learning_rate": 0.1, "speed": {"samples_per_second": 9.5, "input_wait": 0.4}}
        if phase == "train"
        else {}
    )
    time = f"2026-01-01T00:00:{epoch:02d}+00:00"
    line = {"phase": phase, "epoch": epoch, "step": 3 * epoch, "time": time, "metrics": metrics}
    return json.dumps(line | more) + "\n"


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., Recorded]:
    """Makes a run of these records, and of this result, without training it."""

    def make(
        *records: str, result: dict[str, Any] | None = None, name: str = "run", words: Sequence[str] = ()
    ) -> Recorded:
        run = RunDirectory.create(tmp_path / name)
        run.claim(compose("scenario=toy", *words, config_dir=TOY / "conf").config)
        run.metrics_file.write_text("".join(records))
        if result is not None:
            run.result_file.write_text(json.dumps({"epochs": 3, **result}))
        return Recorded.of(run)

    return make


def judged(
    outputs: Any, targets: Any, inputs: Any, classes: Sequence[str] = (), source: Source | None = None
) -> Judged:
    from framework.classification import Classification

    scenario = Classification.__new__(Classification) if classes else Scenario.__new__(Scenario)
    data = type("Data", (), {"classes": tuple(classes), "positive_class": classes[-1] if classes else None})
    scenario.__dict__["config"] = type("Config", (), {"data": data})
    task = "regression" if not classes else "binary" if len(classes) == 2 else "classes"
    source = source or ArraySource((inputs, targets))
    return Judged(scenario, source, task, np.asarray(outputs, float), np.asarray(targets))  # type: ignore[arg-type]


THREE = [
    record(phase, epoch, loss=loss, accuracy=0.5 + epoch / 10)
    for epoch in (1, 2, 3)
    for phase, loss in (("train", 1 / epoch), ("validation", 0.5 + 0.2 * abs(epoch - 2)))
]
BEST = {"epoch": 2, "step": 6, "metrics": {"loss": 0.5, "val_loss": 0.5, "val_accuracy": 0.7}}
DONE = {"status": "finished", "steps": 9, "best": BEST, "monitor": "val_accuracy", "seconds": 75.0}


def test_two_classes_of_images(recorded: Callable[..., Recorded]) -> None:
    generator = np.random.default_rng(0)
    targets = (np.arange(40) % 2).astype("float32")[:, None]
    scores = np.clip(targets * 0.5 + generator.random((40, 1)) * 0.6, 0, 1)
    images = generator.integers(0, 255, (40, 16, 16, 3)).astype("uint8")
    found = recorded(*THREE, result=DONE)
    path = write_run_report(found, judged(scores, targets, images, ("<real>", "fake & co")))
    page = read(path)
    assert "val_accuracy 0.7000 at epoch 2, the best of 3 of 4 epochs, on 40 validation samples" in page.text
    assert "AUC" in page.text and "TPR at 1 % FPR" in page.text and "95 %:" in page.text
    assert "<real>" in page.text and "fake & co" in page.text
    wrong = int(((scores > 0.5) != targets).sum())
    assert f"{wrong} of 40 samples are taken for another class" in page.text
    assert sum(link.startswith("data:image/jpeg") for link in page.links) == min(wrong, 24)
    assert "equal error rate" in page.text and "FPR at most 0.1%" in page.text
    plots = {file.name for file in (path.parent / "plots").iterdir()}
    for name in (
        "loss_curve",
        "accuracy_curve",
        "roc",
        "precision_recall",
        "confusion",
        "calibration",
        "scores",
    ):
        assert {f"{name}.png", f"{name}.svg"} <= plots
    assert (path.parent / "plots" / "loss_curve.png").read_bytes()[:4] == b"\x89PNG"


def test_the_same_run_has_the_same_page(recorded: Callable[..., Recorded]) -> None:
    found = recorded(*THREE, result=DONE)
    first = write_run_report(found).read_bytes()
    plots = {file: file.read_bytes() for file in (found.run.path / "plots").iterdir()}
    assert write_run_report(found).read_bytes() == first
    assert {file: file.read_bytes() for file in plots} == plots


def test_the_most_wrong_come_first_and_those_that_are_right_do_not_come() -> None:
    outputs = [[0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.9, 0.05, 0.05], [0.4, 0.5, 0.1]]
    texts = np.array([b"one", b"two", b"three", b"four"])
    found = judged(outputs, [0, 1, 2, 1], texts, ("a", "b", "c")).most_wrong(5)
    assert [(sample.true, sample.said, sample.text) for sample in found] == [
        ("c", "a with 90.0% (c: 5.0%)", "three"),
        ("a", "b with 80.0% (a: 10.0%)", "one"),
        ("b", "a with 60.0% (b: 30.0%)", "two"),
    ]


def test_more_classes_of_texts(recorded: Callable[..., Recorded]) -> None:
    names = tuple(f"class {i}" for i in range(30))
    targets = np.arange(90) % 30
    outputs = np.eye(30)[(targets + (np.arange(90) % 7 == 0)) % 30] * 0.9 + 0.1 / 30
    texts = np.array([b"<script>alert(1)</script> " * 40] * 90)
    page = read(write_run_report(recorded(*THREE, result=DONE), judged(outputs, targets, texts, names)))
    assert "balanced accuracy" in page.text and "30 rows" in page.text
    assert "'class 0' taken for 'class 1' (1 of 3 'class 0')" in page.text
    assert "never predicted" not in page.text
    assert "<script>alert(1)</script>" in page.text  # as text: `read` finds no such tag


def test_classes_that_are_never_predicted_are_named(recorded: Callable[..., Recorded]) -> None:
    names, targets = ("a", "b", "c", "d"), np.arange(40) % 3  # of d there is no sample
    outputs = np.full((40, 4), 0.1)
    outputs[np.arange(40), np.minimum(targets, 1)] = 0.7
    found = recorded(*THREE, result=DONE)

    def said(outputs: np.ndarray) -> str:
        about = judged(outputs, targets, np.zeros((40, 3)), names)
        return next(one.text for one in findings(found, about) if one.about == "What goes wrong?")

    assert "1 of 3 classes is never predicted: 'c'." in said(outputs)
    assert "Every sample is taken for 'a'." in said(np.tile([0.7, 0.1, 0.1, 0.1], (40, 1)))
    most_wrong = judgement(judged(np.tile(outputs, (3, 1)), np.tile(targets, 3), np.zeros((120, 3)), names))[
        1
    ][-1]
    assert "These 24 with the lowest probability of their own class:" in most_wrong.texts[0]


@pytest.mark.parametrize(
    ("scores", "expected", "hint"),
    [
        # All above 0.3 are positive, and 0.5 misses ten of them.
        ([0.1] * 50 + [0.35] * 10 + [0.9] * 40, "0.22 would give accuracy 1.0000", "--threshold 0.22"),
        (
            [0.1] * 50 + [0.35] * 2 + [0.9] * 48,
            "no other is clearly better: the best, 0.22, has 1.0000",
            "table",
        ),
    ],
)
def test_a_threshold_is_recommended_where_it_is_clearly_better(
    recorded: Callable[..., Recorded], scores: Sequence[float], expected: str, hint: str
) -> None:
    targets = np.arange(100) >= 50
    about = judged(np.array(scores)[:, None], targets, np.zeros((100, 3)), ("no", "yes"))
    said = next(one for one in findings(recorded(*THREE), about) if one.about == "Which threshold?")
    assert expected in said.text and hint in str(said.hint)


def test_a_regression(recorded: Callable[..., Recorded]) -> None:
    targets = np.linspace(0, 9, 50, dtype="float32")[:, None]
    outputs = targets + np.sin(np.arange(50))[:, None]
    path = write_run_report(recorded(*THREE, result=DONE), judged(outputs, targets, np.zeros((50, 3))))
    page = read(path)
    assert "mean absolute error" in page.text and "R²" in page.text and "Farthest off" in page.text
    assert (path.parent / "plots" / "target_residuals.png").exists()


@pytest.mark.parametrize(
    ("records", "result", "expected"),
    [
        (
            (),
            None,
            [
                "not ended",
                "it was killed",
                "No epoch is best yet; 0 of 4 epochs done.",
                "Nothing is recorded yet",
            ],
        ),
        (THREE[:1], None, ["not ended", "Nothing was validated"]),
        (THREE[:2], DONE, ["finished", "One validation cannot tell"]),
        (
            THREE,
            {"status": "failed", "message": "OSError: full"},
            ["failed", "3 of 4 epochs done", "Why did it end? OSError: full"],
        ),
        ((*THREE, '{"phase": "tr'), DONE, ["finished"]),
        (
            ('{"phase": "train", "epoch": 1, "step": 3, "metrics": {"loss": 1.0}}\n',),
            {"status": "stopped_early"},
            ["stopped early", "1 of 4 epochs done"],
        ),
        (
            (record("train", 1, loss=float("nan")), record("validation", 1, loss=float("nan"))),
            None,
            ["not ended", "No validation loss is finite"],
        ),
    ],
    ids=["begun", "without validation", "one epoch", "failed", "cut off", "earlier version", "nan"],
)
def test_whatever_is_recorded_is_shown(
    recorded: Callable[..., Recorded],
    records: Sequence[str],
    result: dict[str, Any] | None,
    expected: list[str],
) -> None:
    page = read(write_run_report(recorded(*records, result=result)))
    for text in expected:
        assert text in page.text


def test_a_run_in_training_is_one_that_a_process_holds(recorded: Callable[..., Recorded]) -> None:
    """A resumed one has the result of the session before, and its best model says how good it is."""
    run = recorded(*THREE, result={"status": "interrupted", "message": "interrupted by signal 2"}).run
    run.best.mkdir()
    (run.best / "model.json").write_text(json.dumps(BEST))
    with run.lock():
        found = Recorded.of(run)
        page = read(write_run_report(found))
    assert "in training val_loss" not in page.text
    assert f"report-run {run.path}" in page.text and "resume-training" not in page.text
    assert found.status == "in training" and found.best is not None and found.best["epoch"] == 2
    assert Recorded.of(run).status == "interrupted"


def test_settings_that_are_not_as_by_default(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run")
    run.claim(compose("scenario=toy", "epochs=7", "optimizer=sgd", config_dir=TOY / "conf").config)
    changes = {change.path: (change.value, change.default) for change in Recorded.of(run).changes()}
    assert changes["trainer.epochs"] == (7, 10)
    assert changes["optimizer"] == ("sgd", "adam")
    assert "trainer.val_every_n" not in changes and "learning_rate" not in changes


def test_settings_that_a_scenario_or_the_run_chose_are_no_changes(tmp_path: Path) -> None:
    """Of a shipped scenario, only what was typed differs; the classes and the threads are left out if it filled them
    in."""
    words = ("scenario=lenet", "model.dropout=0.1", "optimizer=adam", "device.threads=1")
    run = RunDirectory.create(tmp_path / "run")
    run.claim(compose(*words).config)
    found = Recorded.of(run)
    changes = {change.path: (change.value, change.default) for change in found.changes()}
    assert changes == {"model.dropout": (0.1, 0.0), "optimizer": ("adam", "momentum")}
    typed = replace(found, sessions=[{"command": ["train-scenario", *words]}])
    assert [change.path for change in typed.changes()] == ["model.dropout", "optimizer", "device.threads"]


def epochs_of(losses: Sequence[float], accuracies: Sequence[float] | None = None) -> list[str]:
    """Records of a training loss that falls, and of this validation loss."""
    return [
        record(phase, epoch, loss=1 / epoch if phase == "train" else loss, accuracy=accuracy)
        for epoch, (loss, accuracy) in enumerate(
            zip(losses, accuracies or [0.9] * len(losses), strict=True), start=1
        )
        for phase in ("train", "validation")
    ]


NOISY = [0.5 / 2**n for n in range(6)] + [0.0048 + 0.007 * (n * 7 % 10) / 10 for n in range(36)] + [0.0118]


@pytest.mark.parametrize(
    ("losses", "accuracies", "overfits", "helps"),
    [
        (
            [0.7, 0.5, 0.7],
            None,
            "Too early to tell: the validation loss was lowest at epoch 2 (0.5000)",
            "No",
        ),
        ([0.7, 0.5, 0.6, 0.7, 0.8], [0.7, 0.8, 0.7, 0.7, 0.6], "Yes: the validation loss was lowest", "No"),
        ([0.7, 0.5, 0.6, 0.7, 0.8], [0.7, 0.8, 0.8, 0.8, 0.8], "In its confidence only", "No: "),
        (NOISY, [0.995] * 43, "No: the validation loss was lowest at epoch 7", "No: "),
        ([0.5, 0.3], None, "No", "Yes: the lowest validation loss has come down by 40%"),
        ([0.5, 0.499], None, "No", "A little"),
        ([0.5, 0.499], [0.7, 0.8], "No", "Yes: val_accuracy is best at the last epoch, 0.8000, and the"),
        (
            [0.5, 0.51, 0.51],
            [0.7, 0.7, 0.8],
            "No",
            "Perhaps: val_accuracy is best at the last epoch, 0.8000, though the validation loss is not.",
        ),
        ([0.5], None, "One validation cannot tell", "That cannot be told either."),
    ],
)
def test_what_the_curves_say(
    recorded: Callable[..., Recorded],
    losses: Sequence[float],
    accuracies: Sequence[float] | None,
    overfits: str,
    helps: str,
) -> None:
    found = recorded(*epochs_of(losses, accuracies), result=DONE | {"mode": "max"})
    said = {finding.about: finding for finding in findings(found)}
    assert said["Does it overfit?"].text.startswith(overfits)
    assert said["Would more epochs help?"].text.startswith(helps)
    assert "40% of the time" in said["Does it wait for data?"].text
    # One command, with one number, and none where more epochs do not help.
    hint = said["Would more epochs help?"].hint
    page = read(write_run_report(found))
    more = f"resume-training {found.run.path} epochs=8"
    assert page.text.count(more) == (0 if helps.startswith("No") else 2 if hint else 1)
    assert page.text.count("epochs=") == page.text.count(more)


def test_more_epochs_and_a_schedule_that_has_ended(recorded: Callable[..., Recorded]) -> None:
    """More epochs stretch a schedule that depends on them, so that its rate rises again; others go on."""
    records = epochs_of([0.5, 0.4, 0.3, 0.2])
    for schedule, more in (("cosine_decay", True), ("constant", False), ("exponential_decay", False)):
        found = recorded(*records, result=DONE, name=schedule, words=(f"learning_rate={schedule}", "lr=0.2"))
        said = {finding.about: finding.hint or "" for finding in findings(found)}
        hint = said["Would more epochs help?"]
        assert ("stretches the schedule of the learning rate over 8 epochs" in hint) == more
        # Half of a cosine that begins with 0.2.
        assert ("the rate, 0.1000 at the end, goes on with 0.1000" in hint) == more


def test_runs_side_by_side(tmp_path: Path, recorded: Callable[..., Recorded]) -> None:
    better = DONE | {"mode": "max", "best": BEST | {"metrics": {"val_accuracy": 0.9}}}
    runs = [
        recorded(*THREE, result=DONE | {"mode": "max"}, name="one"),
        recorded(*THREE, result=better, name="two"),
        recorded(*THREE[:2], name="three"),
    ]
    write_comparison(runs[:2], tmp_path / "comparison.html")
    page = read(tmp_path / "comparison.html")
    assert "two is best by val_accuracy: 0.9000." in page.text
    assert "They have the same settings." in page.text
    for run, data in zip(runs, ("1 sample", "2 samples", "1 sample"), strict=True):
        run.run.best.mkdir()
        (run.run.best / "model.json").write_text(json.dumps({"validation_data": data}))
    assert headline(runs) == "one, two, three"
    best = compare_recorded(runs)[0]
    assert "were validated on different data" in best.texts[0]
    assert best.tables[0].rows[2][:2] == ["three", "not ended"]


def test_a_run_has_one_style_in_all_figures() -> None:
    names = [f"run{i}" for i in range(12)]
    styles = charts.run_styles(names)
    assert len({tuple(style.items()) for style in styles.values()}) == 12
    figure = charts.curve_over_epochs("loss", {"run1": ([1, 2], [3, 4])}, styles=styles)
    (line,) = figure.axes[0].get_lines()
    assert line.get_color() == styles["run1"]["color"]
    assert figure.axes[0].get_legend() is not None


def test_raw_weights_against_averaged_ones(recorded: Callable[..., Recorded]) -> None:
    raw = record("validation/raw", 3, loss=0.9, accuracy=0.6)
    found = recorded(*THREE, raw, result=DONE, words=("trainer.calc_ema=-1",))
    section = course.curves(found)
    assert "The raw weights were validated after epoch 3 alone" in section.texts[0]
    labels = {line.get_label() for line in section.figures["loss_curve"].axes[0].get_lines()}
    assert labels == {
        "training",
        "validation, averaged weights",
        "validation, raw weights",
        "best, epoch 2",
    }
    said = {finding.about: finding.text for finding in findings(found)}
    expected = "After epoch 3 the validation accuracy is 0.8000 with them, and 0.6000 with the raw ones."
    assert said["Do averaged weights help?"] == expected
    before = recorded(*THREE, result=DONE, words=("trainer.calc_ema=-1",), name="before")
    assert course.curves(before).texts[0].endswith("The raw weights have not been validated.")
    assert not course.curves(recorded(*THREE, name="without")).texts


def test_where_the_time_went(recorded: Callable[..., Recorded]) -> None:
    epochs = [
        json.dumps(json.loads(record("train", epoch, loss=1.0)) | {"seconds": spent}) + "\n"
        for epoch, spent in ((1, {"start": 4, "train": 5}), (2, {"train": 5, "input_wait": 1, "own": 5}))
    ]
    section = course.time(recorded(*epochs))
    assert section is not None and section.texts == ["20 s in all sessions together."]
    assert section.tables[0].rows == [
        ["training steps", "10.0 s", "50.0%"],
        ["own", "5.0 s", "25.0%"],
        ["building data and model", "4.0 s", "20.0%"],
        ["waiting for training data", "1.0 s", "5.0%"],
    ]
    done = course.time(recorded(*epochs, result=DONE | {"phases": {"train": 60, "lav": 20}}, name="done"))
    assert done is not None and done.tables[0].rows[0] == ["training steps", "1:00", "75.0%"]
    assert "time_of_phases" in done.figures


def test_a_finished_run_and_one_that_lost_its_model(finished: Callable[..., Path], tmp_path: Path) -> None:
    run = finished(tmp_path / "run", *LIGHT)
    page = read(report_run(run))
    assert "Provenance" in page.text and "validation samples" in page.text
    (run / "best" / "model.keras").write_bytes(b"nothing")
    assert "There are no figures of single samples" in read(report_run(run)).text


@pytest.mark.parametrize("wanted", [True, False])
def test_a_run_writes_its_report_where_it_is_to(
    tmp_path: Path, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened_again(*_: object) -> None:
        raise AssertionError("the session has the data open")

    monkeypatch.setattr(report_run_module, "prepare_source", opened_again)
    train(tmp_path / "run", *LIGHT, f"trainer.report={wanted}", "trainer.overfit_batches=2")
    assert (tmp_path / "run" / "report.html").exists() == wanted
    assert (tmp_path / "run" / "plots" / "loss_curve.png").exists() == wanted
    if wanted:
        page = read(tmp_path / "run" / "report.html")
        assert "on 16 validation samples" in page.text  # those that it learns by heart


def test_a_part_or_a_figure_that_cannot_be_drawn_leaves_the_others(
    recorded: Callable[..., Recorded], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no such figure")

    found = recorded(*THREE, result=DONE)
    monkeypatch.setattr(charts, "roc", fail)
    scores, targets = np.linspace(0, 1, 8)[:, None], np.arange(8)[:, None] % 2
    path = write_run_report(found, judged(scores, targets, np.zeros((8, 3)), ("a", "b")))
    page = read(path)
    assert "'Single samples' of the report cannot be made: ZeroDivisionError: no such figure" in page.text
    assert "Provenance" in page.text and (path.parent / "plots" / "loss_curve.png").exists()
    monkeypatch.setattr(Figure, "savefig", fail)
    page = read(write_run_report(found))
    assert "The figure loss_curve cannot be made: ZeroDivisionError" in page.text
    assert "Settings that differ" in page.text


def test_figures_that_cannot_be_written_are_on_the_page_all_the_same(
    recorded: Callable[..., Recorded], caplog: pytest.LogCaptureFixture
) -> None:
    found = recorded(*THREE, result=DONE)
    found.run.plots.write_text("a file where the folder should be")
    text = write_run_report(found).read_text()
    assert text.count("<svg") == 5
    assert caplog.text.count("no figures are written to") == 1


def with_report(run: RunDirectory) -> Scenario:
    """The scenario of a run of the toy scenario, which writes no report by default."""
    config = run.load_config()
    return scenario_of(replace(config, trainer=replace(config.trainer, report=True)))


def test_a_report_that_cannot_be_written_never_ends_a_run(
    finished: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = RunDirectory.open(finished(tmp_path / "run", *LIGHT))
    monkeypatch.setattr(files, "write_durably", full)
    report_at_end(run, with_report(run))
    assert "no figures are written to" in caplog.text
    assert "the report could not be written: RunDirectoryError: cannot write" in caplog.text
    assert not run.report_file.exists()


def test_a_signal_leaves_the_report_out_of_a_run_that_has_ended(
    finished: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunDirectory.open(finished(tmp_path / "run", *LIGHT))
    report_at_end(run, with_report(run), check=InterruptedAfter(1).check)
    assert f"report-run {run.path} writes it" in caplog.text


def test_a_folder_that_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="is not a run directory"):
        report_run(tmp_path)


@pytest.mark.parametrize(
    ("sample", "picture"),
    [
        (np.zeros((8, 8, 3), "uint8"), True),
        (np.linspace(0, 1, 64, dtype="float32").reshape(8, 8, 1), True),
        (np.linspace(-3, 90, 64, dtype="float32").reshape(8, 8), True),
        (np.zeros((8, 8), "float32"), False),
        (np.full((8, 8), np.nan, "float32"), False),
        (np.zeros((8, 8, 5), "float32"), False),
        (np.zeros(64, "float32"), False),
    ],
)
def test_what_can_be_shown_as_a_picture(sample: np.ndarray, picture: bool) -> None:
    found, text = shown(ArraySource((sample[None], np.zeros(1))), 0)
    assert (found is not None, text) == (picture, None)


class Model:
    """Gives what is asked for, for each batch."""

    def __init__(self, give: Callable[[int], Any]) -> None:
        self.give = give

    def predict_on_batch(self, batch: tf.Tensor) -> Any:
        return self.give(len(batch))


def test_outputs_that_have_no_figures() -> None:
    """Of several outputs, and of those that are too many to keep, nothing single is told."""

    scenario = compose("scenario=toy", config_dir=TOY / "conf")
    source = ArraySource((np.zeros((6, 2), "float32"), np.zeros((6, 1), "float32")))
    models = [lambda n: {"a": np.zeros((n, 1)), "b": np.zeros((n, 1))}, lambda n: np.zeros((n, 9_000_000))]
    for give in [*models, lambda n: np.full((n, 1), np.nan)]:
        found = judge(Model(give), scenario, source)
        assert found.task is None and found.most_wrong(3) == []


class Errors(ScikitLearnMetric):
    """An evaluator with a figure of its own."""

    def __init__(self) -> None:
        super().__init__("error", mean_absolute_error)

    def figures(self) -> Mapping[str, Figure]:
        with drawing() as (figure, axes):
            axes.plot([0, self.result()["error"]])
        return {"own_errors": figure}


class Broken(Errors):
    """One that draws nothing."""

    def figures(self) -> Mapping[str, Figure]:
        raise ZeroDivisionError("nothing to draw")


def test_evaluators_add_figures_of_their_own_and_a_broken_one_takes_nothing_along(
    recorded: Callable[..., Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = recorded(*THREE, result=DONE)
    scenario = compose("scenario=toy", config_dir=TOY / "conf")
    monkeypatch.setattr(scenario, "evaluators", lambda: [Broken(), Errors()])
    source = ArraySource((np.zeros((6, 2), "float32"), np.zeros((6, 1), "float32")))
    path = write_run_report(found, judge(Model(lambda n: np.ones((n, 1))), scenario, source))
    text = read(path).text
    assert "Figures of the scenario" in text
    assert "The figures of Broken cannot be drawn: ZeroDivisionError: nothing to draw" in text
    assert (path.parent / "plots" / "own_errors.svg").exists()
