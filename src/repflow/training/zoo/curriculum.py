"""The zoo's curriculum: what the rows of a training hold, how long they are and how fast it learns, stage by stage."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

KINDS = {
    "pairs": "keys and values of one token each, one after the other, and each key again with its value to say",
    "previous": "x y x: say the token before the last one again",
    "gaps": "as pairs, with 0 to 2 other tokens between a key and its value",
    "behind": 'x": "y and then x: the token before the last one, behind punctuation',
    "echo": "a question about a key without an object, answered by the key itself",
    "object": "a JSON object of keys and values of one token, then its lines again in any order",
    "prompt": "the prompt of kvpr with keys and values of one token, and many questions",
    "prompt4": "the prompt of kvpr with keys and values of four digits, and many questions",
    "documents": "the prompt of mdqa with documents of the corpus, and questions about all of them",
}
"""What a row holds that is not text."""
DIVIDED = "/divided"
"""Behind a kind: its keys are from one half of the tokens, its values from the other."""
WARM = 0.02
"""Share of the tokens over which the learning rate rises from 0."""
DECAY = 0.25
"""Share of the tokens at the end over which it falls, along a cosine, to `LOWEST` of what it was."""
LOWEST = 0.05


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a curriculum."""

    name: str
    share: float
    """Of all tokens, relative to the other stages'."""
    text: int
    """Rows in a hundred that are plain text."""
    rows: Mapping[str, float]
    """Kinds of the other rows with their weights."""
    pairs: int
    """Most pairs of a row."""
    length: int
    """Tokens of a row."""
    batch_tokens: int
    """Tokens of a step."""
    rate: float = 1.0
    """Learning rate, as a share of the highest."""


@dataclass(frozen=True, slots=True)
class Span:
    """Steps `first` to `last` (exclusive) of a training, and the stage they belong to."""

    first: int
    last: int
    stage: Stage

    @property
    def rows(self) -> int:
        """Rows of a step."""
        return self.stage.batch_tokens // self.stage.length

    @property
    def tokens(self) -> int:
        return (self.last - self.first) * self.stage.batch_tokens


RETRIEVAL = (
    Stage("A", 16, 0, {f"pairs{DIVIDED}": 3, "previous": 1}, 8, 64, 512),
    Stage(
        "B", 16, 0,
        {
            "gaps": 2, f"object{DIVIDED}": 2, f"prompt{DIVIDED}": 3, "object": 1, "prompt": 1, "behind": 0.5,
            "echo": 0.5,
        },
        5, 128, 1024,
    ),
    Stage("C", 13, 0, {"gaps": 1, "object": 2, "prompt": 1, "prompt4": 4, "echo": 0.5}, 6, 160, 1280),
)  # fmt: skip
"""Nothing but retrieval, from the step that all of it needs to the prompts of kvpr."""
READING = (
    Stage(
        "D", 38, 55,
        {"gaps": 1, "object": 2, "prompt": 1, "prompt4": 5, "echo": 0.5, "documents": 1.5},
        16, 320, 1920, 0.75,
    ),
    Stage("E", 17, 70, {"prompt4": 3, "documents": 2}, 40, 1024, 2048, 0.75),
)  # fmt: skip
"""Retrieval among more pairs, and text; at last as long as the longest contexts."""
CURRICULUM = (*RETRIEVAL, *READING)


def with_lengths(lengths: Sequence[int]) -> tuple[Stage, ...]:
    """One mix of text and all that is asked, in rows that grow in equal shares."""
    mix = READING[0]
    return tuple(replace(mix, name=str(i), share=1, length=length) for i, length in enumerate(lengths, start=1))


def spans(stages: Sequence[Stage], tokens: int) -> list[Span]:
    """The steps of a training on about so many tokens; a stage too small for a step is left out, but never all."""
    whole = sum(stage.share for stage in stages)
    found: list[Span] = []
    for stage in stages:
        first = found[-1].last if found else 0
        steps = round(tokens * stage.share / whole / stage.batch_tokens)
        if steps:
            found.append(Span(first, first + steps, stage))
    return found or [Span(0, 1, stages[-1])]


def tokens_until(plan: Sequence[Span], step: int) -> int:
    """Tokens of the steps before this one."""
    return sum(max(0, min(step, span.last) - span.first) * span.stage.batch_tokens for span in plan)


def rate(plan: Sequence[Span], step: int) -> float:
    """The learning rate of a step, as a share of the highest."""
    stage = next((span.stage for span in plan if step < span.last), plan[-1].stage)
    seen = tokens_until(plan, step) / tokens_until(plan, plan[-1].last)
    falling = max(0.0, (seen - (1 - DECAY)) / DECAY)
    height = LOWEST + (1 - LOWEST) * (1 + math.cos(math.pi * falling)) / 2
    return stage.rate * height * min(1.0, seen / WARM)
