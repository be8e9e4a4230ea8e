"""What a run records about a list of examples."""

import hashlib
import json
from collections.abc import Sequence

from repflow.core import Example


def examples_sha256(examples: Sequence[Example]) -> str:
    """Hex sha256 of ids, tokens, groups, golds, answers and units, in order; the prompts' text aside.

    An example that is a unit of its own is resampled, and hashed, like one without a unit.
    """
    digest = hashlib.sha256()
    for e in examples:
        parts = (e.id, e.ids, e.group, e.gold_position, e.n_positions, e.gold_span, e.gold_class, e.answers)
        unit = () if e.unit_id == e.id else (e.unit_id,)
        digest.update(json.dumps([*parts, *unit]).encode() + b"\n")
    return digest.hexdigest()


def longest(examples: Sequence[Example]) -> int:
    """Tokens of the longest example, 0 for none."""
    return max((len(example.ids) for example in examples), default=0)
