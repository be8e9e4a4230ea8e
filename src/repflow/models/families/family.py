"""What the registry knows of one family."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from repflow.core import BadSetting, Kind


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a random model; every family derives its own settings from it."""

    layers: int
    width: int
    heads: int
    given: Mapping[str, object] = field(default_factory=dict)
    """The family's own config keys that the caller set by hand."""

    def whole(self, key: str, default: int) -> int:
        """The caller's value of a whole-number key, or the default."""
        value = self.given.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadSetting(f"{key} must be a whole number of 1 or more, got {value!r}")
        return value


@dataclass(frozen=True, slots=True)
class Family:
    """One `model_type` of transformers: what its blocks are, where they are, and how to make a small one."""

    name: str
    kind: Kind
    blocks: str
    """The blocks' module list, by its name in the base model."""
    final_norm: str
    """The norm after the last block, by its name in the base model."""
    settings: Callable[[Shape], dict[str, object]]
    """Config settings that follow from a shape; what the caller set by hand is laid over them."""
    aliases: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    """The family's names for `layers`, `width`, `heads`, `positions`, where they differ from `KEYS`."""
    positions: int | None = 2048
    """Default trained positions of a random model; None where the config has no such key."""
    on_load: Mapping[str, object] = field(default_factory=dict)
    """Config attributes set on every load so that the sites hold what METHODS says; the function stays the same."""

    def key(self, friendly: str) -> str | None:
        """The config's own name of `layers`, `width`, `heads`, `positions` or `vocab`; None where it has none."""
        if friendly == "positions" and self.positions is None:
            return None
        return self.keys.get(friendly, KEYS[friendly])


KEYS = {
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "positions": "max_position_embeddings",
    "vocab": "vocab_size",
}


def default_heads(width: int) -> int:
    """Attention heads of 64 channels for widths of 256 and more, else 4, 2 or 1 heads with an even head size."""
    if width >= 256 and width % 64 == 0:
        return width // 64
    return next((h for h in (4, 2, 1) if width % (2 * h) == 0), 1)


def ssm_heads(shape: Shape, heads_key: str, size_key: str, expand_key: str) -> tuple[int, int, int]:
    """Heads, head size and expansion of a Mamba-2 mixer, with heads * head size = expansion * width."""
    expand = shape.whole(expand_key, 2)
    inner = expand * shape.width
    if heads_key in shape.given:
        heads = shape.whole(heads_key, 1)
        size = shape.whole(size_key, inner // heads)
    else:
        wanted = 64 if inner >= 512 else 16
        size = shape.whole(size_key, next(s for s in (wanted, 16, 8, 4, 2, 1) if inner % s == 0))
        heads = inner // size
    if heads * size != inner:
        raise BadSetting(
            f"{heads_key} * {size_key} must equal {expand_key} * width: {heads} * {size} != {expand} * {shape.width}"
        )
    return heads, size, expand


def chunk(shape: Shape) -> int:
    """Scan chunk: the usual 256 for real widths, small for tiny models so that short inputs are not padded to 256."""
    return 256 if shape.width >= 256 else 16


def kv_heads(heads: int) -> int:
    """Key-value heads for grouped attention: a third, half or all of the heads."""
    return next(heads // k for k in (3, 2, 1) if heads % k == 0)


def gated_width(width: int) -> int:
    """Inner width of a gated MLP: 8/3 of the width, up to a multiple of 64."""
    return -(-8 * width // (3 * 64)) * 64
