"""What the parts expect of each other."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from repflow.core.records import Example


@runtime_checkable
class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that tasks use."""

    @property
    def all_special_ids(self) -> list[int]: ...

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]: ...

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str: ...


@runtime_checkable
class Task(Protocol):
    """A source of examples: settings in, tokenised prompts out."""

    @property
    def name(self) -> str: ...

    def describe(self) -> dict[str, Any]:
        """Settings and sources, for run.json; under `notes`, where there are any, what the run has to warn of."""
        ...

    def build(self, tokenizer: Tokenizer, *, n: int, context: int, seed: int) -> list[Example]:
        """The first `n` examples of about `context` tokens, ids 0..n-1; fewer when the data ends before.

        The first k examples do not depend on n; they come from everywhere in the data, and another seed draws others.
        Each carries the `unit` it is resampled with, which is the same for every tokenizer, n, context and seed as far
        as the data allow. Raises NotEnoughData when there is not one.
        """
        ...
