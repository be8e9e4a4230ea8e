"""A small real run of every study, and what can happen to its files."""

import io
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import repflow
from repflow.models import load
from repflow.store import Run

NEOX, MAMBA, GPT2 = (f"config:{family},layers=2,width=16" for family in ("pythia", "mamba2", "gpt2"))
TEXT: dict[str, Any] = {"context": 40, "examples": 4, "replicates": 40}
STUDIES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "flow": ([NEOX, MAMBA], {**TEXT, "calibration": 2, "permutations": 19}),
    "ablate": ([MAMBA], {**TEXT, "what": ["norm_reset"], "metrics": ["inter_token_cosine", "norm"]}),
    "attribute": (["saved"], {**TEXT, "schemes": ["config", "permuted"], "seeds": 1, "calibration": 2}),
    "dynamics": ([MAMBA], {**TEXT, "influence_tokens": 1}),
    "probe": (
        [GPT2],
        {
            "task": "kvpr", "context": 260, "examples": 8, "positions": 2, "items": 3, "keys": "hex4", "places": "last",
            "seeds": 1, "new_tokens": 2, "baseline": "none", "keep_features": True,
        },
    ),
}  # fmt: skip


def make(study: str, folder: Path) -> tuple[Path, list[str]]:
    """The run directory of a study, and the command line that makes it."""
    subjects, settings = STUDIES[study]
    if subjects == ["saved"]:
        subject = load(NEOX)
        subject.model.save_pretrained(folder / "model")
        subject.tokenizer.save_pretrained(folder / "model")
        subjects = [str(folder / "model")]
    run = getattr(repflow, study)(subjects, out=folder / "run", **settings)
    return run.directory, [study, *subjects, *_flags(settings), "--out", str(run.directory), "--no-report"]


