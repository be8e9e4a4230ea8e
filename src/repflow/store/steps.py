"""The steps of models in training: read whatever the column's type, and cut down to the last one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def steps_of(frame: "pd.DataFrame") -> np.ndarray:
    """The column `step` as floats [rows]; NaN where a model was measured as it stands, or the column is absent."""
    import pandas as pd

    if "step" not in frame:
        return np.full(len(frame), np.nan)
    return pd.to_numeric(frame["step"], errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def last_steps(*frames: "pd.DataFrame") -> dict[str, int]:
    """The last step of every subject that was measured in training, over all the given tables; empty for none."""
    found: dict[str, int] = {}
    for frame in frames:
        steps = steps_of(frame)
        known = np.isfinite(steps)
        for subject, step in zip(_subjects(frame)[known], steps[known], strict=True):
            found[subject] = max(found.get(subject, 0), int(step))
    return found


def at_last_step(frame: "pd.DataFrame", last: Mapping[str, int]) -> "pd.DataFrame":
    """The rows of subjects in training at their last step, and all rows of the others; the index is kept."""
    if not last:
        return frame
    wanted = _subjects(frame).map(last).to_numpy(dtype=float)
    return frame[np.isnan(wanted) | (steps_of(frame) == wanted)]


def told_steps(last: Mapping[str, int]) -> str:
    """`step 3,000`, or where subjects differ `step 3,000 of a, 2,000 of b`; empty for none."""
    if not last:
        return ""
    if len(set(last.values())) == 1:
        return f"step {next(iter(last.values())):,}"
    return "step " + ", ".join(f"{step:,} of {subject}" for subject, step in last.items())


def _subjects(frame: "pd.DataFrame") -> "pd.Series":
    """Whose step a row carries: in a row of two subjects the first one's."""
    return frame["subject" if "subject" in frame else "subject_a"]
