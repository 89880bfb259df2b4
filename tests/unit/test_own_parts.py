"""Optimizers, schedules and loops that a user registers. docs/extending.md has one of each, and
tests/cli/test_tutorial.py types them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import framework
from framework.config.registry import Registry
from framework.config.resume import apply_overrides
from framework.config.run_config import parse
from framework.config.schema import setting
from framework.errors import ConfigError
from framework.loops.loop import LOOPS
from framework.optim.learning_rates import LEARNING_RATES
from framework.optim.optimizers import OPTIMIZERS
from tests.runs import compose_toy
from tests.unit.loops.test_loop import Looking, train_with

pytestmark = pytest.mark.usefixtures("toy_on_the_path")


@pytest.fixture
def register() -> Iterator[Any]:
    """Registers a class for one test, as a module of the user's does for good."""
    added: list[tuple[Registry, str]] = []

    def add(kind: str, name: str, cls: type) -> None:
        getattr(framework, f"register_{kind}")(name)(cls)
        added.append(({"optimizer": OPTIMIZERS, "learning_rate": LEARNING_RATES, "loop": LOOPS}[kind], name))

    yield add
    for registry, name in added:
        registry.remove(name)


@dataclass(frozen=True, kw_only=True)
class Heavy(framework.Optimizer):
    keras_class = "SGD"
    momentum: float = setting(0.7, "Fraction of the last move that is added to a move.", ge=0, lt=1)


OWN = ("optimizer=heavy",)


def test_a_registered_class_is_chosen_by_name_and_typed(register: Any) -> None:
    register("optimizer", "heavy", Heavy)
    scenario = compose_toy(*OWN, "optimizer.clip_norm=1")
    assert scenario.config.optimizer == Heavy(clip_norm=1.0)
    assert parse(scenario.config.to_plain()) == scenario.config
    # A run that exists can change to it.
    plain = compose_toy("optimizer=adam", "lr=0.3").config.to_plain()
    changed = parse(apply_overrides(plain, [*OWN, "optimizer.momentum=0.1"]))
    assert (changed.optimizer, changed.learning_rate.lr) == (Heavy(momentum=0.1), 0.3)
    with pytest.raises(ConfigError, match=r"optimizer.momentum: out of range"):
        compose_toy(*OWN, "optimizer.momentum=2")


def test_names_that_nothing_is_registered_under_are_answered(register: Any) -> None:
    with pytest.raises(
        ConfigError,
        match=r"unknown optimizer\n.*'heavy'\n.*adam, .*\n.*one of your own is registered by the module",
    ):
        compose_toy(*OWN)
    with pytest.raises(ConfigError, match=r"loop: unknown option\n.*'my-own'\n.*custom, fit, train_on_batch"):
        compose_toy("loop=my-own")
    # A scenario that cannot be imported could have registered it, so that is what is answered.
    with pytest.raises(ConfigError) as error:
        compose_toy(*OWN, "scenario.target=toi:Toy")
    assert [problem.path for problem in error.value.problems] == ["scenario.target"]


def test_a_class_without_the_decorator_is_answered(register: Any) -> None:
    class Bare(Heavy):
        nesterov: bool = setting(True, "Nesterov's momentum.")

    class NoConfig:
        """Not a dataclass at all, as a Keras optimizer is not."""

    class Named(Heavy):
        """It adds nothing, so it needs no decorator."""

    for name, cls in (("bare", Bare), ("no_config", NoConfig), ("named", Named)):
        register("optimizer", name, cls)
    for name in ("bare", "no_config"):
        with pytest.raises(
            ConfigError, match=r"optimizer.name: .* is registered, and must be a config dataclass"
        ):
            compose_toy(f"optimizer={name}")
    assert compose_toy("optimizer=named").composed.optimizer == Named()


def test_a_name_that_is_taken_is_not_given_twice() -> None:
    with pytest.raises(ValueError, match="optimizer 'adam' is registered already"):
        framework.register_optimizer("adam")(Heavy)


def test_a_loop_that_does_not_say_whether_it_shows_batches_does_not(register: Any, tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Own:
        needed: int = setting(help="Without a default.", ge=1, le=9)

        def build(self, *arguments: Any) -> Any:
            return LOOPS["custom"]().build(*arguments)

    register("loop", "own", Own)
    words = ("loop=own", "loop.needed=1")
    assert train_with([], tmp_path / "run", *words).status == "finished"
    with pytest.raises(
        ConfigError, match=r"loop: callbacks of toy look at each batch \(Looking\).*\n.*\n.*fit, train_on"
    ):
        train_with([Looking([])], tmp_path / "other", *words)