def _flags(settings: dict[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        yield f"--{name.replace('_', '-')}"
        yield from [] if value is True else map(str, value if isinstance(value, list) else [value])


def content(run: Run) -> list[Any]:
    """Everything that a run holds, comparable."""
    frames = {name: run.table(name).to_json() for name in run.info["tables"]}
    drawn = {name: array.tobytes() for name, array in run.replicates.items()}
    folder = run.directory / "features"
    features = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}
    return [run.info, run.findings, frames, drawn, features]


def files_of(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _flipped(data: bytes) -> bytes:
    spoiled = bytearray(data)
    spoiled[random.Random(len(data)).randrange(len(data))] ^= 4
    return bytes(spoiled)


def _zeroed(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(min(16, len(data) - middle)) + data[middle + 16 :]


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "its first byte": lambda data: data[:1],
    "half": lambda data: data[: len(data) // 2],
    "without its last byte": lambda data: data[:-1],
    "with a line end": lambda data: data + b"\n",
    "twice": lambda data: data + data,
    "one bit": _flipped,
    "some zeros": _zeroed,
    "backwards": lambda data: data[::-1],
    "deep": lambda _: b"[" * 3_000,
}
"""The file with other bytes."""
PLACES: dict[str, Callable[[Path], object]] = {
    "gone": lambda _: None,
    "a folder": lambda path: path.mkdir(),
    "a link to nothing": lambda path: path.symlink_to(path.with_name("nothing")),
    "a pipe": os.mkfifo,
}
"""Something else in the place of the file."""


def restored(path: Path, data: bytes) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.write_bytes(data)


# What a run without checksums may hold.

VALUES: list[Any] = [None, True, 0, -1, 10**400, 1e308, "x", "", [], [None], [[]], {}, {"a": {"b": [1]}}]
"""In place of any value of a JSON file."""


def json_mutations(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Every entry at the top with other values, and gone; and NaN, and depth."""
    known = json.loads(data)
    names = list(known) if isinstance(known, dict) else range(len(known))
    for turn, name in enumerate(names):
        for value in VALUES[turn % 2 :: 2]:
            changed = dict(known) if isinstance(known, dict) else list(known)
            changed[name] = value
            yield f"{name} is {str(value)[:20]}", json.dumps(changed).encode()
    if isinstance(known, dict):
        for name in known:
            yield f"without {name}", json.dumps({key: known[key] for key in known if key != name}).encode()
    yield "NaN", data.replace(b"{", b'{"x": NaN, ', 1)
    yield "deep", b'{"format": "repflow run", "x": ' + b"[" * 3_000 + b"]" * 3_000 + b"}"


def entry_mutations(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Entries of the first subject, task and finding with other values."""
    known = json.loads(data)
    lists = {name: known[name] for name in ("subjects", "tasks") if known.get(name)} if isinstance(known, dict) else {}
    for where, entries in lists.items():
        for turn, name in enumerate(entries[0]):
            value = VALUES[turn % len(VALUES)]
            changed = {**known, where: [{**entries[0], name: value}, *entries[1:]]}
            yield f"{where}[0].{name} is {str(value)[:20]}", json.dumps(changed).encode()


def _written(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def table_mutations(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The table with other columns, types and numbers."""
    table = pq.read_table(io.BytesIO(data))
    names = table.column_names
    numbers = [f.name for f in table.schema if pa.types.is_floating(f.type)]
    texts = [f.name for f in table.schema if pa.types.is_string(f.type)]
    whole = [f.name for f in table.schema if pa.types.is_integer(f.type)]

    def put(name: str, values: Any) -> bytes:
        return _written(table.set_column(names.index(name), name, pa.array(values)))

    n = len(table)
    yield "a column gone", _written(table.drop_columns([names[0]]))
    yield "the last column gone", _written(table.drop_columns([names[-1]]))
    yield "a column more", _written(table.append_column("=extra", pa.array(["x"] * n)))
    yield "no rows", _written(table.slice(0, 0))
    yield "the first row alone", _written(table.slice(0, 1))
    yield "all rows twice", _written(pa.concat_tables([table, table]))
    yield "no columns", _written(pa.table({}))
    yield "columns turned round", _written(table.select(names[::-1]))
    yield "texts as numbers", put(texts[0], list(range(n)))
    yield "unknown names", put(texts[0], ["nobody"] * n)
    yield "a text missing", put(texts[-1], [None, *table[texts[-1]].to_pylist()[1:]])
    yield "empty texts", put(texts[-1], [""] * n)
    if numbers:
        yield "numbers as texts", put(numbers[0], ["x"] * n)
        yield "no numbers", put(numbers[-1], [None] * n)
        for value in (np.nan, np.inf, -np.inf, 1e308, -1e-308):
            yield f"{value}", put(numbers[0], [value] * n)
        yield "lists", put(numbers[0], [[0.5]] * n)
    if whole:
        for value in (-1, 0, 2**62):
            yield f"{whole[0]} is {value}", put(whole[0], [value] * n)
        yield "whole numbers as texts", put(whole[0], ["x"] * n)


def replicate_mutations(data: bytes) -> Iterator[tuple[str, bytes]]:
    from safetensors.numpy import load as read
    from safetensors.numpy import save

    arrays = read(data)
    name = next(iter(arrays))
    array = arrays[name]
    yield "a row less", save({**arrays, name: array[1:].copy()})
    yield "one number", save({**arrays, name: np.array(0.5, np.float32)})
    yield "flat", save({**arrays, name: array.ravel().copy()})
    yield "no columns", save({**arrays, name: array[:, :0].copy()})
    yield "one column", save({**arrays, name: array[:, :1].copy()})
    yield "NaN", save({**arrays, name: array * np.float32("nan")})
    yield "whole numbers", save({**arrays, name: np.zeros(array.shape, dtype=np.int64)})
    yield "another name", save({"other": array})
    yield "nothing", save({})


def old_mutations(path: Path, data: bytes) -> Iterator[tuple[str, bytes]]:
    """What a file of a run without checksums may hold, well formed or not."""
    if path.suffix == ".parquet" and pq.read_metadata(path).num_rows:
        yield from table_mutations(data)
    if path.suffix == ".safetensors":
        yield from replicate_mutations(data)
    if path.name == "findings.json":
        yield from ((f"holds {str(value)[:20]}", json.dumps([value]).encode()) for value in VALUES)
        yield from ((f"is {str(value)[:20]}", json.dumps(value).encode()) for value in VALUES)
    if path.name == "run.json":
        yield from json_mutations(data)
        yield from entry_mutations(data)
    yield from ((name, change(data)) for name, change in BYTES.items())
