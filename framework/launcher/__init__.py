"""Where the installed commands start: a package that is installed as `tf_scenarios`, a name of its own, which
can tell that another `framework` hides ours."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys


def _start(module: str) -> None:
    found = importlib.util.find_spec("framework")
    # In a checkout this folder is a part of the package; in a wheel it lies beside it.
    beside = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    inside = os.path.join(beside, "__init__.py")
    ours = inside if os.path.exists(inside) else os.path.join(beside, "framework", "__init__.py")
    if found is None or os.path.realpath(found.origin or "") != ours:
        place = found and (found.origin or next(iter(found.submodule_search_locations or ()), None))
        sys.exit(
            f"Python finds the package 'framework' in {place}, which hides that of tf-scenarios\n"
            "    hint:    give it another name, or take its folder off PYTHONPATH"
            if place
            else "the package 'framework' of tf-scenarios is not where it was installed, "
            f"{os.path.dirname(ours)}\n"
            "    hint:    install tf-scenarios again"
        )
    importlib.import_module(f"framework.cli.{module}").main()


train_scenario = functools.partial(_start, "train")
resume_training = functools.partial(_start, "resume")
load_and_validate = functools.partial(_start, "lav")
ema_weights = functools.partial(_start, "weights")
predict_scenario = functools.partial(_start, "predict")
benchmark_input_pipeline = functools.partial(_start, "benchmark")
validate_data = functools.partial(_start, "validate_data")
check_scenario = functools.partial(_start, "check_scenario")
new_scenario = functools.partial(_start, "new_scenario")
explain_prediction = functools.partial(_start, "explain")
report_run = functools.partial(_start, "report")
