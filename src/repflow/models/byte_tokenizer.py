"""A tokenizer that needs no files: one token a byte."""

from typing import Any

BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"


def byte_tokenizer() -> Any:
    """A fast Hugging Face tokenizer of 259 tokens: byte b has id b; then bos (256), eos (257) and pad (258).

    Encoding adds no special tokens. Every text that can be written as UTF-8 decodes to itself.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE(vocab=_byte_vocabulary(), merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)  # pyright: ignore[reportAttributeAccessIssue]
    backend.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    backend.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in (BOS, EOS, PAD)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
    )


def _byte_vocabulary() -> dict[str, int]:
    """Byte-level BPE's letter for each byte: itself where printable, else the next letter from U+0100."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}
    return {letters[byte]: byte for byte in range(256)}
