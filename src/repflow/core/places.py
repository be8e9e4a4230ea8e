"""Where in a prompt a probe reads: names, and the tokens they stand for."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from repflow.core.errors import BadSetting
from repflow.core.records import Example

_EVEN = re.compile(r"even:(?P<n>[0-9]{1,4})")
KNOWN = "last, ask, gold, mean, even:N"
ASK = "ask"
"""The last token before the possible answers differ: behind the opening quote of kvpr."""


@dataclass(frozen=True, slots=True)
class Place:
    """One place of a prompt. `name` stands in the column `position` of every row."""

    name: str
    share: float
    """How far into the prompt, 0 to 1; NaN where that differs from prompt to prompt or has no meaning."""

    def token(self, example: Example) -> int | None:
        """Index of the token whose state is read; None for the mean over all tokens.

        For `ask`, of an example whose ids go on to where the answers differ.
        """
        if self.name == "mean":
            return None
        if self.name == "gold":
            assert example.gold_span is not None, "an example without a gold"
            return example.gold_span[1] - 1
        return round(self.share * (len(example.ids) - 1))


def parse_places(names: Sequence[str]) -> tuple[Place, ...]:
    """Places by name: `last` token of the prompt, the token that `ask`s for the answer, end of the `gold` span, `mean`
    over tokens, `even:N` evenly spaced inner tokens.

    The N tokens of `even:N` stand at the shares 1/(N+1) .. N/(N+1) of the prompt. Raises BadSetting for another name,
    for N = 0, and for a place named twice.
    """
    if not names:
        raise BadSetting(f"--places needs at least one of {KNOWN}")
    kinds = [name.partition(":")[0] for name in names]
    twice = [kind for kind in kinds if kinds.count(kind) > 1]
    if twice:
        raise BadSetting(f"--places names {twice[0]} twice")
    return tuple(place for name in names for place in _parse(name))


def check_places(places: Sequence[Place], examples: Sequence[Example]) -> None:
    """Raises BadSetting where a prompt is too short for its evenly spaced tokens to be different ones."""
    even = sum(place.name.startswith("even.") for place in places)
    shortest = min(len(example.ids) for example in examples)
    if even and shortest < even + 2:
        raise BadSetting(
            f"--places even:{even} needs prompts of at least {even + 2} tokens, the shortest has {shortest}; "
            "lower the number or raise --context"
        )


def _parse(name: str) -> list[Place]:
    if name in ("last", ASK):
        return [Place(name, 1.0)]
    if name in ("gold", "mean"):
        return [Place(name, math.nan)]
    found = _EVEN.fullmatch(name)
    if found is None:
        raise BadSetting(f"--places knows {KNOWN}, got {name!r}")
    n = int(found["n"])
    if n < 1:
        raise BadSetting(f"--places {name}: needs at least 1 position")
    return [Place(f"even.{k}of{n}", k / (n + 1)) for k in range(1, n + 1)]
