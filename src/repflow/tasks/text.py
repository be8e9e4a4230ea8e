"""Running text: packed into pieces of equal length, or a document an example."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

from repflow.core import BadSetting, Example, NotEnoughData, Tokenizer
from repflow.tasks.blocks import LEAST_BLOCKS
from repflow.tasks.bos import WithBos, bos_of
from repflow.tasks.files import shipped
from repflow.tasks.prompts import check_size
from repflow.tasks.sources import Source, facts, read_source
from repflow.tasks.tokens import encode
from repflow.tasks.windows import count_units, documents, windows

SHIPPED = ("prose.txt", "dialogue.txt", "encyclopaedia.txt", "code.txt", "lists.txt", "letters.txt")
"""The texts that come with the package and are read where no other is named: one line a file in `data/`."""
LEAST_TOKENS = 4


@dataclass(frozen=True)
class TextTask:
    """Text files, files of records, datasets (`hf:DATASET[:CONFIG][:SPLIT]`) and folders that `save_to_disk` wrote.

    What a file holds is told by its content: running text, JSON objects (a line each, or an array), a table, parquet.

    Examples come from the sources in turn, and from places spread over the whole of each: the first k are the same
    however many are wanted, and another seed begins elsewhere. Packed, a source's tokens, without special tokens, are
    cut into pieces of `context` tokens; a short last piece is dropped. Not packed, each document, with the tokenizer's
    special tokens, is cut to `context` tokens, and those of fewer than 4 tokens are passed over. Documents are the rows
    of a dataset or file of records, and of running text the parts between blank lines.

    The unit of an example is the block of the source that its middle lies in (`_blocks.py`), or its row where the
    examples are rows: the same for every tokenizer, context, number of examples and seed.
    """

    text: tuple[str, ...] = ()
    """The sources; none takes the texts that come with the package."""
    pack: bool = True
    column: str | None = None
    """The column that holds the text; None takes `text` of JSON files, parquet files and datasets."""
    bos: bool = False
    """Begin every example with the tokenizer's BOS, counted in its `context` tokens; else a piece has no special token,
    and a document those that the tokenizer gives it."""

    @property
    def name(self) -> str:
        return "text"

    @property
    def sources(self) -> tuple[str, ...]:
        return self.text or tuple(str(shipped(name)) for name in SHIPPED)

    def build(self, tokenizer: Tokenizer, *, n: int, context: int, seed: int) -> list[Example]:
        """The first n examples. Raises NotEnoughData where there is not one."""
        check_size(n, context, LEAST_TOKENS + self.bos)
        read = self._read()
        first = accumulate((count_units(source, self.pack) for source in read), initial=0)
        drawn = [
            self._drawn(tokenizer, source, context, f"repflow text {seed} {number}", self._label(name), begin)
            for number, (name, source, begin) in enumerate(zip(self.sources, read, first, strict=False))
        ]
        examples = [replace(example, id=i, group=i) for i, example in enumerate(islice(_in_turn(drawn), n))]
        if not examples:
            raise self._nothing(tokenizer, read, context)
        return examples

    def _read(self) -> list[Source]:
        read = [read_source(source, self.column) for source in self.sources]
        if self.column is not None and not any(source.held.rows for source in read):
            raise BadSetting(f"--column {self.column}: {', '.join(self.sources)} is running text, without columns")
        return read

    def _drawn(
        self, tokenizer: Tokenizer, source: Source, context: int, seed: str, label: str, first_unit: int
    ) -> Iterator[Example]:
        lead: tuple[int, ...] = ()
        if self.pack:
            lead = (bos_of(tokenizer),) if self.bos else ()
            pieces = windows(tokenizer, source, context - len(lead), seed)
        else:
            tokenizer = WithBos(tokenizer) if self.bos else tokenizer
            pieces = documents(tokenizer, source, context, LEAST_TOKENS, seed)
        for piece, unit in pieces:
            ids = lead + piece
            yield Example(id=0, ids=ids, prompt=tokenizer.decode(ids), unit=first_unit + unit, source=label)

    def _nothing(self, tokenizer: Tokenizer, read: Sequence[Source], context: int) -> NotEnoughData:
        names = ", ".join(self.sources)
        if not self.pack:
            return NotEnoughData(f"{names}: no document of at least {LEAST_TOKENS} tokens")
        held = max(len(encode(tokenizer, source.held.text, special=False)) for source in read)
        longest = "the longest has " if len(read) > 1 else ""
        return NotEnoughData(
            f"{names}: {longest}{held} tokens, fewer than one piece of {context - self.bos}; lower --context or give "
            "more text"
        )

    def _label(self, source: str) -> str:
        return source if self.text else f"built in: {Path(source).name}"

    def describe(self) -> dict[str, Any]:
        """The settings, and the name, sha256, size and blocks of each source, for run.json."""
        sources = [facts(source, self.column) for source in self.sources]
        if not self.text:
            sources = [known | {"file": f"built in: {known['file']}"} for known in sources]
        settings = {"name": self.name, "pack": self.pack, "column": self.column, "bos": self.bos}
        return settings | {"text": sources, "notes": self._notes()}

    def _notes(self) -> list[str]:
        read = self._read()
        units = [count_units(source, self.pack) for source in read]
        effective = len(read) ** 2 / sum(1 / n for n in units)
        if effective >= LEAST_BLOCKS:
            return []
        length = max(source.blocks.length for source in read)
        few = (
            f"the text has {effective:.0f} blocks that are independent by its own autocorrelation ({length:,} "
            f"characters each), fewer than {LEAST_BLOCKS}: no interval on it is worth the name; give more text, or "
            "several sources"
        )
        return [few]


def _in_turn(drawn: list[Iterator[Example]]) -> Iterator[Example]:
    while drawn:
        going: list[Iterator[Example]] = []
        for examples in drawn:
            example = next(examples, None)
            if example is not None:
                going.append(examples)
                yield example
        drawn = going
