"""Small models of many families, built from transformers' configs: two blocks of width 32."""

from pathlib import Path
from typing import Any

import torch

from repflow.models.byte_tokenizer import byte_tokenizer
from repflow.models.initialise import random_model

VOCABULARY = 259
"""Of the byte tokenizer."""
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
DELTA = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "shared_expert_intermediate_size": 32,
}
MLA = {"q_lora_rank": None, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}


def config_of(family: str, **settings: Any) -> Any:
    """A small config of a family; `settings` are laid over the small sizes, those that are `...` left out."""
    from transformers import AutoConfig

    chosen = {key: value for key, value in (SIZES | settings).items() if value is not ...}
    return AutoConfig.for_model(family, **chosen)


def model_of(family: str, seed: int = 0, **settings: Any) -> Any:
    """A random model of that config, in evaluation mode."""
    return random_model(config_of(family, **settings), seed).eval()


def save(folder: Path, model: Any, tokenizer: Any = None) -> str:
    """The folder, with the model and a tokenizer, by default that of bytes, saved in it."""
    model.save_pretrained(folder)
    (byte_tokenizer() if tokenizer is None else tokenizer).save_pretrained(folder)
    return str(folder)


def saved(folder: Path, family: str, seed: int = 0, **settings: Any) -> str:
    """A folder with a random model of a family."""
    return save(folder, model_of(family, seed, **settings))


def states_of(model: Any, ids: list[int]) -> torch.Tensor:
    """The trunk's last states [tokens, width] of one row read by itself."""
    with torch.no_grad():
        return model.base_model(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0]
