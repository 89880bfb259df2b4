"""Typed settings: what is read, and how a problem is answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.config.schema import read, setting, to_plain
from framework.errors import Problem


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = setting(0.5, ge=0, lt=1)


@dataclass(frozen=True, kw_only=True)
class Example:
    count: int = setting(3, ge=1)
    rate: float = setting(0.1, gt=0)
    flag: bool = setting(False)
    name: str | None = setting(None)
    kind: Literal["a", "off"] = setting("a")
    sizes: tuple[int, ...] = setting((1, 2), ge=1)
    extra: dict[str, float] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)

    def check(self) -> Iterator[Problem]:
        if self.count == 13:
            yield Problem("count", "brings no luck")


def problems_of(node: Any) -> list[Problem]:
    problems: list[Problem] = []
    result = read(Example, node, "example", problems)
    assert (result is None) == bool(problems)
    return problems


def test_missing_keys_take_their_defaults() -> None:
    assert read(Example, {}, "example", []) == Example()


def test_values_are_taken_and_numbers_converted() -> None:
    problems: list[Problem] = []
    section = read(
        Example,
        {"count": 1e3, "rate": 2, "sizes": [4], "kind": False, "inner": {"rate": 0}},
        "example",
        problems,
    )
    assert not problems
    assert section == Example(count=1000, rate=2.0, sizes=(4,), kind="off", inner=Inner(rate=0.0))
    assert isinstance(section.count, int)
    assert isinstance(section.rate, float)


@pytest.mark.parametrize(
    ("node", "path", "words"),
    [
        ({"count": 0}, "example.count", "a whole number >= 1"),
        ({"count": "3"}, "example.count", "a whole number >= 1"),
        ({"count": True}, "example.count", "a whole number"),
        ({"count": 2.5}, "example.count", "a whole number"),
        ({"count": None}, "example.count", "a whole number"),
        ({"count": 2**63}, "example.count", "a whole number >= 1, in 64 bits"),
        ({"count": 1e308}, "example.count", "in 64 bits"),
        ({"rate": 0}, "example.rate", "> 0"),
        ({"rate": float("nan")}, "example.rate", "> 0"),
        ({"rate": float("inf")}, "example.rate", "> 0"),
        ({"rate": "abc"}, "example.rate", "a number"),
        ({"flag": 1}, "example.flag", "true or false"),
        ({"name": 5}, "example.name", "a text, or null"),
        ({"kind": "b"}, "example.kind", "a, off"),
        ({"kind": True}, "example.kind", "a, off"),
        ({"sizes": 3}, "example.sizes", "a list of"),
        ({"sizes": "ab"}, "example.sizes", "a list of"),
        ({"sizes": [1, 0]}, "example.sizes[1]", ">= 1"),
        ({"extra": {"x": "y"}}, "example.extra.x", "a number"),
        ({"extra": 3}, "example.extra", "a mapping"),
        ({"inner": {"rate": 1}}, "example.inner.rate", "< 1"),
        ({"inner": 3}, "example.inner", "a mapping"),
        ({"rat": 1}, "example.rat", "count, rate"),
        (3, "example", "a mapping"),
    ],
)
def test_a_problem_names_its_path_and_what_is_allowed(node: Any, path: str, words: str) -> None:
    (problem,) = problems_of(node)
    assert problem.path == path
    assert words in (problem.allowed or "")


def test_all_problems_come_at_once_with_the_nearest_name() -> None:
    problems = problems_of({"count": 0, "rat": 1, "flag": "yes", "inner": {"rate": 3}})
    assert [p.path for p in problems] == [
        "example.rat",
        "example.count",
        "example.flag",
        "example.inner.rate",
    ]
    assert "did you mean 'rate'?" in str(problems[0])


def test_a_section_checks_itself() -> None:
    (problem,) = problems_of({"count": 13})
    assert str(problem) == "example.count: brings no luck"


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["count", "rate", "inner", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["count", "rate", "flag", "name", "kind", "sizes", "extra", "inner", "x"]), plain
    )
    | plain
)
def test_no_input_makes_a_traceback_and_what_is_read_is_written_back(node: Any) -> None:
    problems: list[Problem] = []
    section = read(Example, node, "example", problems)
    assert (section is None) == bool(problems)
    if section is not None:
        again: list[Problem] = []
        assert read(Example, to_plain(section), "example", again) == section
        assert not again
