"""Streams that cannot be written."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console as RichConsole

from framework.run.console import Console
from framework.run.output import Output, OutputLost, end_command, note_lost


def test_a_full_disk_is_told_once_and_written_to_when_there_is_room(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "out"
    with open("/dev/full", "w") as full:
        stream = Output(full, lambda name, error: said.append(f"{name}: {error.strerror}"))
        for _ in range(3):
            stream.write("text")
            stream.flush()
        assert said == ["/dev/full: No space left on device"]
        with open(path, "w") as file:
            os.dup2(file.fileno(), full.fileno())
        stream.write(" more")
        stream.flush()
        assert path.read_text().endswith("more")


def test_a_reader_that_has_gone_ends_a_command_that_wants_that() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:
        stream = Output(pipe, end_command)
        stream.write("text")
        with pytest.raises(OutputLost) as caught:
            stream.flush()
        assert caught.value.broken_pipe
        stream.flush()
        stream.finish()


def test_what_an_encoding_lacks_is_escaped() -> None:
    held = io.BytesIO()
    stream = Output(io.TextIOWrapper(held, "ascii"), note_lost)
    stream.write("café")
    stream.flush()
    assert held.getvalue() == b"caf\\xe9"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_console_that_cannot_be_written_raises_nothing(terminal: bool) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:
        rich = RichConsole(file=pipe, force_terminal=terminal)
        console = Console(rich, progress_interval=0)
        with console.show_progress("epoch 1/1", done=0, total=2, after=0, step_size=8, metrics=dict) as bar:
            bar.advance(1)
        console.print("a line")
        console.print_table("a table", ("a", "b"), [(1, 2)])
        rich.file.finish()  # type: ignore[attr-defined]
