"""What the tasks' questions have in common: a prompt of items, one of them gold, as long as the context allows."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from repflow.core import BadSetting, Example, Tokenizer
from repflow.tasks.fit import largest_fit
from repflow.tasks.tokens import CharRange, encode, token_span


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt and where the gold is in it."""

    text: str
    gold_chars: CharRange
    gold_position: int
    n_items: int
    choices: tuple[str, ...] = ()
    """How it would go on with each answer that stands in it."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its gold and its distractors: a prompt for every number of items and every place."""

    draw: Callable[[int, int], Prompt]
    """(items, place) -> prompt; larger prompts hold the items of smaller ones in the same order."""
    most: int
    """Items there are, the gold included."""
    answers: tuple[str, ...]
    unit: Hashable = None
    """What it has in common with the questions that it is resampled with; None stands for itself."""

    def tokens(self, tokenizer: Tokenizer, items: int, place: int) -> int:
        return len(encode(tokenizer, self.draw(items, place).text, special=True))

    def fit(self, tokenizer: Tokenizer, context: int, places: Sequence[int], *, least: int, guess: int) -> int:
        """The most items whose prompt is at most `context` tokens at each place; less than `least` means none."""
        if self.most < least:
            return self.most
        count = largest_fit(
            lambda k: self.tokens(tokenizer, k, places[0]), context, low=least, high=self.most, guess=guess
        )
        for place in places[1:]:
            while count >= least and self.tokens(tokenizer, count, place) > context:
                count -= 1
        return count

    def examples(
        self, tokenizer: Tokenizer, items: int, places: Sequence[int], group: int, unit: int
    ) -> Iterator[Example]:
        """The question's examples, one a place, ids following on those of the groups before."""
        for nth, place in enumerate(places):
            prompt = self.draw(items, place)
            ids = tuple(encode(tokenizer, prompt.text, special=True))
            yield Example(
                id=group * len(places) + nth,
                ids=ids,
                prompt=prompt.text,
                group=group,
                gold_position=prompt.gold_position,
                n_positions=prompt.n_items,
                gold_span=token_span(tokenizer, prompt.text, ids, prompt.gold_chars),
                answers=self.answers,
                gold_class=place,
                unit=unit,
                choices=prompt.choices,
            )


def assemble(
    head: str, items: Sequence[str], separator: str, tail: str, gold: int, choices: tuple[str, ...] = ()
) -> Prompt:
    """A prompt of a head, the items with a separator between them, and a tail."""
    start = len(head) + sum(len(item) + len(separator) for item in items[:gold])
    text = f"{head}{separator.join(items)}{tail}"
    return Prompt(text, (start, start + len(items[gold])), gold, len(items), choices)


def check_size(n: int, context: int, least: int = 1) -> None:
    """Raises BadSetting for a number of examples or a context that nothing can come of."""
    if n < 1:
        raise BadSetting(f"examples {n}: needs at least 1")
    if context < least:
        raise BadSetting(f"context {context}: needs at least {least} tokens")


def check_items(items: int | None, positions: int, crossed: bool) -> None:
    """Raises BadSetting for a number of pairs or documents that no prompt, or not every place, can have."""
    if items is None:
        return
    if items < 2:
        raise BadSetting(f"items {items}: a prompt needs at least 2 pairs or documents")
    if crossed and items < positions:
        raise BadSetting(f"items {items}: {positions} positions need as many; lower --positions")
