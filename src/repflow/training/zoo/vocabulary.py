"""The zoo's one tokenizer: byte-level BPE of words and numbers, and a token for two digits of a key."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from repflow.tasks.kvpr import HEAD, SEPARATOR, question_about
from repflow.tasks.pairs import STYLES, PairStream, line_of
from repflow.training.zoo.recipes import END_OF_TEXT, POSITIONS, VOCABULARY
from repflow.training.zoo.rows import PIECES

_PIECES = r" ?[\p{L}\p{N}]+|'(?:s|t|re|ve|m|ll|d)| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""GPT-2's pieces, but for letters and digits, which stay together: a key would fall apart into single digits."""
_DIGITS = "[0-9a-f]{2}"
_LONGEST = 12
"""Most digits of a run that is cut in twos: the last part of a UUID."""
_TWOS = "|".join(
    [rf"\A{_DIGITS}(?=(?:{_DIGITS}){{0,{_LONGEST // 2 - 1}}}\Z)"]
    + [rf"(?<=\A[0-9a-f]{{{n}}}){_DIGITS}(?=(?:{_DIGITS})*\Z)" for n in range(2, _LONGEST, 2)]
)
"""Two digits of a piece that is nothing but an even number of them."""
_SAMPLES = 200
_OFTEN = 2_000
"""How often every pair of digits is shown: enough for a token of its own."""


def make_tokenizer(texts: Iterable[str], seed: int) -> Any:
    """A fast tokenizer of 4,096 tokens made from the texts and from some key-value prompts. The same for a seed."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.Split(Regex(_TWOS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(chain(texts, _key_value_samples(seed), _all_twos()), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def _key_value_samples(seed: int) -> Iterable[str]:
    for number in range(_SAMPLES):
        style = STYLES[number % len(STYLES)]
        pairs = PairStream(f"repflow zoo vocabulary {seed} {number}", style).first(16)
        body = SEPARATOR.join(line_of(pair) for pair in pairs)
        yield f"{HEAD}{body}}}\n\n{question_about(pairs[0][0])}"


def _all_twos() -> Iterable[str]:
    return (" ".join([f'"{piece}"'] * _OFTEN) for piece in PIECES)
