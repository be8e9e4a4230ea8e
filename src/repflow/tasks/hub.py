"""Columns of Hugging Face datasets: from the hub by name, or from a folder written by `save_to_disk`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from repflow.core import BadFile, BadSpec

PREFIX = "hf:"
_NAME = re.compile(r"hf:(?P<name>[^:\[\]]+)(?::(?P<config>[^:\[\]]*))?(?::(?P<split>.+))?")
_SPLITS = ("train", "validation", "test", "dev")


@dataclass(frozen=True, slots=True)
class DatasetName:
    """`hf:DATASET[:CONFIG][:SPLIT]`, read."""

    name: str
    config: str | None
    split: str
    """`train` where none is given."""


def parse(spec: str) -> DatasetName:
    """Reads `hf:DATASET[:CONFIG][:SPLIT]`; raises BadSpec where it cannot.

    Of two parts the second is a split if it is called train, validation, test or dev, or has a slice
    (`train[:100]`), else a configuration.
    """
    found = _NAME.fullmatch(spec)
    if found is None:
        raise BadSpec(f"{spec!r} is no dataset name; write hf:DATASET, hf:DATASET:SPLIT or hf:DATASET:CONFIG:SPLIT")
    name, config, split = found["name"], found["config"], found["split"]
    if config in _SPLITS and split is None:
        config, split = None, config
    return DatasetName(name, config or None, split or "train")


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder was written by `Dataset.save_to_disk` or `DatasetDict.save_to_disk`."""
    return (path / "state.json").is_file() or (path / "dataset_dict.json").is_file()


def is_streamed(spec: str) -> bool:
    """Whether a dataset is read from the hub as it comes: all but those that are saved, or whose split has a slice."""
    if not spec.startswith(PREFIX):
        return False
    wanted = parse(spec)
    return "[" not in wanted.split and not is_saved_dataset(Path(wanted.name))


def column_of(spec: str, column: str) -> Iterator[str]:
    """The texts of a dataset's column, in order.

    `spec` is a name as `parse` reads it, or a folder. Raises BadFile where the dataset cannot be loaded, has no such
    column, or the column holds something else than text.
    """
    wanted = DatasetName(spec, None, "train") if not spec.startswith(PREFIX) else parse(spec)
    rows = _rows(spec, wanted)
    for number, row in enumerate(rows, start=1):
        if column not in row:
            raise BadFile(f"{spec} has no column {column!r}; columns found: {', '.join(row)}; name one with --column")
        if not isinstance(row[column], str):
            kind = type(row[column]).__name__
            raise BadFile(
                f"{spec} row {number}: column {column!r} holds {kind}, needs text; name another with --column"
            )
        yield row[column]


def _rows(spec: str, wanted: DatasetName) -> Any:
    try:
        datasets: Any = import_module("datasets")
    except ImportError as error:
        raise BadFile(f"reading {spec} needs the package datasets: pip install 'repflow[hub]'") from error
    try:
        if is_saved_dataset(Path(wanted.name)):
            return _split(datasets.load_from_disk(wanted.name), wanted.split, spec)
        streaming = is_streamed(spec)
        return datasets.load_dataset(wanted.name, wanted.config, split=wanted.split, streaming=streaming)
    except BadFile:
        raise
    except Exception as error:  # loaders and the network below them raise errors of many families
        reason = str(error).strip().split("\n")[0]
        what = f"{type(error).__name__}: {reason}"
        raise BadFile(f"dataset {spec} cannot be loaded ({what}); check its name and the network") from error


def _split(loaded: Any, split: str, spec: str) -> Any:
    if not isinstance(loaded, dict):
        return loaded
    if split not in loaded:
        raise BadFile(f"{spec} has no split {split!r}; splits found: {', '.join(loaded)}")
    return loaded[split]
