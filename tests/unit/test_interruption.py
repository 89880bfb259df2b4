"""Signals: the first asks, the second ends."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

CODE = """
import sys, time
from framework.errors import Interrupted
from framework.interruption import Interruption
interruption = Interruption()
with interruption.listening():
    print("listening", flush=True)
    while True:
        time.sleep(0.01)
        try:
            interruption.check()
        except Interrupted as error:
            if "wait" not in sys.argv:
                sys.exit(error.exit_code)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("words", [[], ["wait"]])
def test_one_signal_asks_and_a_second_one_ends(number: signal.Signals, code: int, words: list[str]) -> None:
    process = subprocess.Popen([sys.executable, "-c", CODE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "listening\n"
    process.send_signal(number)
    if words:
        process.stderr.readline()
        assert "saving" in process.stderr.readline(), "the first is noted"
        process.send_signal(number)
    assert process.wait(timeout=30) == code
