"""Text that is acted on is shown instead."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from repflow.core import visible


def test_what_steers_is_shown() -> None:
    assert visible("a\x1b[31mb\x9bc\x07") == r"a\x1b[31mb\x9bc\x07"
    assert visible("one\ntwo\r\t\x00") == r"one\ntwo\r\t\x00"
    assert visible("abc\u202egnp.exe\u2066\u200e\ufeff\u2028") == r"abc\u202egnp.exe\u2066\u200e\ufeff\u2028"
    assert visible("x\udce9") == r"x\udce9"
    assert visible("\U000e0041") == r"\U000e0041"


def test_what_is_read_stays() -> None:
    for text in (
        "zoo:pythia-tiny@init=normal:0",
        "naïve · é",
        "日本語",
        "שלום",
        "नमस्ते",
        "क्‍ष",
        "a\xa0b",
        "\\x1b",
        "👩‍🔬",
        "",
    ):
        assert visible(text) == text


@given(st.text(alphabet=st.characters(codec=None)))
def test_nothing_that_steers_is_left(text: str) -> None:
    shown = visible(text)
    left = {unicodedata.category(c) for c in shown if c not in "\u200c\u200d"}
    assert left.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})
    assert visible(shown) == shown
    shown.encode()
