"""Places of a prompt by name."""

import math

import pytest

from repflow.core import BadSetting, Example
from repflow.core.places import check_places, parse_places


def example(tokens: int = 11, span: tuple[int, int] | None = (3, 6)) -> Example:
    return Example(id=0, ids=tuple(range(tokens)), gold_span=span)


def test_the_tokens_they_stand_for() -> None:
    places = parse_places(["last", "gold", "mean", "even:4"])
    assert [place.name for place in places] == ["last", "gold", "mean", *(f"even.{k}of4" for k in (1, 2, 3, 4))]
    assert [place.token(example()) for place in places] == [10, 5, None, 2, 4, 6, 8]
    assert [place.share for place in places[3:]] == [0.2, 0.4, 0.6, 0.8]
    assert places[0].share == 1.0
    assert math.isnan(places[1].share)


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_evenly_spaced_tokens_are_inner_ones_and_all_different(n: int) -> None:
    places = parse_places([f"even:{n}"])
    shortest = example(n + 2)
    check_places(places, [shortest, example(40)])
    assert [place.token(shortest) for place in places] == list(range(1, n + 1))
    with pytest.raises(BadSetting, match=f"prompts of at least {n + 2} tokens, the shortest has {n + 1}"):
        check_places(places, [example(40), example(n + 1)])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["first"], "knows last, ask, gold, mean, even:N, got 'first'"),
        (["even"], "got 'even'"),
        (["even:-1"], "got 'even:-1'"),
        (["even:1.5"], "got 'even:1.5'"),
        (["even:0"], "at least 1 position"),
        (["last", "mean", "last"], "names last twice"),
        (["even:2", "even:3"], "names even twice"),
        ([], "at least one of"),
    ],
)
def test_places_that_are_none(names: list[str], said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        parse_places(names)
