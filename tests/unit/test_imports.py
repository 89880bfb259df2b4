"""The rooms of the house: imports run downward only, and a config is typed without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, environment


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
