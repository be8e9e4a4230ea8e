"""Running text: packed into pieces of equal length, or a document an example."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from repflow.core import Example, NotEnoughData, Tokenizer
from repflow.tasks._documents import check_source, chunks, documents, facts
from repflow.tasks._prompts import check_size
from repflow.tasks._tokens import encode
from repflow.tasks.files import shipped

LEAST_TOKENS = 4
_MOST_CHARS_A_TOKEN = 64


@dataclass(frozen=True)
class TextTask:
    """Text files, JSON Lines files, datasets (`hf:DATASET[:CONFIG][:SPLIT]`) and folders that `save_to_disk` wrote.

    Packed, the sources' tokens, without special tokens, one source after the other, are cut into consecutive pieces of
    `context` tokens; a short last piece is dropped. Not packed, each document, with the tokenizer's special tokens, is
    cut to `context` tokens, and those of fewer than 4 tokens are passed over. Documents are the rows of a dataset or
    JSON Lines file, and in other files the parts between blank lines. Only as much is read as the examples need.
    """

    text: tuple[str, ...] = ()
    """The sources; none takes the prose that comes with the package."""
    pack: bool = True
    column: str = "text"
    """The field of JSON Lines files and datasets that holds the text."""

    @property
    def name(self) -> str:
        return "text"

    @property
    def sources(self) -> tuple[str, ...]:
        return self.text or (str(shipped("prose.txt")),)

    def build(self, tokenizer: Tokenizer, *, n: int, context: int, seed: int) -> list[Example]:
        """The first n examples; the seed changes nothing. Raises NotEnoughData where there is not one."""
        del seed
        check_size(n, context, LEAST_TOKENS)
        for source in self.sources:
            check_source(source)
        pieces = self._packed(tokenizer, context) if self.pack else self._documents(tokenizer, context)
        examples = [
            Example(id=i, ids=ids, prompt=tokenizer.decode(ids), group=i) for i, ids in enumerate(islice(pieces, n))
        ]
        if not examples:
            raise self._nothing(tokenizer, context)
        return examples

    def _packed(self, tokenizer: Tokenizer, context: int) -> Iterator[tuple[int, ...]]:
        held: list[int] = []
        for ids in self._tokens(tokenizer):
            held += ids
            whole = len(held) - len(held) % context
            yield from (tuple(held[i : i + context]) for i in range(0, whole, context))
            held = held[whole:]

    def _tokens(self, tokenizer: Tokenizer) -> Iterator[list[int]]:
        for source in self.sources:
            for chunk in chunks(source, self.column):
                yield encode(tokenizer, chunk, special=False)

    def _documents(self, tokenizer: Tokenizer, context: int) -> Iterator[tuple[int, ...]]:
        special = set(tokenizer.all_special_ids)
        for source in self.sources:
            for document in documents(source, self.column):
                ids = encode(tokenizer, document[: context * _MOST_CHARS_A_TOKEN], special=True)[:context]
                if sum(i not in special for i in ids) >= LEAST_TOKENS:
                    yield tuple(ids)

    def _nothing(self, tokenizer: Tokenizer, context: int) -> NotEnoughData:
        names = ", ".join(self.sources)
        if not self.pack:
            return NotEnoughData(f"{names}: no document of at least {LEAST_TOKENS} tokens")
        held = sum(map(len, self._tokens(tokenizer)))
        return NotEnoughData(
            f"{names}: {held} tokens, fewer than one piece of {context}; lower --context or give more text"
        )

    def describe(self) -> dict[str, Any]:
        """The settings, and the name and sha256 of each source, for run.json."""
        sources = [facts(source) for source in self.sources]
        if not self.text:
            sources = [{"file": f"built in: {Path(self.sources[0]).name}", "sha256": sources[0]["sha256"]}]
        return {"name": self.name, "pack": self.pack, "column": self.column, "text": sources}
