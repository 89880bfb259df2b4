"""Mutations of the files of a run: of bytes, types, nesting and sizes, and other things under their names.

They stand for damage by a disk, and for attacks.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import os
import random
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

_FILES = (
    *(
        "config.yaml",
        "result.json",
        "provenance.json",
        "metrics.jsonl",
        "best/model.json",
        "best/model.keras",
    ),
    *(
        "export/model.json",
        "export/model.keras",
        "best/saved_model/saved_model.pb",
        "best/saved_model/variables/variables.index",
    ),
    "best/saved_model/variables/variables.data-00000-of-00001",
    *("checkpoints/step-00000012/" + name for name in ("state.json", "manifest.json", "variables.npz")),
    *("averages/step-00000012/" + name for name in ("state.json", "manifest.json", "variables.npz")),
    "../jobs.jsonl",
)
_TYPED = (".json", ".jsonl", ".yaml")


@dataclass(frozen=True)
class Mutation:
    """One change to a run.

    Args:
        kind: the name of the changed file, or `new` for something in the folder of a new run.
        name: a description.
        apply: changes the run in a folder.
    """

    kind: str
    name: str
    apply: Callable[[Path], None]


def mutations(rng: random.Random, folder: Path) -> Iterator[Mutation]:
    """Yield mutations without end.

    Args:
        rng: determines the mutations.
        folder: the folder beside the runs that links can lead to.
    """
    while True:
        if rng.random() < 0.04:
            yield _new_run(rng)
            continue
        file = rng.choice(_FILES)
        kinds = [_bytes, _bytes, _thing]
        if file.endswith(_TYPED):
            kinds += [_types] * 6
        if file.endswith("variables.npz"):
            kinds += [_arrays] * 6
        if file.endswith(".keras"):
            kinds += [_members] * 6
        name, change = rng.choice(kinds)(random.Random(rng.random()), file)
        rechecked = rng.random() < 0.8
        yield Mutation(
            Path(file).name,
            f"{file}: {name}{', checksums mended' if rechecked else ''}",
            _applied(file, change, rechecked),
        )


def _applied(file: str, change: Callable[[Path], None], rechecked: bool) -> Callable[[Path], None]:
    def apply(run: Path) -> None:
        path = run / file
        if not path.exists():  # jobs.jsonl, for a run outside of a sweep
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # duplicate members are made on purpose
            change(path)
        if rechecked:
            _mend_checksums(run, path)

    return apply


def _mend_checksums(run: Path, path: Path) -> None:
    """Recompute checksums, like somebody who damages a file on purpose."""
    if not path.is_file() or path.is_symlink() or path.stat().st_size > 2**24:
        return
    if path.name in ("state.json", "variables.npz"):
        manifest = json.loads((path.parent / "manifest.json").read_text())
        content = path.read_bytes()
        manifest["files"][path.name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (path.parent / "manifest.json").write_text(json.dumps(manifest))
    elif path.name == "config.yaml":
        text = path.read_bytes()
        path.write_bytes(b"".join(line for line in text.splitlines(True) if not line.startswith(b"# sha256")))
        (run / "checkpoints" / "config.yaml").write_bytes(path.read_bytes())
    elif path.name == "model.json":
        with contextlib.suppress(ValueError, RecursionError, AttributeError):
            facts = json.loads(path.read_text())
            facts.pop("sha256", None)
            path.write_text(json.dumps(facts))


# Bytes ------------------------------------------------------------------------------------------------------


def _bytes(rng: random.Random, file: str) -> tuple[str, Callable[[Path], None]]:
    kind = rng.choice(["flip", "flips", "truncate", "insert", "repeat", "empty", "zero", "noise"])

    def change(path: Path) -> None:
        content = bytearray(path.read_bytes())
        at = rng.randrange(len(content) or 1)
        if kind == "flip" and content:
            content[at] ^= 1 << rng.randrange(8)
        elif kind == "flips":
            for _ in range(rng.randrange(1, 50)):
                content[rng.randrange(len(content))] = rng.randrange(256)
        elif kind == "truncate":
            del content[at:]
        elif kind == "insert":
            content[at:at] = rng.randbytes(rng.randrange(1, 100))
        elif kind == "repeat":
            content *= rng.randrange(2, 5)
        elif kind == "zero":
            content[at : at + 100] = bytes(len(content[at : at + 100]))
        else:
            content = bytearray(b"" if kind == "empty" else rng.randbytes(rng.randrange(1, 1000)))
        path.write_bytes(content)

    return f"bytes ({kind})", change


# Other things of that name, and sizes -----------------------------------------------------------------------


def _thing(rng: random.Random, file: str) -> tuple[str, Callable[[Path], None]]:
    kind = rng.choice(["pipe", "link out", "link in", "link loop", "folder", "missing", "60 GB", "device"])

    def change(path: Path) -> None:
        outside = next(p for p in path.resolve().parents if p.name == "case") / "outside"
        if kind == "60 GB":
            os.truncate(path, 60 * 10**9)
            return
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "link out":
            path.symlink_to(outside / "mine.txt")
        elif kind == "link in":
            path.symlink_to("../config.yaml")
        elif kind == "link loop":
            path.symlink_to(path.name)
        elif kind == "folder":
            path.mkdir()
        elif kind == "device":
            path.symlink_to("/dev/zero")

    return kind, change


def _new_run(rng: random.Random) -> Mutation:
    kind = rng.choice(["link out", "link loop", "pipe", "hard link", "folder"])
    name = rng.choice(
        [
            ".lock",
            ".holder",
            "train.log",
            "checkpoints",
            "config.yaml",
            ".lav",
            ".config.yaml",
            "best",
            ".best.draft",
        ]
    )

    def apply(run: Path) -> None:
        path, mine = run / name, run.parent / "outside" / "mine.txt"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "hard link":
            os.link(mine, path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to(mine if kind == "link out" else path.name)

    return Mutation("new", f"{name}: {kind} in a new folder", apply)


# Types ------------------------------------------------------------------------------------------------------

_DEEP_JSON = "@deep@"
_STRANGE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        5,
        10**6,
        2**31,
        2**63,
        10**30,
        10**400,
        0.5,
        -0.5,
        1e308,
        float("nan"),
        float("inf"),
    ),
    *(
        "",
        "abc",
        "../x",
        "/elsewhere",
        "\0",
        "\ud800",
        "x" * 100_000,
        "${oc.env:HOME}",
        "null",
        "1",
        "nan",
        "%s%n{0}",
    ),
    *([], [1], [[]], [None], ["a", 1], {}, {"a": 1}, {"": None}, {"a": {"b": {}}}, [{}] * 10, ["x"] * 5000),
    _DEEP_JSON,
)
_BOMB = "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else ', '.join(['lol'] * 9)}]\n" for i in range(30)
)


def _types(rng: random.Random, file: str) -> tuple[str, Callable[[Path], None]]:
    if file.endswith(".yaml") and rng.random() < 0.15:
        kind = rng.choice(["bomb", "deep flow", "deep block", "long scalar", "tag"])

        def append(path: Path) -> None:
            extra = {
                "bomb": _BOMB,
                "deep flow": "x: " + "[" * 50_000,
                "deep block": "".join(" " * i + f"k{i}:\n" for i in range(1500)),
                "long scalar": "x: " + "1:" * 500_000 + "1\n",
                "tag": "x: !!"
                + rng.choice(
                    ["set {a}", "omap [a: 1]", "timestamp 2001-99-99", "binary zzz", "python/none", "float x"]
                ),
            }
            path.write_text(path.read_text() + "\n" + extra[kind])

        return kind, append

    times, place = rng.choice([1, 1, 1, 2, 5]), rng.random()
    strange = [rng.choice(_STRANGE) for _ in range(times)]
    seed = rng.random()

    def change(path: Path) -> None:
        own = random.Random(seed)
        text = path.read_text()
        if path.suffix == ".jsonl":
            lines = text.splitlines()
            at = int(place * len(lines))
            lines[at] = _changed_json(own, json.loads(lines[at]), strange)
            path.write_text("\n".join(lines) + "\n")
        elif path.suffix == ".yaml":
            plain = yaml.safe_load(text)
            for value in strange:
                plain = _replaced(own, plain, "abc" if value == _DEEP_JSON else value)
            path.write_text(text[: text.index("format:")] + _yaml(plain), errors="backslashreplace")
        else:
            path.write_text(_changed_json(own, json.loads(text), strange))

    return f"types ({', '.join(repr(value)[:40] for value in strange)})", change


def _yaml(plain: Any) -> str:
    return yaml.safe_dump(plain, sort_keys=False)


def _changed_json(rng: random.Random, node: Any, strange: list[Any]) -> str:
    for value in strange:
        node = _replaced(rng, node, value)
    deep = rng.choice([60, 900, 100_000])
    return json.dumps(node).replace(f'"{_DEEP_JSON}"', "[" * deep + "]" * deep)


def _replaced(rng: random.Random, node: Any, value: Any) -> Any:
    """Return a copy with one value, at any depth, replaced, removed, or accompanied by another."""
    node = copy.deepcopy(node)
    here: Any = node
    parent: Any = None
    key: Any = None
    while isinstance(here, dict | list) and here and (parent is None or rng.random() < 0.75):
        parent, key = here, rng.choice(list(here)) if isinstance(here, dict) else rng.randrange(len(here))
        here = here[key]
    if parent is None:
        return value
    action = rng.random()
    if action < 0.15:
        del parent[key]
    elif action < 0.25 and isinstance(parent, dict):
        parent[rng.choice(["more", "", "step", "x" * 1000])] = value
    else:
        parent[key] = value
    return node


# Archives ---------------------------------------------------------------------------------------------------


def _arrays(rng: random.Random, file: str) -> tuple[str, Callable[[Path], None]]:
    kind = rng.choice(
        [
            "header",
            "deflate",
            "bomb",
            "twice",
            "object",
            "shape",
            "dtype",
            "missing",
            "more",
            "header text",
            "values",
        ]
    )

    def change(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
        at = rng.randrange(len(members))
        name, content = members[at]
        array = np.load(io.BytesIO(content))
        compression = zipfile.ZIP_DEFLATED if kind in ("deflate", "bomb") else zipfile.ZIP_STORED
        if kind == "header":
            content = _npy({"descr": "<f4", "fortran_order": False, "shape": (10**12,)}) + b"0000"
        elif kind == "header text":
            content = _npy(rng.choice(["(" * 2000, "{" * 500, "1" * 5000, "{'descr': '<f4'}", "a" * 60_000]))
        elif kind == "bomb":
            content = _npy({"descr": "<f4", "fortran_order": False, "shape": (2**24,)}) + bytes(2**26)
        elif kind == "object":
            content = _npy({"descr": "|O", "fortran_order": False, "shape": (1,)}) + b"cos\nsystem\n"
        elif kind == "shape":
            content = _saved(np.zeros(rng.choice([(), (0,), (1, 2, 3), (16, 17)]), array.dtype))
        elif kind == "dtype":
            content = _saved(array.astype(rng.choice(["float64", "int8", "S3", "complex64", ">f4"])))
        elif kind == "values":
            content = _saved(
                np.full_like(
                    array,
                    rng.choice([0, 1]) if array.dtype.kind in "iub" else rng.choice([np.nan, np.inf, 1e38]),
                )
            )
        members[at] = (name, content)
        if kind == "missing":
            del members[at]
        if kind == "twice":
            members.append((name, content))
        if kind == "more":
            members.append(("../more.npy", content))
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in members:
                archive.writestr(name, content)

    return f"arrays ({kind})", change


def _saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _npy(header: Any) -> bytes:
    text = (header if isinstance(header, str) else repr(header)).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _members(rng: random.Random, file: str) -> tuple[str, Callable[[Path], None]]:
    kind = rng.choice(
        ["config", "config", "config", "metadata", "weights", "bomb", "missing", "twice", "deep"]
    )
    strange = [rng.choice(_STRANGE) for _ in range(rng.choice([1, 2]))]

    def change(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        compression = zipfile.ZIP_STORED
        if kind in ("config", "metadata"):
            members[f"{kind}.json"] = _changed_json(
                rng, json.loads(members[f"{kind}.json"]), strange
            ).encode()
        elif kind == "deep":
            members["config.json"] = b"[" * 100_000
        elif kind == "weights":
            weights = bytearray(members["model.weights.h5"])
            for _ in range(rng.randrange(1, 30)):
                weights[rng.randrange(len(weights))] = rng.randrange(256)
            members["model.weights.h5"] = bytes(weights)
        elif kind == "bomb":
            members["model.weights.h5"], compression = (
                members["model.weights.h5"] + bytes(2**28),
                zipfile.ZIP_DEFLATED,
            )
        elif kind == "missing":
            del members[rng.choice(sorted(members))]
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
            if kind == "twice":
                archive.writestr("config.json", b"{}")

    return f"members ({kind}{', ' + repr(strange)[:60] if kind in ('config', 'metadata') else ''})", change
