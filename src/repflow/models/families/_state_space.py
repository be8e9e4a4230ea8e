"""State-space families, and RWKV, whose blocks are a recurrence of another kind."""

from repflow.models.families.family import Family, Shape, chunk, ssm_heads


def _mamba(_: Shape) -> dict[str, object]:
    return {"state_size": 16}


def _mamba2(shape: Shape) -> dict[str, object]:
    heads, size, expand = ssm_heads(shape, "num_heads", "head_dim", "expand")
    state = 128 if shape.width >= 256 else 16
    return {
        "num_heads": heads,
        "head_dim": size,
        "expand": expand,
        "n_groups": 1,
        "state_size": state,
        "chunk_size": chunk(shape),
        "tie_word_embeddings": True,
    }


def _rwkv(shape: Shape) -> dict[str, object]:
    return {"attention_hidden_size": shape.width}


FAMILIES = (
    Family("mamba", "SSM", "layers", "norm_f", _mamba, positions=None),
    Family("mamba2", "SSM", "layers", "norm_f", _mamba2, keys={"heads": "num_heads"}, positions=None),
    Family("falcon_mamba", "SSM", "layers", "norm_f", _mamba, positions=None),
    # The halving of the stream every few blocks only guards float16; it would put a step between two sites.
    Family(
        "rwkv",
        "recurrent",
        "blocks",
        "ln_out",
        _rwkv,
        keys={"positions": "context_length"},
        on_load={"rescale_every": 0},
    ),
)
