"""Which prompts of a probe run belong together: no split divides them, and they are resampled as one."""

from collections.abc import Hashable, Sequence

from repflow.core import Example


def told_apart(examples: Sequence[Example]) -> tuple[int, ...]:
    """For each example the first of the groups that are linked with its own, by a gold or a unit they share.

    Golds are compared where the groups have them at their first position.
    """
    first: dict[Hashable, int] = {}
    linked: dict[int, int] = {}
    for example in examples:
        golds: list[Hashable] = []
        if example.group not in linked:
            assert example.gold_span is not None, "an example without a gold"
            linked[example.group] = example.group
            golds = [example.ids[slice(*example.gold_span)]]
        for shared in (*golds, ("unit", example.unit)) if example.unit is not None else golds:
            _link(linked, example.group, first.setdefault(shared, example.group))
    return tuple(_root(linked, example.group) for example in examples)


def _root(linked: dict[int, int], group: int) -> int:
    while linked[group] != group:
        group = linked[group]
    return group


def _link(linked: dict[int, int], one: int, other: int) -> None:
    first, second = sorted((_root(linked, one), _root(linked, other)))
    linked[second] = first
