"""What a model folder holds: its config, its weight files and the shapes in them, checked before anything is built."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repflow.core import BadFile, ModelProblem
from repflow.core.boundary import one_line, one_line_errors

SAFE, SAFE_INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED, PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"

_SIZES = re.compile(r"size|dim|head|layer|block|expert|group|rank|width|depth|window|chunk|kernel|state|ffn|inner|embd")
_COUNTS = re.compile(r"layers?$|blocks?$|depth$|experts?$")
_LARGEST, _MOST = 2**24, 10_000
"""No model has a size or a count of parts beyond these."""


class Absent(BadFile):
    """A part of a model that is not there, and might be elsewhere."""


@dataclass(frozen=True)
class Checkpoint:
    """A folder in Hugging Face format."""

    folder: Path
    config: dict[str, Any]
    files: tuple[Path, ...]
    """Of the weights."""
    shapes: Mapping[str, tuple[int, ...]]
    """Of every tensor in them."""

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.files)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Raises Absent or BadFile naming the file that is absent or broken, ModelProblem for sizes that no model has."""
    config = read_json(folder / CONFIG, "a model folder needs config.json, weights and a tokenizer")
    check_numbers(config, str(folder / CONFIG))
    files = _weight_files(folder)
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        shapes.update(tensor_shapes(file))
    if not shapes:
        raise BadFile(f"the weights of {folder} hold no tensors")
    return Checkpoint(folder, config, files, shapes)


def read_json(file: Path, need: str) -> dict[str, Any]:
    """The JSON object of a file. Raises Absent or BadFile."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Absent(f"no such file: {file}; {need}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(f"cannot read {file}: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise BadFile(f"{file} must hold a JSON object")
    return content


def check_numbers(config: Mapping[str, Any], where: str) -> None:
    """Raises ModelProblem for a size or a number of layers or experts that no model has: they are looped over."""
    for name, value in _numbers(config):
        key = name.rpartition(".")[2].lower()
        counted = bool(_COUNTS.search(key))
        most = _MOST if counted else _LARGEST
        if (counted or _SIZES.search(key)) and abs(value) > most:
            raise ModelProblem(f"{where}: {name} is {value:.3g}, and no model goes beyond {most:,}")


def tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes in a file of weights; tensors are not read. Raises BadFile."""
    with one_line_errors(f"cannot read the weights {file}, which may be incomplete", BadFile):
        return _safe_shapes(file) if file.suffix == ".safetensors" else _pickled_shapes(file)


def read_tensors(file: Path) -> dict[str, Any]:
    """All tensors of a file of weights on the CPU. Raises BadFile."""
    import torch
    from safetensors.torch import load_file

    with one_line_errors(f"cannot read the weights {file}, which may be incomplete", BadFile):
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)


def _weight_files(folder: Path) -> tuple[Path, ...]:
    """In transformers' order of preference. An index beside a whole file must be good too: one of them is stale."""
    for whole, index in ((SAFE, SAFE_INDEX), (PICKLED, PICKLED_INDEX)):
        parts = _indexed(folder, folder / index) if (folder / index).is_file() else ()
        if (folder / whole).is_file():
            return (folder / whole,)
        if parts:
            return parts
    patterns = ("*.safetensors", "*.bin", "*.pt", "*.pth")
    others = [file.name for pattern in patterns for file in sorted(folder.glob(pattern))]
    others = [name for name in others if not name.startswith("adapter_model")]
    seen = f", found {', '.join(others[:3])}" if others else ""
    raise Absent(f"no weights in {folder}: expected {SAFE}, or {SAFE_INDEX} and the files it names{seen}")


def _indexed(folder: Path, index: Path) -> tuple[Path, ...]:
    named = read_json(index, "the index of the weights").get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
        raise BadFile(f"{index}: weight_map must give the file of every tensor")
    files = [folder / name for name in sorted(set(named.values()))]
    for file in files:
        if file.parent != folder or file.suffix not in (".safetensors", ".bin"):
            raise BadFile(f"{index}: weight_map names {file.name!r}, which is no file of weights beside it")
        if not file.is_file():
            raise Absent(f"no such file: {file}; {index.name} names it")
    return tuple(files)


def _safe_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import safe_open

    with safe_open(str(file), framework="pt") as tensors:
        return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118


def _pickled_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    import torch

    content = torch.load(file, map_location="meta", weights_only=True)
    return {str(name): tuple(tensor.shape) for name, tensor in content.items() if isinstance(tensor, torch.Tensor)}


def _numbers(content: Any, name: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(content, int) and not isinstance(content, bool):
        yield name, content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from _numbers(value, f"{name}.{key}" if name else str(key))
    elif isinstance(content, list):
        for value in content:
            yield from _numbers(value, name)
