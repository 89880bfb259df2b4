"""A default stands in its class alone, and Hydra knows it all the same."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from framework.cli.completion import complete
from framework.config.compose import compose_config, composer, conf_directory
from framework.config.defaults import class_defaults, defaults_of
from framework.config.registry import Registry
from framework.config.run_config import Kind, class_of, section_kinds
from framework.config.schema import PlainValue, setting, to_plain
from framework.config.sections import SECTIONS, SHORT_FORMS
from framework.config.targets import SCENARIOS, locate
from framework.errors import ConfigError
from framework.optim.optimizers import OPTIMIZERS, Optimizer
from tests.conftest import TOY

SHIPPED = ("lenet", "mesonet", "reuters")


@functools.cache
def kinds(scenario: str) -> dict[str, Kind]:
    """What the sections of a run of a shipped scenario are typed by."""
    compose_config([f"scenario={scenario}"])  # which imports it
    found: dict[str, Kind] = section_kinds(
        locate(f"scenarios.{scenario}.scenario:{SCENARIOS[scenario].__name__}")
    )
    return found


def registered() -> Iterator[tuple[str, str, str]]:
    """Each section and name that can be chosen, with the first scenario for which it is this class."""
    seen: set[tuple[str, type]] = set()
    for scenario in SHIPPED:
        for section, kind in kinds(scenario).items():
            if isinstance(kind, Registry):
                new = [name for name in kind if (f"{section}={name}", kind[name]) not in seen]
                seen.update((f"{section}={name}", kind[name]) for name in new)
                yield from ((scenario, section, name) for name in new)


def test_an_option_that_holds_a_name_alone_is_what_its_class_says(tmp_path: Path) -> None:
    """Every registered class, by a file that says no more than its name."""
    for scenario, section, name in registered():
        (tmp_path / section).mkdir(exist_ok=True)
        (tmp_path / section / f"my_{name}.yaml").write_text(f"name: {name}\n")
        cls = class_of(kinds(scenario)[section], name)
        assert cls is not None
        expected = {"name": name} | defaults_of(cls)
        words = [f"scenario={scenario}", f"{section}=my_{name}"]
        if section == "model" and scenario == "mesonet":  # whose images must be of one size
            words.append("model.image_size=${data.image_size}")
            expected["image_size"] = 128
        config = compose_config(words, config_dir=tmp_path)
        if section == "learning_rate":
            expected["lr"] = config.learning_rate.lr  # the scenario's
        assert to_plain(getattr(config, section)) == expected, (scenario, section, name)


def test_a_section_without_any_file_is_what_its_class_says() -> None:
    config = compose_config(["scenario=mesonet"])
    for section in ("early_stopping", "device", "warmstart", "trainer"):
        cls = class_of(kinds("mesonet")[section], None)
        assert cls is not None
        assert to_plain(getattr(config, section)) == defaults_of(cls), section


def test_files_hold_what_differs_from_their_class() -> None:
    """No shipped option repeats a default."""
    for path in sorted(conf_directory().glob("*/*.yaml")):
        section, values = path.parent.name, OmegaConf.to_container(OmegaConf.load(path))
        assert isinstance(values, dict)
        own = values.get(section, values)
        for scenario in SHIPPED:
            cls = class_of(kinds(scenario)[section], own.get("name")) if section in kinds(scenario) else None
            repeated = {key for key, value in own.items() if cls and defaults_of(cls).get(key, ...) == value}
            assert repeated == set(), path


@pytest.fixture
def with_required_setting() -> Iterator[None]:
    @OPTIMIZERS.register("demanding")
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Demanding(Optimizer):
        keras_class = "SGD"
        momentum: float = setting(help="It must be given.", ge=0)

    yield
    OPTIMIZERS.remove("demanding")


@pytest.mark.usefixtures("with_required_setting")
def test_a_setting_without_a_default_must_be_given() -> None:
    words = ["scenario=mesonet", "optimizer=demanding"]
    with pytest.raises(ConfigError, match=r"optimizer.momentum: is missing") as caught:
        compose_config(words)
    assert len(caught.value.problems) == 1
    config = compose_config([*words, "optimizer.momentum=0.5"])
    assert to_plain(config.optimizer)["momentum"] == 0.5


def test_a_reference_may_name_any_setting() -> None:
    config = compose_config(
        ["scenario=mesonet", "data.workers=${trainer.keep_checkpoints}", "data.limit=${epochs}"]
    )
    assert (config.data.workers, config.data.limit) == (3, 10)


def test_a_reference_into_a_section_that_is_wrong_is_not_told() -> None:
    """`model.image_size` refers to the data, of which nothing is known."""
    with pytest.raises(ConfigError) as caught:
        compose_config(["scenario=mesonet", "data=mnist", "trainer.val_every_n=-1"])
    assert sorted(problem.path for problem in caught.value.problems) == ["data", "trainer.val_every_n"]


def test_short_forms_have_the_defaults_of_what_they_stand_for() -> None:
    with composer() as hydra:
        defaults = class_defaults(hydra.compose_files(["scenario=mesonet"]))
    for short, long in SHORT_FORMS.items():
        section, _, key = long.partition(".")
        inner = defaults[section]
        assert isinstance(inner, dict)
        assert defaults[short] == inner[key]


def leaves(plain: PlainValue, path: str = "") -> Iterator[str]:
    """The paths of all values."""
    if not isinstance(plain, dict) or not plain:
        yield path
        return
    for key, value in plain.items():
        yield from leaves(value, f"{path}.{key}" if path else key)


@pytest.fixture
def toy_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOY))


@pytest.mark.usefixtures("toy_on_the_path")
@pytest.mark.parametrize(
    "typed",
    [
        "scenario=mesonet",
        "scenario=reuters optimizer=adamw learning_rate=reduce_on_plateau device=cpu",
        f"--config-dir {TOY / 'conf'} scenario=toy optimizer=sgd",
    ],
)
def test_completion_knows_every_setting_of_every_section(
    typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = typed.split()
    config_dir = TOY / "conf" if "--config-dir" in words else None
    overrides = [word for word in words if "=" in word]
    plain = compose_config(overrides, config_dir=config_dir).to_plain()
    nested = {path.rpartition(".")[0] for path in leaves(plain) if path.count(".") > 1}
    told: set[str] = set()
    for unfinished in ("", *(f"{section}." for section in (*SECTIONS, *nested) if plain.get(section, True))):
        monkeypatch.setenv("COMP_LINE", " ".join(["train-scenario", *words, unfinished]))
        complete(["-sc", "query=bash"])
        told.update(capsys.readouterr().out.split())
    wanted = {*leaves(plain), *SHORT_FORMS}
    # A list, and a mapping that may hold anything, go on behind a dot.
    assert {path for path in wanted if f"{path}=" not in told and f"{path}." not in told} == set()
