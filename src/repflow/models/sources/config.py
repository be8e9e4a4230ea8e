"""Random models made from a family's config: `config:FAMILY[,key=value]...`."""

from collections.abc import Callable
from typing import Any

from repflow.core import BadSetting, unknown
from repflow.core.boundary import one_line_errors
from repflow.models.byte_tokenizer import byte_tokenizer
from repflow.models.families import KEYS, Family, config_settings, family
from repflow.models.initialise import random_model
from repflow.models.sources.building import check_buildable
from repflow.models.sources.checkpoint import check_numbers
from repflow.models.sources.opened import Opened, Request

_TENSORS = 1_000
"""Of the largest checkpoint that a random model may be like."""


def open_config(name: str, options: dict[str, object], request: Request, find: Callable[[str], Any]) -> Opened:
    """A random model of the family, its weights drawn by the family's own initialisation with the request's seed."""
    import torch

    chosen = family(name)
    tokenizer_source = options.pop("tokenizer", None)
    tokenizer = byte_tokenizer() if tokenizer_source is None else find(str(tokenizer_source))
    config = _build_config(chosen, options, tokenizer)
    dtype = torch.float32 if request.dtype == "auto" else request.dtype
    check_buildable(config, f"config:{name}", tensors=_TENSORS)
    with one_line_errors(f"config:{name} cannot be built", BadSetting):
        model = random_model(config, request.seed).to(dtype)
    return Opened(model, tokenizer, init=f"config:{request.seed}")


def _build_config(chosen: Family, options: dict[str, object], tokenizer: Any) -> Any:
    from transformers import AutoConfig

    check_numbers(options, f"config:{chosen.name}")
    settings = config_settings(chosen, options)
    known = AutoConfig.for_model(chosen.name)
    for key in settings:
        if not hasattr(known, key):
            raise unknown(f"{chosen.name} setting", key, [*KEYS, "tokenizer", *_own_settings(known)])
    vocabulary = settings.setdefault("vocab_size", len(tokenizer))
    if not isinstance(vocabulary, int) or vocabulary < len(tokenizer):
        raise BadSetting(f"vocab_size={vocabulary} is smaller than the tokenizer's {len(tokenizer)} tokens")
    for role in ("bos", "eos", "pad"):
        settings.setdefault(f"{role}_token_id", getattr(tokenizer, f"{role}_token_id"))
    with one_line_errors(f"config:{chosen.name} cannot be built", BadSetting):
        return AutoConfig.for_model(chosen.name, **settings)


def _own_settings(config: Any) -> list[str]:
    from transformers import PretrainedConfig

    common = PretrainedConfig().to_dict()
    return [key for key in config.to_dict() if key not in common]
