"""A local directory in Hugging Face format, or in that of Mamba's authors."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from repflow.core import ModelProblem
from repflow.core.boundary import one_line_errors
from repflow.models.sources.adapter import adapted, check_not_alone
from repflow.models.sources.building import causal_class, check_buildable
from repflow.models.sources.checkpoint import ADAPTER_CONFIG, CONFIG, Checkpoint, read_checkpoint, read_tensors
from repflow.models.sources.mamba_ssm import is_original, original_config, renamed
from repflow.models.sources.opened import Opened, Request
from repflow.models.sources.tokenizer import tokenizer_and_warnings

_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|module)\.")
"""What torch.compile, FSDP, checkpointing and DDP put into the names of parameters."""


def open_directory(folder: Path, request: Request) -> Opened:
    """The model of a folder and, where an adapter lies beside its weights, that merged into it.

    Raises Absent or BadFile naming the file that is absent or broken, ModelProblem for a model that cannot be built.
    """
    check_not_alone(folder)
    checkpoint = read_checkpoint(folder)
    config, shapes = _config(checkpoint, request), {}
    if config is not None:
        where, tensors = str(folder / CONFIG), len(checkpoint.shapes)
        shapes = check_buildable(config, where, tensors=tensors, stored=checkpoint.bytes)
    tokenizer, said = tokenizer_and_warnings(folder, trust_remote_code=request.trust_remote_code)
    rename = _renaming(checkpoint)
    with _mismatch_told(checkpoint, shapes, rename or str):
        if config is not None and rename is not None:
            model, warnings = _renamed_model(checkpoint, config, rename, request)
        else:
            model, warnings = pretrained_model(str(folder), _options(request))
    opened = Opened(model, tokenizer, warnings=(*warnings, *said))
    return adapted(opened, folder) if (folder / ADAPTER_CONFIG).is_file() else opened


def _options(request: Request) -> dict[str, Any]:
    return {
        "dtype": request.dtype,
        "trust_remote_code": request.trust_remote_code,
        "local_files_only": True,
        # Where peft is installed, transformers would lay an adapter over the model, and elsewhere not.
        "adapter_kwargs": {"subfolder": "not here"},
    }


@contextmanager
def _mismatch_told(
    checkpoint: Checkpoint, shapes: Mapping[str, tuple[int, ...]], rename: Callable[[str], str]
) -> Iterator[None]:
    """Says which tensor does not fit where transformers only says that one does not."""
    try:
        yield
    except ModelProblem as error:
        stored = {rename(name): shape for name, shape in checkpoint.shapes.items()}
        wrong = next((n for n in sorted(shapes) if n in stored and stored[n] != shapes[n]), None)
        if wrong is None or "ignore_mismatched_sizes" not in str(error):
            raise
        raise ModelProblem(
            f"{checkpoint.folder}: {wrong} is {list(stored[wrong])} in the checkpoint and {list(shapes[wrong])} by its "
            "config; they do not belong together"
        ) from error


def pretrained_model(name: str, options: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """A causal language model by `from_pretrained`, and what was odd about its checkpoint.

    Raises ModelProblem where it cannot be loaded, or where the checkpoint lacks tensors, which transformers would draw
    at random.
    """
    from transformers import AutoModelForCausalLM

    with one_line_errors(f"cannot load {name}"):
        loaded: Any = AutoModelForCausalLM.from_pretrained(name, output_loading_info=True, **options)
    return _whole(loaded, name)


def _renamed_model(
    checkpoint: Checkpoint, config: Any, rename: Callable[[str], str], request: Request
) -> tuple[Any, tuple[str, ...]]:
    """A model whose tensors have other names in its files."""
    from transformers import GenerationConfig

    folder = checkpoint.folder
    tensors = {rename(name): tensor for file in checkpoint.files for name, tensor in read_tensors(file).items()}
    with one_line_errors(f"cannot load {folder}"):
        loaded: Any = causal_class(config, str(folder)).from_pretrained(
            None, config=config, state_dict=tensors, dtype=request.dtype, output_loading_info=True
        )
        if (folder / "generation_config.json").is_file():
            loaded[0].generation_config = GenerationConfig.from_pretrained(str(folder))
    return _whole(loaded, str(folder))


def _whole(loaded: Any, name: str) -> tuple[Any, tuple[str, ...]]:
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelProblem(
            f"the checkpoint {name} lacks {len(missing)} of the model's tensors, e.g. {missing[0]}; "
            "they would be random. Is it a causal language model of this architecture?"
        )
    extra = sorted(report["unexpected_keys"])
    return model, ((f"{len(extra)} tensors of the checkpoint are not used, e.g. {extra[0]}",) if extra else ())


def _config(checkpoint: Checkpoint, request: Request) -> Any:
    """transformers' config of a folder; None where its own code makes it. Raises ModelProblem for an unknown family."""
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    where = checkpoint.folder / CONFIG
    with one_line_errors(f"cannot read {where}"):
        if is_original(checkpoint.config):
            return original_config(checkpoint)
        if request.trust_remote_code and "auto_map" in checkpoint.config:
            return None
        family = checkpoint.config.get("model_type")
        if not isinstance(family, str) or family not in CONFIG_MAPPING:
            raise ModelProblem(
                f"{where} has model_type {family!r}, which this transformers does not know; update transformers, or "
                "pass --trust-remote-code if the directory brings its own code"
            )
        return AutoConfig.from_pretrained(str(checkpoint.folder), local_files_only=True)


def _renaming(checkpoint: Checkpoint) -> Callable[[str], str] | None:
    """How the tensors' names become transformers'; None where they are."""
    if is_original(checkpoint.config):
        return lambda name: renamed(_WRAPPERS.sub("", name))
    if any(_WRAPPERS.search(name) for name in checkpoint.shapes):
        return lambda name: _WRAPPERS.sub("", name)
    return None
