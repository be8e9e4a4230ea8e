"""How an intervention is written: `NAME[:ARG]`, ARG = [VALUE][,WHERE]..., and what each name takes."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from repflow.core import BadSpec, unknown
from repflow.models.spec import Ablation

_PLACE = re.compile(r"block\.(?P<first>[0-9]{1,6})(-(?P<last>[0-9]{1,6}))?")
_FROM_THE_END = re.compile(r"block\.(-[1-9][0-9]{0,5})")


@dataclass(frozen=True, slots=True)
class Clamp:
    """What a share of the channels of A is set to."""

    value: float
    """0 or minus infinity."""
    share: float = 1.0


Value = int | float | Clamp | None


@dataclass(frozen=True, slots=True)
class Order:
    """An intervention as written, read."""

    name: str
    value: Value
    blocks: tuple[int, ...] | None
    """Block numbers in rising order, -1 for the last block; None for every block that has the part."""
    final: bool
    """Whether the final norm is meant too."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What may stand behind a name."""

    example: str
    """A VALUE that reads; empty where the intervention takes none."""
    needs: str = ""
    """What a VALUE is, in words."""
    read: Callable[[str], Value] = lambda _: None
    """VALUE to number; raises ValueError."""
    final: bool = False
    """Whether the final norm is a place for it."""


def _window(text: str) -> int:
    window = int(text)
    if window < 1:
        raise ValueError(text)
    return window


def _factor(text: str) -> float:
    factor = float(text)
    if not math.isfinite(factor):
        raise ValueError(text)
    return factor


def _clamp(text: str) -> Clamp:
    value, colon, share = text.partition(":")
    clamp = Clamp(float(value), float(share) if colon else 1.0)
    if clamp.value not in (0.0, -math.inf) or not 0 < clamp.share <= 1:
        raise ValueError(text)
    return clamp


RULES: dict[str, Rule] = {
    "norm_reset": Rule("", final=True),
    "norm_removed": Rule("", final=True),
    "attention_window": Rule("64", "a number of tokens of 1 or more", _window),
    "attention_uniform": Rule(""),
    "attention_self": Rule(""),
    "residual_scaled": Rule("0.5", "a number", _factor),
    "residual_cut": Rule(""),
    "ssm_freeze_dt": Rule(""),
    "ssm_no_conv": Rule(""),
    "ssm_no_gate": Rule(""),
    "ssm_clamp_a": Rule("0", "0 or -inf, then maybe a share of the channels above 0 and up to 1 (0:0.5)", _clamp),
}

INTERVENTIONS = tuple(RULES)
"""The interventions, by name."""


def read_order(ablation: Ablation) -> Order:
    """Reads an intervention: value first where it takes one, then places (`block.3`, `block.0-5`, `block.-1`, `final`).

    Raises UnknownName for a name, BadSpec for an argument that does not fit.
    """
    rule = RULES.get(ablation.name)
    if rule is None:
        raise unknown("intervention", ablation.name, INTERVENTIONS)
    items = [] if ablation.argument is None else ablation.argument.split(",")
    value: Value = None
    if rule.example:
        value = _read_value(ablation, rule, items.pop(0) if items else "")
    blocks, final = _read_places(ablation, rule, items)
    return Order(ablation.name, value, blocks, final)


def _read_value(ablation: Ablation, rule: Rule, text: str) -> Value:
    try:
        return rule.read(text)
    except ValueError:
        given = f"got {text!r}" if text else "got none"
        example = f"{ablation.name}:{rule.example}"
        raise BadSpec(f"@ablate={ablation}: needs {rule.needs}, {given}; write e.g. {example}") from None


def _read_places(ablation: Ablation, rule: Rule, items: list[str]) -> tuple[tuple[int, ...] | None, bool]:
    """Blocks and whether the final norm is meant; without places every block, and the final norm where that fits."""
    if not items:
        return None, rule.final
    blocks: set[int] = set()
    for item in items:
        if item == "final" and rule.final:
            continue
        if behind := _FROM_THE_END.fullmatch(item):
            blocks.add(int(behind[1]))
            continue
        match = _PLACE.fullmatch(item)
        if match is None or int(match["last"] or match["first"]) < int(match["first"]):
            places = "block.3, block.0-5, block.-1 (the last)" + (" or final" if rule.final else "")
            raise BadSpec(f"@ablate={ablation}: {item!r} is not a place; write {places}")
        blocks.update(range(int(match["first"]), int(match["last"] or match["first"]) + 1))
    return tuple(sorted(blocks)), "final" in items
