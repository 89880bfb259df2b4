"""A file of a model that claims to hold far more than it does is refused before memory is taken for it."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from framework.errors import ScenarioError
from framework.model.export import fault_of, load_model
from framework.model.model_files import check_claim, check_keras_file
from framework.model.weight_files import open_weights
from tests.conftest import REPOSITORY

MODEL = REPOSITORY / "tests" / "data" / "run-of-format-1" / "best" / "model.keras"


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def deflate_bomb(path: Path) -> None:
    write(path, members_of(path) | {"config.json": bytes(2**29)}, zipfile.ZIP_DEFLATED)


def claimed_weights(path: Path) -> None:
    members = members_of(path)
    buffer = io.BytesIO(members["model.weights.h5"])
    with h5py.File(buffer, "a") as file:
        del file["layers/dense/vars/0"]
        file.create_dataset("layers/dense/vars/0", (10**6, 10**6), "float32", chunks=(1000, 1000))
    write(path, members | {"model.weights.h5": buffer.getvalue()})


def twice(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", b"{}")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (deflate_bomb, "claims to be"),
        (claimed_weights, "claims to be"),
        (twice, "two members"),
        (pipe, "pipe|is missing|no model"),
    ],
)
def test_a_model_that_claims_more_than_it_holds_is_refused(
    tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    shutil.copytree(MODEL.parent, tmp_path / "best")
    path = tmp_path / "best" / "model.keras"
    damage(path)
    with pytest.raises(ScenarioError, match=said):
        load_model(tmp_path / "best")
    with pytest.raises(ScenarioError):
        open_weights(str(path))
    assert str(path) in str(fault_of(tmp_path / "best"))


def test_weights_alone_that_claim_more_than_they_hold_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/dense/vars/0", (10**6, 10**6), "float32", chunks=(1000, 1000))
    with pytest.raises(ScenarioError, match="claims to be 4,000,000,000,000 bytes"):
        open_weights(str(path))


def test_a_sound_model_may_be_compressed(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    write(path, members_of(MODEL), zipfile.ZIP_DEFLATED)
    check_keras_file(path)
    check_keras_file(MODEL)
    check_claim(2**30, 2**28, "weights of zeros and others")
