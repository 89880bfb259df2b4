"""Words of the command line to a typed config: all problems at once, and no way around the types."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from framework.config.compose import compose_config, conf_directory
from framework.config.resume import apply_overrides
from framework.config.run_config import parse
from framework.config.schema import to_plain
from framework.config.sections import SECTIONS, SHORT_FORMS, RunConfig
from framework.errors import ConfigError
from framework.optim.optimizers import SGD
from tests.conftest import TOY

TOY_CONF = TOY / "conf"


@pytest.fixture(autouse=True)
def toy_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOY))


def paths_of(*words: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compose_config(words, config_dir=TOY_CONF)
    return [problem.path for problem in caught.value.problems]


def compose_toy(*words: str) -> RunConfig:
    return compose_config(["scenario=toy", *words], config_dir=TOY_CONF)


def test_the_groups_compose_into_typed_sections() -> None:
    config = compose_config(
        ["scenario=mesonet", "optimizer=sgd", "lr=1e-2", "optimizer.momentum=0.9", "epochs=3"]
    )
    assert config.scenario.name == "mesonet"
    assert config.optimizer == SGD(momentum=0.9)
    assert (config.learning_rate.lr, config.trainer.epochs, config.data.batch_size) == (0.01, 3, 32)
    model, data = to_plain(config.model), to_plain(config.data)
    assert model["name"] == "meso4"
    assert model["image_size"] == data["image_size"]


@pytest.mark.parametrize("short", sorted(SHORT_FORMS))
def test_each_short_form_is_what_its_long_form_refers_to(short: str) -> None:
    value = {"lr": 0.5, "output_dir": "here", "trial_run": True}.get(short, 7)
    plain = compose_toy(f"{short}={value}").to_plain()
    section, key = SHORT_FORMS[short].split(".")
    assert plain[section][key] == value


def test_all_problems_come_in_one_message() -> None:
    words = [
        "scenario=toy",
        "optimizer=adamm",
        "lr=abc",
        "epochz=3",
        "+new=1",
        "trainer.val_every_n=-1",
        "scenario.sampels=4",
    ]
    assert sorted(paths_of(*words)) == sorted(
        ["optimizer", "lr (learning_rate.lr)", "epochz", "new", "trainer.val_every_n", "scenario.sampels"]
    )


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["scenario=toi"], "scenario"),
        ([], "scenario"),
        (["scenario=toy", "loop=nosuch"], "loop"),
        (["scenario=toy", "loop.name=nosuch"], "loop"),
        (["scenario=toy", "lr=1,2"], "lr"),
        (["scenario=toy", "rubbish"], "rubbish"),
        (["scenario=toy", "a=[1"], "a=[1"),
        (["scenario=toy", "epochs=3", "trainer.epochs=4"], "trainer.epochs"),
        (["scenario=toy", "epochs=2.5"], "epochs (trainer.epochs)"),
        (["scenario=toy", "trainer=3"], "trainer"),
        (["scenario=toy", "scenario.target=toy:Nothing"], "scenario.target"),
        (["scenario=toy", "scenario.target=nosuch:Toy"], "scenario.target"),
        (["scenario=toy", "scenario.target=os:getcwd"], "scenario.target"),
        (["scenario=toy", "scenario.target=json"], "scenario.target"),
        (["scenario=toy", "device.jit_compile=true"], "device.jit_compile"),
        (["scenario=mesonet", "model.image_size=64"], "model.image_size"),
    ],
)
def test_a_wrong_word_is_answered_at_its_path(words: list[str], path: str) -> None:
    assert paths_of(*words) == [path]


@pytest.mark.parametrize(
    ("words", "path", "said"),
    [
        (["scenario=[toy,mesonet]"], "scenario", "must be the name of one option"),
        (["scenario=[toy]"], "scenario", "must be the name of one option"),
        (["scenario=null"], "scenario", "must be the name of one option"),
        (
            ["scenario=toy", "scenario=mesonet"],
            "scenario",
            "is given as 'scenario=toy' and as 'scenario=mesonet'",
        ),
        (["scenario=toy", "lr=1", "lr=2"], "learning_rate.lr", "is given as 'lr=1' and as 'lr=2'"),
        (
            ["scenario=toy", "+lr=1", "learning_rate.lr=2"],
            "learning_rate.lr",
            "lr is short for learning_rate.lr",
        ),
        (["scenario=toy", "optimizer=adam", "optimizer=sgd"], "optimizer", "leave one of them out"),
        (
            ["scenario=toy", "trainer={epochs: 3}", "epochs=4"],
            "trainer.epochs",
            "must be given once, and is given as 'trainer={epochs: 3}'",
        ),
        (["scenario=toy", "optimizer={name: sgd}"], "optimizer", "set values with optimizer.SETTING=VALUE"),
        (["scenario=toy", "optimizer=null"], "optimizer", "leave the override out for the default"),
        (["scenario=toy", "trainer=null"], "trainer", "leave it out for the defaults"),
        (
            ["scenario=toy", "experiment=[lenet_best,reuters_best]"],
            "experiment",
            "must be the name of one option",
        ),
        (["scenario=toy", "~trainer"], "~trainer", "nothing can be taken out"),
        (["scenario=toy", "~optimizer.lr"], "~optimizer.lr", "nothing can be taken out"),
        (["scenario=toy", "optimizer@x=sgd"], "optimizer@x", "write optimizer=NAME"),
        (["scenario=toy", "=1"], "=1", "it has no key"),
        (["scenario=toy", "output_dir="], "output_dir", "must name a folder"),
        (["scenario=toy", "hydra.run.dir=x"], "hydra.run.dir", "output_dir=FOLDER"),
        (["scenario=toy", "hydra.sweep.dir=x"], "hydra.sweep.dir", "output_dir=FOLDER"),
        (["scenario=toy", "hydra.sweep.subdir=x"], "hydra.sweep.subdir", "output_dir=FOLDER"),
        (["scenario=toy", "hydra={run: {dir: x}}"], "hydra.run.dir", "output_dir=FOLDER"),
        (["scenario=toy", "hydra.job.chdir=true"], "hydra.job.chdir", "output_dir=FOLDER"),
        (["scenario=toy", "hydra.mode=MULTIRUN"], "hydra.mode", "--multirun"),
        (["scenario=toy", "hydra/sweeper=optuna"], "hydra/sweeper", "--multirun"),
        (["scenario=toy", "lr=${oc.env:NO_SUCH_NAME}"], "lr", "'NO_SUCH_NAME' is not set"),
    ],
)
def test_what_would_have_another_effect_than_it_says_is_refused(
    words: list[str], path: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_config(words, config_dir=TOY_CONF)
    (problem,) = caught.value.problems
    assert problem.path == path
    assert said in str(problem)


def test_a_plus_before_a_word_means_the_same_word() -> None:
    words = ["experiment=lenet_best", "scenario=lenet", "data.dir=x", "lr=0.5"]
    assert compose_config([f"+{word}" for word in words]) == compose_config(words)


def test_a_section_that_is_typed_as_a_mapping_leaves_the_rest_of_it() -> None:
    config = compose_toy("trainer={epochs: 3, val_every_n: 2}", "trainer.keep_checkpoints=7")
    assert (config.trainer.epochs, config.trainer.val_every_n, config.trainer.keep_checkpoints) == (3, 2, 7)
    changed = parse(apply_overrides(config.to_plain(), ["trainer={epochs: 5}"]))
    assert (changed.trainer.epochs, changed.trainer.val_every_n, changed.trainer.keep_checkpoints) == (
        5,
        2,
        7,
    )


def test_a_near_name_is_offered() -> None:
    with pytest.raises(ConfigError, match="did you mean 'adam'") as caught:
        compose_toy("optimizer=adamm")
    assert "adamw" in str(caught.value)


WORDS = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.builds(
            "{}{}={}".format,
            st.sampled_from(["", "+", "++", "~"]),
            st.sampled_from(
                [
                    "lr",
                    "epochs",
                    "optimizer",
                    "optimizer.beta_1",
                    "trainer",
                    "data",
                    "model",
                    "scenario.name",
                    "x.y",
                    "hydra",
                ]
            ),
            st.sampled_from(
                [
                    "1",
                    "-1",
                    "abc",
                    "null",
                    "[1,2]",
                    "{a: 1}",
                    "sgd",
                    "${lr}",
                    "${nosuch}",
                    "'",
                    "",
                    "nan",
                    "1e400",
                ]
            ),
        ),
    ),
    max_size=4,
)


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(words=WORDS)
def test_no_words_make_a_traceback(words: list[str]) -> None:
    try:
        config = compose_config(["scenario=toy", *words], config_dir=TOY_CONF)
    except ConfigError as error:
        assert error.problems
    else:
        assert parse(config.to_plain()) == config


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 3000 + "]" * 3000])
def test_a_word_that_python_cannot_read_is_answered_in_short(value: str) -> None:
    with pytest.raises(ConfigError, match="must be an override") as caught:
        compose_config(["scenario=toy", f"epochs={value}"], config_dir=TOY_CONF)
    assert len(str(caught.value)) < 2000


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["toy", "toy:Toy", "adam", "a:b"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=4,
)


@functools.cache
def toy_config() -> RunConfig:
    return compose_toy()


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_values_make_a_traceback(data: st.DataObject) -> None:
    """A config.yaml with anything in the place of one of its values, or with something missing, or something
    more."""
    plain: Any = toy_config().to_plain()
    node = plain
    while True:
        key = data.draw(st.sampled_from(sorted(node)))
        if not isinstance(node[key], dict) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    change = data.draw(st.sampled_from(["replace", "remove", "add"]))
    if change == "remove":
        del node[key]
    else:
        node[key if change == "replace" else data.draw(st.text(max_size=5) | st.integers())] = data.draw(JUNK)
    try:
        config = parse(plain)
    except ConfigError as error:
        assert all(str(problem) for problem in error.problems)
    else:
        assert parse(yaml.safe_load(yaml.safe_dump(config.to_plain()))) == config


def test_a_config_survives_its_yaml() -> None:
    config = compose_config(["scenario=mesonet", "lr=1e-5", "optimizer=adamw", "optimizer.weight_decay=1e-4"])
    assert parse(yaml.safe_load(yaml.safe_dump(config.to_plain()))) == config


def test_words_change_a_run_that_exists() -> None:
    plain = compose_toy("lr=0.5").to_plain()
    changed = parse(
        apply_overrides(
            plain, ["epochs=60", "trainer.val_every_n=2", "optimizer=sgd", "learning_rate=cosine_decay"]
        )
    )
    assert (changed.trainer.epochs, changed.trainer.val_every_n) == (60, 2)
    assert (changed.optimizer.name, changed.learning_rate.name) == ("sgd", "cosine_decay")
    assert changed.learning_rate.lr == 0.5, "another schedule keeps the run's own lr"
    assert plain["trainer"]["epochs"] == 4, "the given values are left alone"


@pytest.mark.parametrize(
    "words",
    [
        *[
            ["scenario=mesonet"],
            ["optimizer=nosuch"],
            ["rubbish"],
            ["~trainer"],
            ["optimizer=null"],
            ["optimizer=[sgd,adam]"],
        ],
        *[
            ["epochs=3", "epochs=4"],
            ["epochs=3", "trainer.epochs=4"],
            ["hydra.run.dir=x"],
            ["optimizer={name: sgd}"],
        ],
    ],
)
def test_words_that_cannot_change_a_run_are_answered(words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(apply_overrides(compose_toy().to_plain(), words))
    assert len(caught.value.problems) == 1


_OF_SCENARIO = {
    "lenet": ("lenet5", "digits", "mnist"),
    "reuters": ("text_cnn", "wide_text_cnn", "text_files"),
}


def shipped(group: str) -> list[Path]:
    return sorted((conf_directory() / group).glob("*.yaml"))


@pytest.mark.parametrize(
    "path",
    [p for g in (*SECTIONS, "experiment") if g != "trainer" for p in shipped(g)],
    ids=lambda p: f"{p.parent.name}/{p.stem}",
)
def test_each_shipped_option_composes(path: Path) -> None:
    group, option = path.parent.name, path.stem
    scenario = next((name for name, options in _OF_SCENARIO.items() if option in options), "mesonet")
    words = [f"scenario={option}"] if group == "scenario" else [f"scenario={scenario}", f"{group}={option}"]
    words = [f"experiment={option}"] if group == "experiment" else words
    if (group, option) == ("scenario", "module"):
        words += ["scenario.target=scenarios.lenet.scenario:LeNet", "model=lenet5", "data=digits"]
    if (group, option) == ("data", "image_folder"):
        words.append("data.train_dir=faces")
    compose_config(words)
