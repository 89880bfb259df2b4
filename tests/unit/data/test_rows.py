"""Files of rows: each kind gives the same, and what cannot be read is named."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from framework.data.rows import check_rows, read_rows
from framework.errors import DataError

ROWS = [
    {"text": "zwölf, 名前", "label": "a"},
    {"text": 'two\nlines, "quoted"', "label": "b"},
    {"text": "", "label": "c"},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as a file of the kind that its name says."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if kind in ("csv", "tsv"):

        def quoted(cell: Any) -> str:
            return '"' + str(cell).replace('"', '""') + '"'

        lines = [list(rows[0]), *(list(row.values()) for row in rows)]
        content = "\n".join(("\t" if kind == "tsv" else ",").join(map(quoted, line)) for line in lines)
    else:
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(
        gzip.compress(content.encode(), mtime=0) if path.name.endswith(".gz") else content.encode()
    )
    return path


def cells_of(path: Path) -> list[Any]:
    return [dict(row.cells) for row in read_rows(path)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.ndjson.gz", "a.csv", "a.csv.gz", "a.tsv", "A.TSV"])
def test_each_kind_of_file_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ROWS)
    assert cells_of(path) == ROWS
    assert [row.name for row in read_rows(path)] == [f"{path}:{n}" for n in (1, 2, 3)]
    assert not any(row.problem for row in read_rows(str(path)))


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbftext,label\r\na,b\r\n\r\nc,d\r\n", b"text,label\na,b\n\n\nc,d"]
)
def test_a_byte_order_mark_line_ends_and_empty_lines_do_not_matter(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    (tmp_path / "a.jsonl").write_bytes(
        b'\xef\xbb\xbf{"text": "a", "label": "b"}\r\n\r\n{"text": "c", "label": "d"}'
    )
    for name in ("a.csv", "a.jsonl"):
        assert cells_of(tmp_path / name) == [{"text": "a", "label": "b"}, {"text": "c", "label": "d"}]
    assert [row.name for row in read_rows(tmp_path / "a.csv")] == [
        f"{tmp_path}/a.csv:1",
        f"{tmp_path}/a.csv:2",
    ]


def test_json_keeps_what_it_knows_and_characters_that_end_lines_elsewhere(tmp_path: Path) -> None:
    rows = [{"text": "a\u2028b\x85c", "number": 1.5, "none": None, "list": [1]}]
    assert cells_of(write(tmp_path / "a.jsonl", rows)) == rows


def test_a_cell_may_be_long(tmp_path: Path) -> None:
    import csv

    before = csv.field_size_limit()
    assert len(cells_of(write(tmp_path / "a.csv", [{"text": "x" * 300_000}]))[0]["text"]) == 300_000
    assert csv.field_size_limit() == before


def test_rows_that_cannot_be_read_are_among_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,b\nc\nd,e,f\n")
    problems = [row.problem for row in read_rows(tmp_path / "a.csv")]
    assert problems[:2] == [None, "has 1 cells, where the head line has 2"]
    assert problems[2] is not None and "has 3 cells" in problems[2] and "quotes" in problems[2]
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": \n[1]\n' + "[" * 100_000 + "\n")
    problems = [row.problem for row in read_rows(tmp_path / "a.jsonl")]
    assert problems[0] is None
    assert [problem and problem.startswith("must be") and "JSON" in problem for problem in problems[1:]] == [
        True
    ] * 3


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", None, r"cannot read .*a\.csv: No such file"),
        ("a.txt", b"text", r"cannot tell the kind of .*a\.txt(.|\n)*\.jsonl"),
        ("a.csv", b"", "has no rows"),
        ("a.csv", b"text,label\n", "has no rows"),
        ("a.jsonl", b"\n \n", "has no rows"),
        ("a.csv", b"text,label,text\na,b,c\n", "the head line has 'text' twice"),
        ("a.csv", b"text\n\xff\xfe\n", "cannot read .*utf-8(.|\n)*in UTF-8"),
        ("a.csv.gz", b"no gzip", "cannot read"),
        ("a.csv.gz", gzip.compress(b"text\n" + bytes(range(99)).hex().encode(), mtime=0)[:60], "cannot read"),
        ("a.csv.gz", gzip.compress(b"text\na\n", mtime=0)[:10] + b"\xff" * 20, "cannot read"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_rows(tmp_path / name)


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [{"text": "one"}])
    first = read_rows(path)
    assert read_rows(path) is first
    write(path, [{"text": "two"}])
    os.utime(path, ns=(0, 0))
    assert cells_of(path) == [{"text": "two"}]


def test_columns_that_are_not_there_are_named_with_what_was_meant(tmp_path: Path) -> None:
    rows = read_rows(
        write(
            tmp_path / "a.jsonl",
            [{"text": "a", "label": 3}, {"text": "a", "lable": "b"}, {"text": [1], "label": "b"}],
        )
    )
    columns = {"text": "data.text", "label": "data.label"}
    check_rows(rows[:1], columns, texts=columns)
    with pytest.raises(DataError) as caught:
        check_rows(rows, columns, texts=columns)
    assert str(caught.value).splitlines() == [
        "2 of 3 rows cannot be used:",
        f"    {tmp_path}/a.jsonl:2: has no 'label'; it has 'text', 'lable'",
        f"    {tmp_path}/a.jsonl:3: its 'text' is [1], which is not a text",
        "    hint:    data.text and data.label name the columns; did you mean 'lable'?",
    ]
    check_rows([rows[0], *rows[2:]], columns)  # where any value will do


def test_half_a_character_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "\\ud83d"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:1: its 'text' .*surrogate"):
        check_rows(read_rows(tmp_path / "a.jsonl"), {"text": "data.text"}, texts=["text"])


def test_many_columns_and_many_rows_make_a_short_message(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path / "a.csv", [{f"column{i}": i for i in range(50)}] * 30))
    with pytest.raises(DataError) as caught:
        check_rows(rows, {"target": "data.target"})
    message = str(caught.value)
    assert "30 of 30 rows" in message
    assert "'column19', and 30 more" in message
    assert "and 20 more" in message
    assert "data.target names the column" in message
