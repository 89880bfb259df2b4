"""Somebody else's run or model is opened, and what they hid in it is not run: each file of a run is tried."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import marshal
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from framework.config.warm_start_config import WarmStartConfig
from framework.errors import ScenarioError
from framework.evaluation.compare_weights import RunWeights
from framework.evaluation.load_and_validate import load_and_validate
from framework.model.export import load_model
from framework.model.warm_start import warm_start
from framework.model.weight_files import open_weights
from framework.run.run_directory import RunDirectory
from tests.runs import LIGHT, compose_toy, resume, train

pytestmark = pytest.mark.usefixtures("toy_on_the_path")

SHELL = "touch smuggled"


class Smuggled:
    """Unpickled, it runs a command."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.system, (SHELL,)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, toy_on_the_path: None) -> Path:
    run = tmp_path_factory.mktemp("smuggling") / "run"
    train(
        run,
        *LIGHT,
        "trainer.post_hoc_ema=[0.1]",
        "trainer.export_saved_model=true",
        "trainer.tensorboard=true",
    )
    (run / "result.json").unlink()  # so that a resume goes through all of it
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of a run; at the end, whatever was hidden must not have run."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "run")
    yield tmp_path / "run"
    assert not list(tmp_path.rglob("*smuggled*"))


def open_everything(run: Path) -> None:
    """All that is done with a run of somebody else's. That some of it is refused is fine."""
    for action in (
        lambda: load_and_validate(run),
        lambda: load_and_validate(run, model="export"),
        lambda: RunWeights(run).candidates(lengths=[0.1]),
        lambda: open_weights(str(run / "best" / "saved_model")),
        lambda: warm_start(compose_toy(*LIGHT).build_model(), WarmStartConfig(model=str(run))),
        lambda: resume(run, "epochs=2"),
    ):
        with contextlib.suppress(ScenarioError):
            action()


def rezip(path: Path, change: Callable[[str, bytes], bytes]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: change(name, archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_run_has_the_files_that_are_tried_here(run: Path) -> None:
    """A new kind of file needs a line below, in one of these tests."""
    kinds = {path.name for path in run.rglob("*") if path.is_file() and "tfevents" not in path.name}
    assert kinds == {
        *("config.yaml", "provenance.json", "metrics.jsonl", "model.txt", "train.log", ".lock"),
        *("variables.npz", "state.json", "manifest.json", "model.keras", "model.json"),
        *("saved_model.pb", "fingerprint.pb", "variables.index", "variables.data-00000-of-00001"),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        ("config.yaml", "checkpoints/config.yaml"),
        ("provenance.json", "metrics.jsonl", "model.txt", "train.log", "result.json", ".lock"),
        tuple(
            f"{folder}/{name}"
            for folder in ("best", "export")
            for name in (
                "model.json",
                "model.keras",
                "saved_model/saved_model.pb",
                "saved_model/variables/variables.index",
            )
        ),
    ],
    ids=["config", "records", "models"],
)
def test_a_pickle_in_the_place_of_a_file_is_not_run(run: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (run / name).write_bytes(pickle.dumps(Smuggled()))
    open_everything(run)


@pytest.mark.parametrize("folder", ["checkpoints", "averages"])
def test_a_pickle_in_a_checkpoint_is_not_run(run: Path, folder: str) -> None:
    """Each array is one of objects, and the checksums are right."""
    (checkpoint,) = (run / folder).glob("step-*")
    with np.load(checkpoint / "variables.npz") as stored:
        names = list(stored)
    np.savez(checkpoint / "variables.npz", **{name: np.array([Smuggled()], dtype=object) for name in names})  # type: ignore[arg-type]
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    content = (checkpoint / "variables.npz").read_bytes()
    manifest["files"]["variables.npz"] = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    open_everything(run)


@pytest.mark.parametrize("name", ["config.yaml", "checkpoints/config.yaml"])
@pytest.mark.parametrize(
    "head",
    [
        "!!python/object/apply:os.system ['touch smuggled']",
        "{target: 'os:system', name: 'touch smuggled'}",
        "{target: 'payload:Evil', name: toy}",
        "{target: 'run.payload:Evil', name: toy}",
        "{target: 'toy:Evil', name: toy}",
        "{_target_: 'os.system', command: 'touch smuggled', target: 'toy:Toy', name: toy}",
        "{target: 'toy:Toy', name: toy, samples: '${oc.eval:touch}'}",
    ],
)
def test_code_that_a_config_names_is_not_run(
    run: Path, name: str, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = yaml.safe_load((run / "config.yaml").read_text())
    del plain["scenario"]
    (run / "config.yaml").unlink()
    (run / "checkpoints" / "config.yaml").unlink()
    (run / name).write_text(f"{yaml.safe_dump(plain)}\nscenario: {head}\n")
    for module in ("payload.py", "toy.py"):
        (run / module).write_text("open('smuggled-by-import', 'w').close()\nclass Evil: pass\n")
    monkeypatch.syspath_prepend(".")
    monkeypatch.syspath_prepend(str(run))
    with pytest.raises(ScenarioError):
        resume(run)


def code_of_a_lambda() -> str:
    code = compile("lambda x: (open('smuggled', 'w'), x)[1]", "x", "eval").co_consts[0]
    return base64.b64encode(marshal.dumps(code)).decode()


LAYERS: dict[str, dict[str, Any]] = {
    "a Lambda": {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {
            "name": "l",
            "function": {"class_name": "__lambda__", "config": {"code": code_of_a_lambda()}},
        },
    },
    "a function": {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {
            "name": "l",
            "function": {
                "module": "os",
                "class_name": "function",
                "config": "system",
                "registered_name": "system",
            },
            "arguments": {"command": SHELL},
        },
    },
    "a download": {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {
            "name": "l",
            "function": {"module": "keras.utils", "class_name": "function", "config": "get_file"},
            "arguments": {"fname": "smuggled", "origin": f"file://{__file__}", "cache_dir": "."},
        },
    },
    "a process": {"module": "subprocess", "class_name": "Popen", "config": {"args": ["touch", "smuggled"]}},
    "a builtin": {"module": "builtins", "class_name": "exec", "config": {"source": "open('smuggled', 'w')"}},
    "a module": {"module": "payload", "class_name": "Evil", "config": {}},
}


def hide_in_models(run: Path, kind: str) -> None:
    (run / "payload.py").write_text("open('smuggled-by-import', 'w').close()\nclass Evil: pass\n")

    def add_layer(name: str, content: bytes) -> bytes:
        if name != "config.json":
            return content
        config = json.loads(content)
        config["config"]["layers"].append(LAYERS[kind] | {"registered_name": None})
        return json.dumps(config).encode()

    for folder in ("best", "export"):
        rezip(run / folder / "model.keras", add_layer)


@pytest.mark.parametrize("kind", LAYERS)
def test_code_in_a_model_is_not_run(run: Path, kind: str) -> None:
    hide_in_models(run, kind)
    for folder in ("best", "export"):
        with pytest.raises(ScenarioError):
            load_model(run / folder)
        with contextlib.suppress(ScenarioError):  # it reads the weights alone
            open_weights(str(run / folder / "model.keras"))


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if kind != "a module" else []) for kind in LAYERS]
)
def test_nor_is_it_by_anything_that_opens_a_run(run: Path, kind: str) -> None:
    hide_in_models(run, kind)
    open_everything(run)


