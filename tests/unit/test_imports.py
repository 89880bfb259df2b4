"""The floors of the house: imports run downward only, and a config is typed without TensorFlow."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, environment

# From the ground up. A module imports from floors below it, and from what stands before it on its own line.
FLOORS = [
    ["errors", "registry", "override", "files", "import_guard"],
    [
        "schema",
        "run_files",
        "run_records",
        "model_files",
        "checkpoint_arrays",
        "checkpoint",
        "trainer_config",
        "config",
        "hydra_errors",
        "overrides",
        "composition",
    ],
    [
        *[
            "data.structure",
            "data.source",
            "data.stream",
            "data.cache",
            "data.map_source",
            "data.adapt",
            "data.padded",
            "data.classes",
            "data.exif",
            "data.image_faults",
            "data.image_decoding",
            "data.image_files",
            "data.image_config",
            "data.duplicates",
            "data.images",
            "data.rows",
            "data.labelled_files",
            "data.texts",
            "data.image_list",
            "data.tables",
            "data.tf_records",
            "data.augment",
            "evaluators",
        ],
        *["plateau", "learning_rates", "schedule", "adabelief", "gradients", "optimizers"],
        *["early_stopping", "evaluation_weights", "power_averages", "freezing", "device"],
        *["checkpoint_weights", "weight_sources", "warmstart"],
    ],
    [
        "scenario",
        "classification",
        "threshold",
        "config_file",
        "run_lock",
        "run_directory",
        "stepper",
        "callbacks",
        "keras_loops",
        "loops",
        "speed",
        "recorder",
        "output",
        "logs",
        "console",
        "interruption",
        "state",
        "numerics",
        "profiling",
    ],
    ["export", "evaluation", "lav", "data_check", "changes", "reference", "run_comparison", "new_scenario"],
    [
        "loss_agreement",
        "agreement",
        "monitor",
        "model_summary",
        "assembly",
        "best_model",
        "epoch_evaluation",
        "bad_numbers",
        "weight_comparison",
        "trained_model",
        "prediction",
        "lav_report",
        "announcement",
        "training",
        "trainer",
        "benchmark",
        "contract",
        "testing",
    ],
    [
        "cli.command",
        "cli.summary",
        "cli.train",
        "cli.completion",
        "cli.optimising",
        "cli.sweep",
        "cli.resume",
        "cli.lav",
        "cli.predict",
        "cli.benchmark",
        "cli.validate_data",
        "cli.weights",
        "cli.check_scenario",
        "cli.new_scenario",
    ],
]
# Parts do not import each other; these are parts in several files.
FAMILIES = [
    {"schedule", "learning_rates", "plateau"},
    {"checkpoint_weights", "weight_sources", "warmstart"},
    {"adabelief", "gradients", "optimizers"},
    {m for m in FLOORS[2] if m.startswith("data.")},
]
# A function that brings in, when it is called, what stands above it: a schedule is built by the config that it holds, and the command
# line starts a sweep or completes a word, which comes back to it for Hydra. And a type alone: the section of the trainer is checked beside the others.
RETURNS = {
    ("learning_rates", "schedule"),
    ("cli.train", "cli.sweep"),
    ("cli.command", "cli.completion"),
    ("trainer_config", "config"),
}
ORDER = [module for floor in FLOORS for module in floor]


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {f"framework.{alias.name}" for alias in node.names} if node.module == "framework" else {node.module or ""}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def modules() -> dict[str, Path]:
    root = REPOSITORY / "framework"
    files = [path for path in root.rglob("*.py") if path.name != "__init__.py"]
    return {".".join(path.relative_to(root).with_suffix("").parts): path for path in files}


def test_every_module_has_its_floor() -> None:
    assert sorted(modules()) == sorted(ORDER)


@pytest.mark.parametrize("module", ORDER)
def test_imports_run_downward(module: str) -> None:
    for imported in imports_of(modules()[module]):
        assert not imported.startswith("scenarios"), f"framework.{module} imports {imported}"
        if imported.startswith("framework."):
            name = imported.removeprefix("framework.")
            if (module, name) in RETURNS:
                continue
            assert ORDER.index(name) < ORDER.index(module), f"framework.{module} imports {imported}, which stands above it"


@pytest.mark.parametrize("module", FLOORS[2])
def test_parts_do_not_import_each_other(module: str) -> None:
    family = next((family for family in FAMILIES if module in family), {module})
    for imported in imports_of(modules()[module]):
        name = imported.removeprefix("framework.")
        assert name not in FLOORS[2] or name in family, f"framework.{module} imports {imported}, another part"


def test_no_module_on_the_way_to_a_config_imports_tensorflow() -> None:
    code = (
        "import sys\n"
        "from framework import compose\n"
        "for name in sys.argv[1:]: compose(f'scenario={name}')\n"
        "assert not {'tensorflow', 'keras', 'sklearn'} & set(sys.modules), sorted(sys.modules)\n"
    )
    names = [path.stem for path in (REPOSITORY / "conf" / "scenario").glob("*.yaml") if path.stem != "module"]
    assert names
    subprocess.run([sys.executable, "-c", code, *names], check=True, env=environment())


def test_the_package_leads_to_its_public_names() -> None:
    import framework

    for name in framework.__all__:
        assert getattr(framework, name).__doc__


def test_two_owners_of_a_package_name_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from framework.cli.command import check_ownership
    from framework.errors import ScenarioError

    check_ownership()
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("framework\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ScenarioError, match="'framework': other, tf-scenarios"):
        check_ownership()
