"""The registry of architectures. A family that is not here still works: its sites are found by probing."""

from repflow.core import BadSetting, unknown
from repflow.models.families import _hybrids, _state_space, _transformers
from repflow.models.families.family import KEYS, Family, Shape, default_heads

FAMILIES: dict[str, Family] = {
    family.name: family for group in (_transformers, _state_space, _hybrids) for family in group.FAMILIES
}
"""Every registered family by its `model_type`."""

_BY_ALIAS = {alias: family for family in FAMILIES.values() for alias in family.aliases}

TINY_LAYERS, TINY_WIDTH = 4, 64


def family(name: str) -> Family:
    """The family of a name or alias. Raises UnknownName."""
    found = FAMILIES.get(name) or _BY_ALIAS.get(name)
    if found is None:
        raise unknown("family", name, [*FAMILIES, *_BY_ALIAS])
    return found


def config_settings(chosen: Family, options: dict[str, object]) -> dict[str, object]:
    """Config settings of a random model: 4 blocks of width 64 unless the options say otherwise.

    Options may use `layers`, `width`, `heads`, `positions` and `vocab`, or the family's own config keys; sizes that
    follow from others (head counts, layer patterns) are derived unless set by hand.
    """
    given = _own_keys(chosen, options)
    shape = Shape(0, 0, 0, given)
    width = shape.whole(_required(chosen, "width"), TINY_WIDTH)
    layers = shape.whole(_required(chosen, "layers"), TINY_LAYERS)
    heads = shape.whole(_required(chosen, "heads"), default_heads(width))
    sizes: dict[str, object] = {_required(chosen, "layers"): layers, _required(chosen, "width"): width}
    if chosen.kind in ("TBM", "hybrid"):
        sizes[_required(chosen, "heads")] = heads
    if chosen.positions is not None:
        sizes[_required(chosen, "positions")] = chosen.positions
    derived = chosen.settings(Shape(layers, width, heads, given))
    return {**sizes, **derived, **given}


def _own_keys(chosen: Family, options: dict[str, object]) -> dict[str, object]:
    given: dict[str, object] = {}
    for key, value in options.items():
        own = chosen.key(key) if key in KEYS else key
        if own is None:
            raise BadSetting(f"{chosen.name} has no setting for {key}")
        if own in given:
            raise BadSetting(f"config:{chosen.name} sets {own} twice (as {key} and by another name)")
        given[own] = value
    return given


def _required(chosen: Family, friendly: str) -> str:
    own = chosen.key(friendly)
    if own is None:
        raise BadSetting(f"{chosen.name} has no setting for {friendly}")
    return own


__all__ = ["FAMILIES", "KEYS", "Family", "config_settings", "family"]