def test_weights_that_refer_to_another_file_are_not_read(run: Path, tmp_path: Path) -> None:
    """They would bring somebody's own file into a model, which is then sent back."""
    with h5py.File(tmp_path / "private.h5", "w") as file:
        file["x"] = np.full((8, 16), 7, "float32")

    def link(name: str, content: bytes) -> bytes:
        if name != "model.weights.h5":
            return content
        buffer = io.BytesIO(content)
        with h5py.File(buffer, "a") as file:
            del file["layers/dense/vars/0"]
            file["layers/dense/vars/0"] = h5py.ExternalLink(str(tmp_path / "private.h5"), "/x")
        return buffer.getvalue()

    rezip(run / "best" / "model.keras", link)
    with pytest.raises(ScenarioError):
        load_model(run / "best")
    legacy = tmp_path / "legacy.h5"
    with h5py.File(legacy, "w") as file:
        file.attrs["layer_names"] = ["hidden"]
        file.create_group("hidden").attrs["weight_names"] = ["hidden/kernel:0"]
        file["hidden/hidden/kernel:0"] = h5py.ExternalLink(str(tmp_path / "private.h5"), "/x")
    with pytest.raises(ScenarioError, match="refers to another one"):
        open_weights(str(legacy))


def test_the_graph_of_a_saved_model_is_not_run(run: Path, tmp_path: Path) -> None:
    """An operation can write a file, and TensorFlow runs those that initialise a model while it loads it."""
    import tensorflow as tf

    class Evil(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.variables_ = tf.Variable([1.0], name="hidden/kernel")
            self.resource = Resource()

    class Resource(tf.saved_model.experimental.TrackableResource):
        def _create_resource(self) -> Any:
            return tf.raw_ops.AnonymousHashTable(key_dtype=tf.string, value_dtype=tf.int64)

        def _initialize(self) -> None:
            tf.io.write_file("smuggled", "x")

    target = run / "best" / "saved_model"
    shutil.rmtree(target)
    tf.saved_model.save(Evil(), str(target))
    Path("smuggled").unlink(missing_ok=True)
    with pytest.raises(ScenarioError):
        open_weights(str(target))
    open_everything(run)


def test_a_run_directory_is_what_it_says(run: Path) -> None:
    """The run itself, with nothing hidden in it, is opened and resumed."""
    RunDirectory.open(run)
    assert resume(run, "epochs=2").epochs == 2


def test_a_model_with_code_in_it_is_refused_before_it_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could be exported, and nobody could load it."""
    import keras

    def build_model(scenario: Any) -> keras.Model:
        inner = keras.Sequential([keras.Input((8,)), keras.layers.Lambda(lambda x: 2 * x, name="twice")])
        return keras.Sequential([keras.Input((8,)), inner, keras.layers.Dense(1, activation="sigmoid")])

    scenario = compose_toy()
    monkeypatch.setattr(type(scenario), "build_model", build_model)
    with pytest.raises(ScenarioError, match=r"'twice' \(Lambda\)(.|\n)*keras\.ops"):
        train(tmp_path / "run")
    assert not (tmp_path / "run").exists()
