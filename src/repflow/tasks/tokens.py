"""Token ids of a text, and the token range of a part of it, with any tokenizer."""

from collections.abc import Sequence
from typing import Any

from repflow.core import Tokenizer
from repflow.core.boundary import one_line_errors

CharRange = tuple[int, int]
"""Characters [start, end) of a prompt."""


def encode(tokenizer: Tokenizer, text: str, *, special: bool) -> list[int]:
    """Token ids, without Hugging Face's warning about lengths, which the caller checks itself.

    Raises ModelProblem for a text that the tokenizer cannot write.
    """
    with one_line_errors(f"the tokenizer cannot encode {text[:40]!a}"):
        if hasattr(tokenizer, "is_fast"):
            hugging_face: Any = tokenizer
            return hugging_face.encode(text, add_special_tokens=special, verbose=False)
        return tokenizer.encode(text, add_special_tokens=special)


def token_span(tokenizer: Tokenizer, text: str, ids: Sequence[int], chars: CharRange) -> tuple[int, int]:
    """The tokens [start, end) of `ids`, the encoding of `text` with special tokens, that touch `chars`.

    Reads the tokenizer's offsets where it has them and they agree with the text; otherwise compares the encodings of
    the text before and after each border, which may take in one token too many at either end.
    """
    spans = _by_offsets(tokenizer, text, ids, chars)
    if spans is not None and _holds(tokenizer, ids, spans, text[chars[0] : chars[1]]):
        return spans
    return _by_borders(tokenizer, text, ids, chars)


def _by_offsets(tokenizer: Tokenizer, text: str, ids: Sequence[int], chars: CharRange) -> tuple[int, int] | None:
    if not getattr(tokenizer, "is_fast", False):
        return None
    hugging_face: Any = tokenizer
    encoded = hugging_face(text, return_offsets_mapping=True, add_special_tokens=True, verbose=False)
    if list(encoded["input_ids"]) != list(ids):
        return None
    touching = [
        i
        for i, (start, end) in enumerate(encoded["offset_mapping"])
        if start < end and end > chars[0] and start < chars[1]
    ]
    return (touching[0], touching[-1] + 1) if touching else None


def _holds(tokenizer: Tokenizer, ids: Sequence[int], span: tuple[int, int], part: str) -> bool:
    decoded = tokenizer.decode(ids[span[0] : span[1]])
    return "".join(part.split()) in "".join(decoded.split())


def _by_borders(tokenizer: Tokenizer, text: str, ids: Sequence[int], chars: CharRange) -> tuple[int, int]:
    start = _common(encode(tokenizer, text[: chars[0]], special=True), ids)
    head = encode(tokenizer, text[: chars[1]], special=True)
    while head and head[-1] in tokenizer.all_special_ids:
        head = head[:-1]
    end = _common(head, ids)
    if end < len(head):
        tail = encode(tokenizer, text[chars[1] :], special=True)
        end = max(end, len(ids) - _common(tail[::-1], ids[::-1]))
    return start, max(end, start + 1)


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common beginning."""
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))
