"""CSV for spreadsheets: texts that would be computed are not, numbers are as they are."""

import io
import math

import pandas as pd
import pytest

from repflow.store import csv_text


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", '=HYPERLINK("http://x")', "-", "=1\n=2"]
)
def test_a_text_that_would_be_computed_is_text(text: str) -> None:
    frame = pd.DataFrame({"subject": [text, "m"], text: ["a", "b"]})
    back = pd.read_csv(io.StringIO(csv_text(frame)))
    for cell in (back["subject"][0], back.columns[1]):
        assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝"))
        assert cell.isprintable()
    assert back["subject"][0].startswith("'") or text[0].isspace()


def test_numbers_and_other_texts_are_as_they_are() -> None:
    frame = pd.DataFrame(
        {
            "value": [-0.1 - 0.2, math.nan, -1e-300],
            "count": pd.Series([-1, None, 2**60], dtype="Int64"),
            "yes": [True, False, True],
            "subject": ["config:pythia,layers=2", "a=b", 'say "hi", all'],
            "missing": [None, "x", None],
        }
    )
    assert csv_text(frame) == frame.to_csv(index=False, lineterminator="\n")
    assert csv_text(frame.iloc[:0]) == frame.iloc[:0].to_csv(index=False, lineterminator="\n")


def test_what_steers_a_terminal_is_shown() -> None:
    assert csv_text(pd.DataFrame({"a": ["x\x1b[31m\u202ey"]})) == "a\nx\\x1b[31m\\u202ey\n"
