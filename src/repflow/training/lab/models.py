"""The model of a cell, before its first step."""

from typing import Any

import torch
from torch import nn

from repflow.studies.lab.cells import Architecture
from repflow.training.zoo.recipes import VOCABULARY, first_weights

POSITIONS = 1024
_HEAD = 32
_WIDE_INIT = 0.08
_CHUNK = 64
_SHARED = {
    "vocab_size": VOCABULARY,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}


def first_model(architecture: Architecture, seed: int) -> Any:
    """The model in float32, its weights drawn from `seed`."""
    model = first_weights(config_of(architecture), seed)
    if architecture.norm != "own":
        _change_norms(model, architecture)
    return model


def config_of(architecture: Architecture) -> Any:
    """The transformers config: the zoo's, at the size of the cell."""
    shared = {**_SHARED, "hidden_size": architecture.width, "num_hidden_layers": architecture.depth}
    return _CONFIGS[architecture.family](architecture, shared)


def _llama(a: Architecture, shared: dict[str, Any]) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        **shared,
        num_attention_heads=a.width // _HEAD,
        intermediate_size=a.width * 5 // 4,
        max_position_embeddings=POSITIONS,
        initializer_range=_WIDE_INIT,
    )


def _neox(a: Architecture, shared: dict[str, Any]) -> Any:
    from transformers import GPTNeoXConfig

    return GPTNeoXConfig(
        **shared,
        num_attention_heads=a.width // _HEAD,
        intermediate_size=a.width * 7 // 4,
        max_position_embeddings=POSITIONS,
        initializer_range=_WIDE_INIT,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0},
    )


def _mamba(a: Architecture, shared: dict[str, Any]) -> Any:
    from transformers import MambaConfig

    return MambaConfig(**shared, state_size=a.state, expand=2)


def _mamba2(a: Architecture, shared: dict[str, Any]) -> Any:
    from transformers import Mamba2Config

    return Mamba2Config(
        **shared,
        state_size=a.state,
        expand=2,
        num_heads=2 * a.width // _HEAD,
        head_dim=_HEAD,
        n_groups=1,
        chunk_size=_CHUNK,
        rescale_prenorm_residual=True,
    )


def _bamba(a: Architecture, shared: dict[str, Any]) -> Any:
    from transformers import BambaConfig

    return BambaConfig(
        **shared,
        intermediate_size=a.width // 2,
        num_attention_heads=a.width // _HEAD,
        num_key_value_heads=a.width // _HEAD,
        attn_layer_indices=[i for i, kind in enumerate(a.blocks) if kind == "a"],
        max_position_embeddings=POSITIONS,
        mamba_n_heads=2 * a.width // _HEAD,
        mamba_d_head=_HEAD,
        mamba_d_state=a.state,
        mamba_n_groups=1,
        mamba_expand=2,
        mamba_chunk_size=_CHUNK,
        initializer_range=_WIDE_INIT,
    )


_CONFIGS = {"llama": _llama, "gpt_neox": _neox, "mamba": _mamba, "mamba2": _mamba2, "bamba": _bamba}


def _change_norms(model: Any, architecture: Architecture) -> None:
    """Freezes all norms, or takes away those of the blocks; then what writes to the stream is drawn smaller.

    Without norms the stream grows from block to block: the matrices that write to it are divided by the root of twice
    the depth, as GPT-2 does, so that it stays of the order of one; the last norm remains.
    """
    named = [(name, module) for name, module in model.named_modules() if "norm" in type(module).__name__.lower()]
    if architecture.norm == "frozen":
        for _, module in named:
            module.requires_grad_(False)
        return
    for name, _ in named:
        if ".layers." in name:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, nn.Identity())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(
                ("o_proj.weight", "down_proj.weight", "out_proj.weight", "dense.weight", "4h_to_h.weight")
            ):
                parameter /= (2 * architecture.depth) ** 0.5
