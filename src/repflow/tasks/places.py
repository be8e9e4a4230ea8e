"""Where the gold stands among the distractors, so that prompts nest and only the gold moves.

With P evenly spaced places there are P - 1 slots between them, and the k-th distractor to arrive goes to the end of
slot `order[k mod (P - 1)]`. Gold at place p stands after the first p slots. Hence for one set of distractors: a smaller
prompt is a larger one with distractors removed, their order is the same at every place, and the gold's index is within
one of the evenly spaced p/(P - 1) x number of distractors (within two for more than five places).
"""

from collections.abc import Sequence
from typing import TypeVar

from repflow.core import BadSetting

T = TypeVar("T")


def check_places(positions: int, gold: int | None, crossed: bool) -> None:
    """Raises BadSetting for gold positions that make no sense together."""
    if positions < 2:
        raise BadSetting(f"positions {positions}: the gold needs at least 2 places to be at")
    if gold is not None and not 0 <= gold < positions:
        raise BadSetting(f"gold {gold} is none of the {positions} positions, 0 to {positions - 1}")
    if gold is not None and crossed:
        raise BadSetting("crossed puts the gold at every position, gold at one: give one of the two")


def places_of(group: int, positions: int, gold: int | None, crossed: bool) -> tuple[int, ...]:
    """The places the gold takes in the examples of a group: all of them, the chosen one, or each group the next."""
    if crossed:
        return tuple(range(positions))
    return (group % positions if gold is None else gold,)


def slot_order(slots: int) -> list[int]:
    """0 .. slots-1 so that any beginning of it is spread out: by the reversed bits."""
    width = max(slots - 1, 1).bit_length()
    return sorted(range(slots), key=lambda s: int(f"{s:0{width}b}"[::-1], 2))


def arrange(arrived: Sequence[T], gold: T, place: int, positions: int) -> tuple[list[T], int]:
    """The items in the order of the prompt, and the index of the gold among them."""
    order = slot_order(positions - 1)
    slots: list[list[T]] = [[] for _ in order]
    for k, item in enumerate(arrived):
        slots[order[k % len(order)]].append(item)
    before = [item for slot in slots[:place] for item in slot]
    after = [item for slot in slots[place:] for item in slot]
    return [*before, gold, *after], len(before)


def arrivals(shown: Sequence[T], positions: int) -> list[T]:
    """An order of arrival after which `arrange` shows all the items in the order given."""
    order = slot_order(positions - 1)
    sizes = [0] * len(order)
    for k in range(len(shown)):
        sizes[order[k % len(order)]] += 1
    starts = [sum(sizes[:s]) for s in range(len(order))]
    return [shown[starts[order[k % len(order)]] + k // len(order)] for k in range(len(shown))]
