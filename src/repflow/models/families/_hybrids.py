"""Families with attention and state-space (or gated linear recurrent) blocks."""

from repflow.models.families.family import Family, Shape, chunk, gated_width, kv_heads, ssm_heads


def _period(shape: Shape) -> int:
    """One attention block in eight, or in two where the model is too shallow for that."""
    return 8 if shape.layers >= 8 else 2


def _attends(shape: Shape) -> list[int]:
    period = _period(shape)
    return [i for i in range(shape.layers) if i % period == period // 2]


def _state(shape: Shape) -> int:
    return 64 if shape.width >= 256 else 16


def _jamba(shape: Shape) -> dict[str, object]:
    period = _period(shape)
    return {
        "intermediate_size": gated_width(shape.width),
        "num_key_value_heads": kv_heads(shape.heads),
        "attn_layer_period": period,
        "attn_layer_offset": period // 2,
        "num_experts": 4,
        "num_experts_per_tok": 2,
    }


def _bamba(shape: Shape) -> dict[str, object]:
    heads, size, expand = ssm_heads(shape, "mamba_n_heads", "mamba_d_head", "mamba_expand")
    return {
        "intermediate_size": gated_width(shape.width),
        "num_key_value_heads": kv_heads(shape.heads),
        "attn_layer_indices": _attends(shape),
        "mamba_n_heads": heads,
        "mamba_d_head": size,
        "mamba_expand": expand,
        "mamba_d_state": _state(shape),
        "mamba_chunk_size": chunk(shape),
    }


def _falcon_h1(shape: Shape) -> dict[str, object]:
    heads, size, expand = ssm_heads(shape, "mamba_n_heads", "mamba_d_head", "mamba_expand")
    return {
        "intermediate_size": gated_width(shape.width),
        "num_key_value_heads": kv_heads(shape.heads),
        "mamba_d_ssm": expand * shape.width,
        "mamba_n_heads": heads,
        "mamba_d_head": size,
        "mamba_expand": expand,
        "mamba_d_state": _state(shape),
        "mamba_chunk_size": chunk(shape),
    }


def _zamba2(shape: Shape) -> dict[str, object]:
    inner = shape.whole("mamba_expand", 2) * shape.width
    attends = _attends(shape)
    return {
        "intermediate_size": gated_width(shape.width),
        "num_key_value_heads": shape.heads,
        "layers_block_type": ["hybrid" if i in attends else "linear_attention" for i in range(shape.layers)],
        "n_mamba_heads": inner // 64 if inner >= 512 and inner % 64 == 0 else 8,
        "mamba_d_state": _state(shape),
        "chunk_size": chunk(shape),
        "use_mem_rope": True,
    }


def _nemotron_h(shape: Shape) -> dict[str, object]:
    heads, size, expand = ssm_heads(shape, "mamba_num_heads", "mamba_head_dim", "expand")
    pattern = ("linear_attention", "full_attention", "linear_attention", "mlp")
    return {
        "layers_block_type": [pattern[i % len(pattern)] for i in range(shape.layers)],
        "intermediate_size": 4 * shape.width,
        "num_key_value_heads": kv_heads(shape.heads),
        "head_dim": shape.width // shape.heads,
        "mamba_num_heads": heads,
        "mamba_head_dim": size,
        "expand": expand,
        "n_groups": 1,
        "ssm_state_size": _state(shape),
        "chunk_size": chunk(shape),
    }


def _recurrent_gemma(shape: Shape) -> dict[str, object]:
    return {
        "intermediate_size": 3 * shape.width,
        "num_key_value_heads": 1,
        "lru_width": shape.width,
        "attention_window_size": 2048,
    }


FAMILIES = (
    Family("jamba", "hybrid", "layers", "final_layernorm", _jamba),
    Family("bamba", "hybrid", "layers", "final_layernorm", _bamba),
    Family("zamba2", "hybrid", "layers", "final_layernorm", _zamba2),
    Family("falcon_h1", "hybrid", "layers", "final_layernorm", _falcon_h1),
    Family("nemotron_h", "hybrid", "layers", "norm_f", _nemotron_h),
    Family("recurrent_gemma", "hybrid", "layers", "final_norm", _recurrent_gemma, positions=None),
)
