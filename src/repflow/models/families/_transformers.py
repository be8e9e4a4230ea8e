"""Attention-only families."""

from repflow.models.families.family import Family, Shape, gated_width, kv_heads


def _gpt2(_: Shape) -> dict[str, object]:
    return {}


def _gpt_neo(shape: Shape) -> dict[str, object]:
    pairs, odd = divmod(shape.layers, 2)
    types: list[object] = [[["global", "local"], pairs]] if pairs else []
    if odd:
        types.append([["global"], 1])
    return {"attention_types": types, "intermediate_size": 4 * shape.width, "window_size": 256}


def _gpt_neox(shape: Shape) -> dict[str, object]:
    return {"intermediate_size": 4 * shape.width}


def _llama(shape: Shape) -> dict[str, object]:
    return {"intermediate_size": gated_width(shape.width), "num_key_value_heads": kv_heads(shape.heads)}


def _qwen3(shape: Shape) -> dict[str, object]:
    return {**_llama(shape), "head_dim": shape.width // shape.heads}


FAMILIES = (
    Family(
        "gpt2",
        "TBM",
        "h",
        "ln_f",
        _gpt2,
        keys={"layers": "n_layer", "width": "n_embd", "heads": "n_head", "positions": "n_positions"},
        positions=1024,
    ),
    Family("gpt_neo", "TBM", "h", "ln_f", _gpt_neo, keys={"layers": "num_layers", "heads": "num_heads"}),
    Family("gpt_neox", "TBM", "layers", "final_layer_norm", _gpt_neox, aliases=("pythia",)),
    Family("llama", "TBM", "layers", "norm", _llama),
    Family("mistral", "TBM", "layers", "norm", _llama),
    Family("qwen2", "TBM", "layers", "norm", _llama),
    Family("qwen3", "TBM", "layers", "norm", _qwen3),
)
