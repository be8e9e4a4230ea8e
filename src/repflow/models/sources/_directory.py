"""A local directory in Hugging Face format."""

import json
from pathlib import Path
from typing import Any

from repflow.core import BadFile, ModelProblem
from repflow.models.sources._opened import Opened, Request

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")


def open_directory(folder: Path, request: Request) -> Opened:
    """Raises BadFile naming the file that is absent or broken, ModelProblem for an architecture that is not known."""
    _check_config(folder, request.trust_remote_code)
    _check_weights(folder)
    tokenizer = directory_tokenizer(folder, trust_remote_code=request.trust_remote_code)
    model, warnings = pretrained_model(
        str(folder), {"dtype": request.dtype, "trust_remote_code": request.trust_remote_code, "local_files_only": True}
    )
    return Opened(model, tokenizer, warnings=warnings)


def directory_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The fast tokenizer a directory holds. Raises BadFile."""
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise BadFile(f"no tokenizer in {folder}: expected tokenizer.json (save one with tokenizer.save_pretrained)")
    try:
        return AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=trust_remote_code, use_fast=True
        )
    except Exception as error:
        raise BadFile(f"cannot read the tokenizer in {folder}: {one_line(error)}") from error


def pretrained_model(name: str, options: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """A causal language model by `from_pretrained`, and what was odd about its checkpoint.

    Raises ModelProblem where the checkpoint lacks tensors, which transformers would draw at random.
    OSError is left to the caller, who knows what the name stands for.
    """
    from transformers import AutoModelForCausalLM

    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(name, output_loading_info=True, **options)
    except (OSError, ImportError):
        raise
    except Exception as error:
        raise ModelProblem(f"cannot load {name}: {one_line(error)}") from error
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelProblem(
            f"the checkpoint {name} lacks {len(missing)} of the model's tensors, e.g. {missing[0]}; "
            "they would be random. Is it a causal language model of this architecture?"
        )
    extra = sorted(report["unexpected_keys"])
    return model, ((f"{len(extra)} tensors of the checkpoint are not used, e.g. {extra[0]}",) if extra else ())


def one_line(error: BaseException) -> str:
    """The start of an error's text, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 240 else text[:240] + "..."


def _check_config(folder: Path, trust_remote_code: bool) -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = _read_json(folder / "config.json", "a model directory needs config.json, weights and a tokenizer")
    family = config.get("model_type")
    if trust_remote_code and "auto_map" in config:
        return
    if not isinstance(family, str) or family not in CONFIG_MAPPING:
        raise ModelProblem(
            f"{folder / 'config.json'} has model_type {family!r}, which this transformers does not know; "
            "update transformers, or pass --trust-remote-code if the directory brings its own code"
        )


def _check_weights(folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted(set(_read_json(index, "the index of the weights").get("weight_map", {}).values()))
        files = [folder / str(shard) for shard in shards]
    else:
        files = sorted(folder.glob("model*.safetensors"))
    if not files and not any(folder.glob("pytorch_model*.bin*")):
        raise BadFile(f"no weights in {folder}: expected model.safetensors")
    for file in files:
        check_safetensors(file)


def check_safetensors(file: Path) -> None:
    """Raises BadFile where the file is absent, truncated or not safetensors. Reads the header only."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="pt"):
            pass
    except (OSError, SafetensorError, ValueError) as error:
        raise BadFile(f"cannot read the weights {file}: {one_line(error)}; is the file complete?") from error


def _read_json(file: Path, need: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadFile(f"no such file: {file}; {need}") from None
    except (OSError, ValueError) as error:
        raise BadFile(f"cannot read {file}: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise BadFile(f"{file} must hold a JSON object")
    return content
