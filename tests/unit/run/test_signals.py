"""Signals: the first asks, the second ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from framework.run import signals
from framework.run.signals import Interruption

CODE = """
import sys, time
from framework.errors import Interrupted
from framework.run.signals import Interruption
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
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "listening\n"
    process.send_signal(number)
    if words:
        process.stderr.readline()
        assert "saving" in process.stderr.readline(), "the first is noted"
        time.sleep(signals.ECHO)
        process.send_signal(number)
    assert process.wait(timeout=30) == code


HANGS = """
import ctypes, os, sys
import framework.run.signals
from framework.run.signals import Interruption
framework.run.signals._PATIENCE = float(sys.argv[1])
mutex = ctypes.create_string_buffer(128)
lock = ctypes.CDLL(None).pthread_mutex_lock
with Interruption().listening(lambda number: print("given up on", number, flush=True)):
    print("listening", flush=True)
    lock(mutex)
    lock(mutex)  # waits for itself, in native code, where no handler of Python's can run
"""


def hanging(patience: float) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", HANGS, str(patience)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "listening\n"
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_hangs_in_native_code_is_ended(number: signal.Signals, code: int) -> None:
    process = hanging(patience=0.2)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert output == f"given up on {int(number)}\n"
    assert "hangs" in errors


def test_a_second_signal_ends_a_run_that_hangs() -> None:
    process = hanging(patience=1000)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    process.stderr.readline()
    assert "saving" in process.stderr.readline()
    time.sleep(signals.ECHO)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130


SAVES = """
import time
from framework.errors import Interrupted
from framework.run.signals import Interruption
interruption = Interruption()
with interruption.listening():
    print("listening", flush=True)
    while True:
        time.sleep(0.01)
        try:
            interruption.check()
        except Interrupted:
            time.sleep(1)
            print("saved", flush=True)
            break
"""


def test_one_signal_that_arrives_more_than_once_is_one() -> None:
    """A sweep that is killed tells its job so once for each of its threads; Ctrl-C comes from the terminal
    and from the sweep."""
    process = subprocess.Popen(
        [sys.executable, "-c", SAVES], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "listening\n"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
        process.send_signal(number)
        time.sleep(0.05)
    output, errors = process.communicate(timeout=30)
    assert output == "saved\n", errors
    assert errors.count("saving") == 1


def test_listening_ends_without_a_trace() -> None:
    import threading

    before = signal.getsignal(signal.SIGTERM), threading.active_count()
    for _ in range(3):
        with Interruption().listening():
            assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), threading.active_count()) == before
