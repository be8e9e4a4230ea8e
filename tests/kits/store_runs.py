"""Runs in the states a run directory can be in."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from store_rows import layer_row, pair_row, path_row, run_info

from repflow.store import RunWriter
from repflow.store import parts as _parts
from repflow.store.plain_json import to_bytes
from repflow.store.seal import FILES, SEAL, sealed

SETTINGS = {"context": 128, "metrics": ("cka", "norm"), "workers": 1}
LAYERS = [layer_row(value=0.25)]


def create(directory: str | Path, settings: dict[str, Any] | None = None, **flags: Any) -> RunWriter:
    return RunWriter.create(directory, SETTINGS if settings is None else settings, "flow", **flags)


def finish(writer: RunWriter) -> None:
    writer.finish(LAYERS, [pair_row()], [path_row()], run_info("m"))


def finished(directory: Path) -> Path:
    with create(directory) as writer:
        finish(writer)
    return directory


def unfinished(directory: Path) -> Path:
    with create(directory) as writer:
        writer.save_part("a", {}, {})
    return directory


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def part_of(writer: RunWriter, key: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    part = writer.read_part(key)
    assert part is not None, key
    return part


def parts(writer: RunWriter) -> list[str]:
    """The keys of all whole parts that the writer gives, sorted."""
    payloads = [_parts._payload(path) for path in sorted((writer.directory / "checkpoint").glob("*.part"))]
    keys = sorted(json.loads(_parts._metadata(payload)["key"]) for payload in payloads if payload is not None)
    return [key for key in keys if writer.read_part(key) is not None]


def edit(directory: Path, **changes: Any) -> None:
    """Change what run.json says, as its writer would have said it."""
    path = directory / "run.json"
    path.write_bytes(to_bytes(sealed({**json.loads(path.read_bytes()), **changes})))


def unseal(directory: Path) -> Path:
    """The run as it was written before there were checksums."""
    path = directory / "run.json"
    known = json.loads(path.read_bytes())
    path.write_text(json.dumps({name: known[name] for name in known if name not in (FILES, SEAL)}))
    return directory
