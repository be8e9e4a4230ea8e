"""A frame as CSV that a spreadsheet shows and does not run."""

from typing import TYPE_CHECKING, Any

from repflow.core import visible

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What a cell begins with that a spreadsheet computes. Source: OWASP, CSV injection."""


def csv_text(frame: "pd.DataFrame") -> str:
    """Every column, full precision. Texts that a spreadsheet would compute begin with `'`; numbers are as they are."""
    import pandas as pd

    shown = frame.copy()
    for name in shown.columns:
        if not pd.api.types.is_numeric_dtype(shown[name]):
            shown[name] = shown[name].map(_cell)
    shown.columns = pd.Index([_cell(name) for name in shown.columns])
    return shown.to_csv(index=False, lineterminator="\n")


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
