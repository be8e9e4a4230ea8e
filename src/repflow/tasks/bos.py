"""A tokenizer that begins every prompt with its BOS, whether or not it does so by itself."""

from collections.abc import Sequence
from typing import Any

from repflow.core import BadSetting, Tokenizer
from repflow.tasks.tokens import encode


def bos_of(tokenizer: Tokenizer) -> int:
    """The id of a tokenizer's BOS token. Raises BadSetting where it has none."""
    found = getattr(tokenizer, "bos_token_id", None)
    if not isinstance(found, int):
        raise BadSetting("--bos: the model's tokenizer has no BOS token; leave the option out")
    return found


class WithBos:
    """A tokenizer in front of which BOS stands; everything else is the tokenizer's own."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer: Any = tokenizer
        self.bos = bos_of(tokenizer)

    @property
    def is_fast(self) -> bool:
        return getattr(self.tokenizer, "is_fast", False)

    @property
    def all_special_ids(self) -> list[int]:
        return [*self.tokenizer.all_special_ids]

    def encode(self, text: str, *, add_special_tokens: bool = True, **_: Any) -> list[int]:
        ids = encode(self.tokenizer, text, special=add_special_tokens)
        return [self.bos, *ids] if add_special_tokens and ids[:1] != [self.bos] else ids

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        return self.tokenizer.decode(token_ids, skip_special_tokens=skip_special_tokens)

    def __call__(self, text: str, **options: Any) -> dict[str, Any]:
        """Ids and offsets of a text with its special tokens, as a fast Hugging Face tokenizer gives them."""
        encoded = self.tokenizer(text, **options)
        ids, offsets = list(encoded["input_ids"]), list(encoded["offset_mapping"])
        if ids[:1] != [self.bos]:
            ids, offsets = [self.bos, *ids], [(0, 0), *offsets]
        return {"input_ids": ids, "offset_mapping": offsets}
