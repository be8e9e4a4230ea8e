"""The words that a tokenizer writes as one token, for prompts that suit small tokenizers."""

from typing import Any

from repflow.core import Tokenizer
from repflow.tasks.tokens import encode

MOST_WORDS = 4096


def single_tokens(tokenizer: Tokenizer) -> tuple[str, ...]:
    """Texts of ASCII letters and digits that stand between quotes as one token, in the order of their ids.

    At most 4,096; none where the tokenizer does not list its vocabulary. Cost: an encoding a word.
    """
    asked: Any = getattr(tokenizer, "get_vocab", dict)
    words: list[str] = []
    for token, number in sorted(asked().items(), key=lambda item: item[1]):
        if token.isascii() and token.isalnum() and len(words) < MOST_WORDS:
            ids = encode(tokenizer, f'"{token}"', special=False)
            if len(ids) == 3 and ids[1] == number:
                words.append(token)
    return tuple(words)
