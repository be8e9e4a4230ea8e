"""Which sites a loss reads: named, a range of blocks, or a range of depths."""

import re
from collections.abc import Sequence

from repflow.core import BadSetting, Site, unknown

Sites = str | Sequence[str] | None
"""`block.3`, `block.6-11`, blocks by depth `0.75-1`; several in a list or with commas; None: the loss's default."""

_BLOCKS = re.compile(r"block\.(\d+)-(\d+)")
_DEPTHS = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")


def blocks_of(known: Sequence[Site]) -> tuple[Site, ...]:
    """The sites after blocks: neither `embed` nor the final norm."""
    return tuple(site for site in known if site.name != "embed" and not site.is_final_norm)


def path_of(known: Sequence[Site]) -> tuple[Site, ...]:
    """The sites of a path through depth: all but the final norm."""
    return tuple(site for site in known if not site.is_final_norm)


def choose(given: Sites, known: Sequence[Site], default: Sequence[Site]) -> tuple[Site, ...]:
    """The sites that `given` names, in the order of depth. Raises UnknownName or BadSetting, listing the sites."""
    if given is None:
        return tuple(default)
    names = given.split(",") if isinstance(given, str) else given
    chosen = {site for name in names for site in _named(name.strip(), known)}
    if not chosen:
        raise BadSetting("no sites given; name at least one, or leave sites out for the default")
    return tuple(site for site in known if site in chosen)


def _named(name: str, known: Sequence[Site]) -> Sequence[Site]:
    if found := _BLOCKS.fullmatch(name):
        first, last = (_place(f"block.{end}", known) for end in found.groups())
        return _some(known[first : last + 1], name, known)
    if found := _DEPTHS.fullmatch(name):
        low, high = (float(end) for end in found.groups())
        return _some([site for site in blocks_of(known) if low <= site.depth <= high], name, known)
    return [known[_place(name, known)]]


def _place(name: str, known: Sequence[Site]) -> int:
    names = [site.name for site in known]
    if name not in names:
        raise unknown("site", name, names)
    return names.index(name)


def _some(found: Sequence[Site], name: str, known: Sequence[Site]) -> Sequence[Site]:
    if not found:
        depths = ", ".join(f"{site.name} ({site.depth:.2f})" for site in blocks_of(known))
        raise BadSetting(f"sites {name!r} holds no block; give the lower end first; blocks and depths: {depths}")
    return found
