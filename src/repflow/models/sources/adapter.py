"""A LoRA adapter merged into its base model, by our own reading: the same subject with and without peft."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from repflow.core import BadFile, ModelProblem
from repflow.models.sources.checkpoint import ADAPTER_CONFIG, read_json, read_tensors
from repflow.models.sources.opened import Opened

_READ = frozenset(
    ["r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "peft_type", "modules_to_save"]
)
_HARMLESS = frozenset(
    [
        *("lora_dropout", "target_modules", "exclude_modules", "task_type", "base_model_name_or_path", "revision"),
        *("bias", "inference_mode", "peft_version", "auto_mapping", "layers_to_transform", "layers_pattern"),
        *("loftq_config", "megatron_config", "megatron_core", "runtime_config", "qalora_group_size"),
    ]
)
"""Settings of training, and those that the names in the weights say again."""
_PLAIN_STARTS = (None, True, False, "gaussian", "orthogonal", "eva")
"""Ways to begin that leave the base as it is."""
_PREFIX = "base_model.model."
_PARTS = re.compile(r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])(\.default)?(\.weight)?")
_MERGE = "merge it with peft (merge_and_unload, save_pretrained) and give that folder"


@dataclass(frozen=True, eq=False)
class _Low:
    """The two thin matrices of one module."""

    a: Tensor
    """[rank, in]; of an embedding [rank, ids]."""
    b: Tensor
    """[out, rank]."""


def adapted(opened: Opened, folder: Path) -> Opened:
    """The model with the adapter of a folder merged in place, in float32; its record says so.

    W + s B A, s = alpha / r, or alpha / sqrt(r) with rsLoRA; parts saved whole take the place of the base's.
    Raises Absent or BadFile for a folder without a readable adapter or one that does not fit the model, ModelProblem
    for kinds of adapters that cannot be merged exactly.
    Source: Hu et al. 2021 (arXiv:2106.09685); the file format is peft's.
    """
    config = read_json(folder / ADAPTER_CONFIG, "an adapter folder needs it beside adapter_model.safetensors")
    _check_kind(config, folder)
    file = next((f for name in ("safetensors", "bin") if (f := folder / f"adapter_model.{name}").is_file()), None)
    if file is None:
        raise BadFile(f"no adapter_model.safetensors in {folder}, which has an {ADAPTER_CONFIG}")
    tensors = read_tensors(file)
    low, whole = _parts(tensors, file)
    if not low and not whole:
        raise BadFile(f"{file} holds no adapter")
    with torch.no_grad():
        for name, parts in low.items():
            _merge(opened.model, name, parts, _scale(config, name, parts, file), file)
        for name, tensor in whole.items():
            _replace(opened.model, name, tensor, file)
    ranks = sorted({parts.a.shape[0] for parts in low.values()})
    line = (
        f"adapter {folder.name}: LoRA of rank {', '.join(map(str, ranks))} merged into {len(low)} modules"
        + (f", {len(whole)} tensors replaced" if whole else "")
        + f", sha256 {_digest(tensors)}"
    )
    return replace(opened, interventions=(*opened.interventions, line))


def check_not_alone(folder: Path) -> None:
    """Raises BadFile for a folder with an adapter and no model."""
    if (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file():
        base = read_json(folder / ADAPTER_CONFIG, "").get("base_model_name_or_path")
        named = base if isinstance(base, str) and base else "BASE"
        raise BadFile(f"{folder} holds an adapter of {named} and no model; give {named}@adapter={folder}")


def _check_kind(config: Mapping[str, Any], folder: Path) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise ModelProblem(
            f"the adapter in {folder} is of the kind {kind}, and only LoRA is read; {_MERGE} where that can be"
        )
    unread = [name for name, value in config.items() if value and name not in _READ | _HARMLESS | {"init_lora_weights"}]
    start = config.get("init_lora_weights")
    if start not in _PLAIN_STARTS:
        unread.append(f"init_lora_weights={start}")
    if unread:
        raise ModelProblem(f"the adapter in {folder} uses {', '.join(unread)}, which is not read; {_MERGE}")


def _parts(tensors: Mapping[str, Tensor], file: Path) -> tuple[dict[str, _Low], dict[str, Tensor]]:
    """By module the thin matrices, and by parameter the tensors saved whole."""
    sides: dict[str, dict[str, Tensor]] = {}
    whole: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        own = name.removeprefix(_PREFIX)
        if found := _PARTS.fullmatch(own):
            sides.setdefault(found["module"], {})[found["side"]] = tensor
        else:
            whole[own.replace(".base_layer.", ".").replace(".modules_to_save.", ".")] = tensor
    halved = next((name for name, pair in sides.items() if len(pair) < 2), None)
    if halved is not None:
        raise BadFile(f"{file} holds one of the two matrices of {halved} only; is it complete?")
    return {name: _Low(pair["A"], pair["B"]) for name, pair in sides.items()}, whole


def _scale(config: Mapping[str, Any], name: str, parts: _Low, file: Path) -> float:
    rank = _setting(config, "r", "rank_pattern", name, file)
    if parts.a.ndim != 2 or parts.b.ndim != 2 or parts.a.shape[0] != rank or parts.b.shape[1] != rank:
        raise BadFile(
            f"{file}: {name} has matrices of {list(parts.a.shape)} and {list(parts.b.shape)}, {ADAPTER_CONFIG} says "
            f"rank {rank}"
        )
    alpha = _setting(config, "lora_alpha", "alpha_pattern", name, file)
    return float(alpha) / (float(rank) ** 0.5 if config.get("use_rslora") else float(rank))


def _setting(config: Mapping[str, Any], key: str, pattern: str, name: str, file: Path) -> float:
    patterns = config.get(pattern) or {}
    own = next((value for form, value in patterns.items() if re.match(rf"(.*\.)?({form})$", name)), config.get(key))
    if isinstance(own, bool) or not isinstance(own, int | float) or own <= 0:
        raise BadFile(f"{file.parent / ADAPTER_CONFIG}: {key} must be a number above 0, got {own!r}")
    return own


def _merge(model: nn.Module, name: str, parts: _Low, scale: float, file: Path) -> None:
    module = dict(model.named_modules()).get(name)
    weight = getattr(module, "weight", None)
    delta = scale * (parts.b.float() @ parts.a.float())
    if isinstance(module, nn.Embedding) or type(module).__name__ == "Conv1D":
        delta = delta.T  # their weights are [in, out]
    elif not isinstance(module, nn.Linear):
        what = type(module).__name__ if module is not None else "no module"
        raise ModelProblem(
            f"{file}: {name} is {what} in the model, and LoRA of linear layers and embeddings is read; {_MERGE}"
        )
    if not isinstance(weight, nn.Parameter) or weight.shape != delta.shape or not weight.is_floating_point():
        raise BadFile(f"{file}: the adapter of {name} is {list(delta.shape)}, the weight {_shape(weight)}")
    _check_alone(model, name, weight, file)
    weight.copy_((weight.float() + delta.to(weight.device)).to(weight.dtype))


def _replace(model: nn.Module, name: str, tensor: Tensor, file: Path) -> None:
    known = dict(model.named_parameters(remove_duplicate=False))
    if name not in known or known[name].shape != tensor.shape:
        shape = _shape(known.get(name))
        raise BadFile(f"{file}: {name} {list(tensor.shape)} has no place in the model, which has {shape}; {_MERGE}")
    _check_alone(model, name.rpartition(".")[0], known[name], file)
    known[name].copy_(tensor.to(known[name].dtype))


def _check_alone(model: nn.Module, name: str, weight: Tensor, file: Path) -> None:
    """A tied weight would change in both its places, and peft changes one."""
    sharing = [n for n, p in model.named_parameters(remove_duplicate=False) if p is weight]
    if len(sharing) > 1:
        raise ModelProblem(
            f"{file}: {name} shares its weight ({', '.join(sharing)}), and the adapter is for one of them; {_MERGE}"
        )


def _shape(weight: Any) -> str:
    return str(list(weight.shape)) if isinstance(weight, Tensor) else "nothing of that name"


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(tensors):
        digest.update(piece)
    return digest.hexdigest()[:12]


def _pieces(tensors: Mapping[str, Tensor]) -> Iterator[bytes]:
    for name, tensor in sorted(tensors.items()):
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode()
        yield tensor.contiguous().view(torch.uint8).numpy().tobytes()
