"""explain-prediction, from a trained run to its pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from framework.errors import ConfigError, DataError, ScenarioError
from framework.evaluation.explain import activation_picture, explain, filter_picture
from framework.model.export import export_model
from framework.run.run_directory import RunDirectory
from framework.scenario import compose


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of MesoNet with a model that has not learned anything yet."""
    folder = tmp_path_factory.mktemp("explain")
    scenario = compose("scenario=mesonet", "data.image_size=32", "model=meso1")
    run = RunDirectory.create(folder / "run")
    run.claim(scenario.config)
    model = scenario.build_model()
    model.compile("sgd", "binary_crossentropy")
    export_model(model, run.best, {"epoch": 1}, saved_model=False)
    generator = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for name in ("one", "zwölf"):
        pixels = generator.integers(0, 255, (40, 50, 3)).astype("uint8")
        Image.fromarray(pixels).save(folder / "photos" / f"{name}.png")
    (folder / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    return run.path


def test_each_image_has_its_pictures_and_a_broken_one_is_named(run: Path, tmp_path: Path) -> None:
    names = [one.name for one in compose("scenario=mesonet", "model=meso1").build_model().layers]
    layer = next(name for name in names if "conv" in name)
    found = explain(run, [run.parent / "photos"], folder=tmp_path / "out", layers=[layer], filters_of=layer)
    assert [Path(one.name).stem for one in found.images] == ["one", "zwölf"]
    assert all({"label", "forged", "real"} <= set(one.columns) for one in found.images)
    assert [Path(fault.name).name for fault in found.unreadable] == ["broken.jpg"]
    assert found.filters == tmp_path / "out" / f"filters-{layer}.png"
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == sorted(
        [
            "001-one.png",
            f"001-one-{layer}.png",
            "002-zwölf.png",
            f"002-zwölf-{layer}.png",
            f"filters-{layer}.png",
        ]
    )
    with Image.open(tmp_path / "out" / "001-one.png") as picture:
        assert picture.width == 2 * picture.height


def test_what_cannot_be_drawn_is_answered(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not in the model"):
        explain(run, [run.parent / "photos"], folder=tmp_path, layer="con")
    with pytest.raises(ConfigError, match="is not in the model"):
        explain(run, [run.parent / "photos"], folder=tmp_path, layers=["con"])
    found = explain(run, [run.parent / "photos" / "broken.jpg"], folder=tmp_path)
    assert not found.images and [Path(fault.name).name for fault in found.unreadable] == ["broken.jpg"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="nothing to predict in"):
        explain(run, [tmp_path / "empty"], folder=tmp_path)


@pytest.mark.parametrize(
    ("shape", "height"), [((4, 6, 5), 2 * 46), ((10,), 66), ((7, 9), 58), ((2, 2, 2, 2), None)], ids=str
)
def test_activations_of_any_shape_are_drawn_or_refused(shape: tuple[int, ...], height: int | None) -> None:
    maps = np.random.default_rng(0).normal(size=shape)
    if height is None:
        with pytest.raises(ScenarioError, match="cannot be drawn"):
            activation_picture(maps)
    else:
        assert activation_picture(maps).shape[0] == height


def test_filters_are_drawn_side_by_side() -> None:
    kernel = np.zeros((3, 3, 2, 5))
    kernel[1, 1, :, 4] = 1
    drawn = filter_picture(kernel)
    assert drawn.shape[1] == 3 * (3 * 22 + 2)
