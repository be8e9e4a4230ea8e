"""The answers that stand in a prompt, as the tokens by which they first differ."""

from collections.abc import Sequence
from dataclasses import dataclass

from repflow.core import Example, Tokenizer
from repflow.tasks.bos import WithBos
from repflow.tasks.tokens import encode


@dataclass(frozen=True, slots=True)
class Choices:
    """Where a model has to choose between the answers of a prompt, and between which tokens."""

    asked: tuple[int, ...]
    """The prompt led on to the last token before the answers differ, the same whichever is right."""
    tokens: tuple[int, ...]
    """Of each answer, in the prompt's order, the token that follows; answers that begin alike share it."""


def choices_of(tokenizer: Tokenizer, example: Example, *, bos: bool = False) -> Choices | None:
    """The choices of an example; None where it has none, where all begin alike, or where one is how another begins.

    `bos`: as the task that built it. Cost: the whole prompt is encoded twice, its last line once an answer.
    """
    if not example.choices:
        return None
    tokenizer = WithBos(tokenizer) if bos else tokenizer
    line = example.prompt.rpartition("\n")[2]
    tokens = _differing([encode(tokenizer, line + choice, special=False) for choice in example.choices])[1]
    pair = _two_unlike(tokens, example.gold_position or 0)
    if pair is None:
        return None
    asked, found = _differing([_whole(tokenizer, example, i) for i in pair])
    if found != tuple(tokens[i] for i in pair):
        asked, tokens = _differing([_whole(tokenizer, example, i) for i in range(len(example.choices))])
    return None if -1 in tokens else Choices(asked, tokens)


def _whole(tokenizer: Tokenizer, example: Example, choice: int) -> list[int]:
    return encode(tokenizer, example.prompt + example.choices[choice], special=True)


def _two_unlike(tokens: Sequence[int], gold: int) -> tuple[int, int] | None:
    other = next((i for i, token in enumerate(tokens) if token != tokens[gold]), None)
    return None if other is None else (gold, other)


def _differing(encoded: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The common beginning, and the token of each that follows it (-1 for one that ends there)."""
    shortest = min(map(len, encoded))
    shared = next((i for i in range(shortest) if len({ids[i] for ids in encoded}) > 1), shortest)
    return tuple(encoded[0][:shared]), tuple(ids[shared] if len(ids) > shared else -1 for ids in encoded)
