"""Colours, dashes and markers: hue, dash and marker tell the kind, lightness and marker the subject within it.

Hues follow Okabe and Ito (blue, green, vermilion, purple, yellow), and crimson. The first shade of every kind has its
own lightness, so kinds stay apart in grey print and for every common form of colour blindness.
"""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

SHADES: dict[str, tuple[str, ...]] = {
    "TBM": ("#00466e", "#047dc0", "#12a8ff", "#096399"),
    "hybrid": ("#067c5b", "#01b082", "#005c42", "#009970"),
    "SSM": ("#ef671a", "#ac4000", "#ff9560", "#cd4e00"),
    "recurrent": ("#cda400", "#917400", "#dfb200", "#b08d00"),
    "linear attention": ("#5d0d21", "#c51c46", "#8b1432", "#e4456d"),
    "other": ("#943280", "#cc67b5", "#ef88d6", "#b04d9a"),
}
MARKERS = {
    "TBM": ("circle", "cross"),
    "hybrid": ("diamond", "star"),
    "SSM": ("square", "x"),
    "recurrent": ("triangle-left", "triangle-right"),
    "linear attention": ("pentagon", "hexagon"),
    "other": ("triangle-up", "triangle-down"),
}
DASHES = {
    "TBM": "solid",
    "hybrid": "dashdot",
    "SSM": "dash",
    "recurrent": "dot",
    "linear attention": "longdashdot",
    "other": "longdash",
}
MATPLOTLIB_MARKERS = {
    "circle": "o",
    "cross": "P",
    "diamond": "D",
    "star": "*",
    "square": "s",
    "x": "X",
    "triangle-up": "^",
    "triangle-down": "v",
    "triangle-left": "<",
    "triangle-right": ">",
    "pentagon": "p",
    "hexagon": "h",
    "line-ns": "|",
}
MATPLOTLIB_DASHES = {
    "solid": "-",
    "dash": (0, (4, 2)),
    "dashdot": (0, (6, 2, 1.5, 2)),
    "dot": (0, (1.5, 2)),
    "longdashdot": (0, (9, 2, 1.5, 2)),
    "longdash": (0, (9, 3)),
}

CIVIDIS = ("#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838")
"""Sequential, monotone in grey, the same for colour-blind readers."""
BELOW_ZERO = "#d9c8e8"
"""Fill of values below 0, which also carry a minus sign."""
INK = "#1c1f23"
MUTED = "#5d6570"
GRID = "#e7e9ec"


@dataclass(frozen=True, slots=True)
class Style:
    """How one subject is drawn in every figure."""

    colour: str
    dash: str
    marker: str
    hollow: bool
    """True for every second subject of a kind: its marker is drawn empty."""

    def band(self, alpha: float = 0.16) -> str:
        """The line's colour, translucent, for its interval."""
        r, g, b = rgb(self.colour)
        return f"rgba({r},{g},{b},{alpha})"


def rgb(colour: str) -> tuple[int, int, int]:
    """`#rrggbb` as three integers in 0..255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def styles(kinds: Sequence[str]) -> list[Style]:
    """One style a subject, in order; a kind without a look of its own is drawn as `other`."""
    seen: dict[str, int] = {}
    found: list[Style] = []
    for given in kinds:
        kind = given if given in SHADES else "other"
        place = seen.get(kind, 0)
        seen[kind] = place + 1
        shades, markers = SHADES[kind], MARKERS[kind]
        marker = markers[place // 2 % len(markers)]
        found.append(Style(shades[place % len(shades)], DASHES[kind], marker, hollow=place % 2 == 1))
    return found


DARK = "#14171c"
"""The page at night."""
_LEGIBLE = 4.6
"""The contrast that small text needs, and a little."""


@cache
def on_dark(colour: str) -> str:
    """The same hue, light enough for lines and small text on a dark page."""
    return _moved(colour, DARK, 0.02)


@cache
def on_light(colour: str) -> str:
    """The same hue, dark enough for small text on white; lines may be lighter."""
    return _moved(colour, "#ffffff", -0.02)


def _moved(colour: str, behind: str, by: float) -> str:
    hue, lightness, saturation = colorsys.rgb_to_hls(*(part / 255 for part in rgb(colour)))
    while contrast(colour, behind) < _LEGIBLE and 0 < lightness < 1:
        lightness = min(1.0, max(0.0, lightness + by))
        parts = colorsys.hls_to_rgb(hue, lightness, saturation)
        colour = "#" + "".join(f"{round(255 * part):02x}" for part in parts)
    return colour


def contrast(a: str, b: str) -> float:
    """The ratio of two colours' luminances as WCAG 2 defines it."""
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = (part / 255 for part in rgb(colour))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
