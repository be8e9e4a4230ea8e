"""Two tokenizers that need no download: a byte-level one with offsets, and one of words without."""

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

PUBLISHED = Path(__file__).parents[2].parent / "shared" / "data" / "lost-in-the-middle"


class Words:
    """Splits at white space, so that commas and quotes stick to their words; begins with a special token."""

    def __init__(self) -> None:
        self.words: list[str] = ["<s>"]
        self.number: dict[str, int] = {"<s>": 0}

    @property
    def all_special_ids(self) -> list[int]:
        return [0]

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        ids = [0] if add_special_tokens else []
        for word in re.findall(r"\S+", text):
            if word not in self.number:
                self.number[word] = len(self.words)
                self.words.append(word)
            ids.append(self.number[word])
        return ids

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        return " ".join(self.words[i] for i in token_ids if i or not skip_special_tokens)


@pytest.fixture(scope="session")
def fast() -> Any:
    """A byte-level BPE tokenizer of 3,000 tokens, trained on the prose in the package, with a BOS token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=3000, initial_alphabet=alphabet, special_tokens=["<s>"], show_progress=False
    )
    prose = (resources.files("repflow.tasks") / "data" / "prose.txt").read_text(encoding="utf-8")
    core.train_from_iterator(prose.split("\n\n"), trainer)
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", model_max_length=64)


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.fixture(params=["fast", "words"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def published() -> Path:
    if not PUBLISHED.is_dir():
        pytest.skip("the published key-value and question files are not at ../shared/data/lost-in-the-middle")
    return PUBLISHED
