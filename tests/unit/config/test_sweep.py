"""The overrides of a sweep: what its sweeper is told, and its first job."""

from __future__ import annotations

import pytest

from framework.config.compose import compose_config
from framework.config.sweep import compose_sweep
from framework.errors import ConfigError


def test_a_sweeper_is_told_the_keys_as_they_were_typed() -> None:
    sweep = compose_sweep(
        [
            "scenario=mesonet",
            "lr=1e-3,1e-2",
            "optimizer.beta_1=0.8,0.9",
            "epochs=3",
            "warmstart.rename=[a],[b]",
        ]
    )
    assert list(sweep.overrides) == [
        *("scenario=mesonet", "lr=1e-3,1e-2", "optimizer.beta_1=0.8,0.9", "++epochs=3"),
        "warmstart.rename=[a],[b]",
    ]


def test_keys_that_only_some_jobs_have_are_forced_in() -> None:
    sweep = compose_sweep(["scenario=mesonet", "optimizer=sgd,momentum", "optimizer.nesterov=true,false"])
    assert sweep.overrides[-1] == "++optimizer.nesterov=true,false"
    assert "optimizer" not in sweep.defaults
    assert {"trainer", "data", "device", "lr"} <= set(sweep.defaults)


def test_of_swept_scenarios_only_what_they_share_is_told() -> None:
    sweep = compose_sweep(["scenario=lenet,reuters", "trainer.val_every_n=1,2"])
    assert {"scenario", "model", "data", "optimizer", "learning_rate", "loop"}.isdisjoint(sweep.defaults)
    assert sweep.overrides[-1] == "trainer.val_every_n=1,2"


@pytest.mark.parametrize(
    ("swept", "first"),
    [
        (["optimizer=glob(ada*)"], ["optimizer=adabelief"]),
        (["lr=range(1,3)", "optimizer=sgd,adam"], ["lr=1", "optimizer=sgd"]),
        (["lr=interval(0.5,1)"], ["lr=0.5"]),
        (["trainer.post_hoc_ema=[0.1],[]"], ["trainer.post_hoc_ema=[0.1]"]),
        (["trainer.no_train_scope='a,b',c"], ["trainer.no_train_scope='a,b'"]),
        (["experiment=lenet_best,reuters_best"], ["experiment=lenet_best"]),
    ],
)
def test_the_first_job_is_what_its_values_compose(swept: list[str], first: list[str]) -> None:
    chosen = [] if "experiment" in first[0] else ["scenario=lenet"]
    assert compose_sweep([*chosen, *swept]).first_job() == compose_config([*chosen, *first])


def test_where_the_runs_go_is_known_unless_it_is_swept() -> None:
    assert compose_sweep(["scenario=lenet", "output_dir=here", "lr=1,2"]).output_dir == "here"
    assert compose_sweep(["scenario=lenet", "trainer.output_dir=here", "lr=1,2"]).output_dir == "here"
    assert compose_sweep(["scenario=lenet", "output_dir=a,b"]).output_dir is None


def test_a_name_that_nothing_registers_is_answered_before_the_first_job() -> None:
    with pytest.raises(ConfigError, match="unknown loop"):
        compose_sweep(["scenario=lenet", "loop=custom,nosuch"])


def test_a_value_that_is_wrong_is_for_its_job_to_answer() -> None:
    sweep = compose_sweep(["scenario=lenet", "batch_size=1000000000,8"])
    with pytest.raises(ConfigError, match="out of range"):
        sweep.first_job()
