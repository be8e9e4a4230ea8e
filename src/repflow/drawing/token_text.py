"""One example token by token: its texts, and numbers at every site to colour them by, as plain data."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from repflow.drawing.labels import number


@dataclass(frozen=True, slots=True)
class Channel:
    """Numbers by site and token, [sites, tokens]; on a logarithmic scale or a plain one."""

    name: str
    values: np.ndarray
    logarithmic: bool = False

    def packed(self) -> dict[str, Any]:
        """Each number as one of 255 steps between the ends of its scale; 255 where it is not finite.

        A logarithmic scale is a site's own, as norms grow with depth; a plain one is the same at all sites.
        """
        values = np.asarray(self.values, dtype=float)
        shown = np.log10(np.maximum(values, 1e-12)) if self.logarithmic else values
        known = np.isfinite(values)
        ends = [_ends(row[at]) for row, at in zip(shown, known, strict=True)]
        if not self.logarithmic:
            ends = [_ends(shown[known])] * len(values)
        low, span = (np.array(each)[:, None] for each in zip(*ends, strict=True))
        steps = np.where(known, np.round((np.where(known, shown, low) - low) / span * 254), 255).astype(np.uint8)
        told = [[number(10.0**end if self.logarithmic else end, 2) for end in (a, a + s)] for a, s in ends]
        return {
            "name": self.name,
            "low": [round(a, 5) for a, _ in ends],
            "span": [round(s, 5) for _, s in ends],
            "log": self.logarithmic,
            "ends": told,
            "steps": b64encode(steps.tobytes()).decode(),
        }


def _ends(known: np.ndarray) -> tuple[float, float]:
    """The least number, and how far from it the largest is."""
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    return low, high - low if high > low else 1.0


@dataclass(frozen=True, slots=True)
class TokenText:
    """What a panel of layout `tokens` shows in a view."""

    tokens: Sequence[str]
    sites: Sequence[str]
    channels: Sequence[Channel]
    marked: np.ndarray
    """Tokens struck out, bool [sites, tokens]."""
    struck: str
    """What it means to be struck out."""

    def packed(self) -> dict[str, Any]:
        """For the page's script."""
        return {
            "tokens": list(self.tokens),
            "sites": list(self.sites),
            "channels": [channel.packed() for channel in self.channels],
            "marked": b64encode(np.packbits(self.marked, axis=None).tobytes()).decode(),
            "struck": self.struck,
        }
