"""The light pen: small multiples as SVG that needs no script, in the colours of the page's theme."""

import base64
import html
import math
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from repflow.drawing.multiples import Curve, Grid, Map
from repflow.drawing.stretches import stretches
from repflow.drawing.style import BELOW_ZERO, CIVIDIS, Style, on_dark, on_light, rgb

WIDTH, HEIGHT, EDGE = 214.0, 76.0, 7.0
DASHES = {
    "solid": "", "dash": "6 3", "dashdot": "7 2.5 2 2.5", "dot": "2 2.5", "longdash": "10 3",
    "longdashdot": "10 2.5 2 2.5",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Axis:
    """The one axis of a row: its ends, and whether it runs logarithmically."""

    low: float
    high: float
    logarithmic: bool = False

    @classmethod
    def over(cls, curves: Iterable[Curve], *, logarithmic: bool = False, whole: bool = False) -> "Axis":
        """Round everything that is drawn; from 0 to 1 at the least where `whole`."""
        found = [v for c in curves for ends in (c.y, c.low, c.high) for v in ends if math.isfinite(v)]
        if logarithmic:
            found = [v for v in found if v > 0] or [1.0]
            low, high = min(found), max(found)
            return cls(low, high if high > low else low * 10, True)
        low, high = min(found, default=0.0), max(found, default=1.0)
        if whole:
            low, high = min(0.0, low), max(1.0, high)
        return cls(low, high if high > low else low + 1.0)

    def y(self, value: float) -> float:
        """Where a value stands, from the top."""
        ends = (self.low, self.high, value)
        low, high, at = (math.log10(max(v, 1e-12)) for v in ends) if self.logarithmic else ends
        return round(HEIGHT - EDGE - (at - low) / (high - low) * (HEIGHT - 2 * EDGE), 1)


_MANY = 3
"""Of so many curves on one another no bands are drawn: they would hide the lines."""


def _x(depth: float) -> float:
    return round(EDGE + depth * (WIDTH - 2 * EDGE), 1)


def ink(style: Style, *names: str) -> str:
    """CSS that paints in the subject's colour, lighter on a dark page; older browsers take the attribute."""
    told = ";".join(f"{name}:light-dark({style.colour},{on_dark(style.colour)})" for name in names)
    plain = " ".join(f'{name}="{style.colour}"' for name in names)
    return f'{plain} style="{told}"'


def text_colour(style: Style) -> str:
    """CSS that writes in the subject's colour, legible in both themes."""
    light = on_light(style.colour)
    return f"color:{light};color:light-dark({light},{on_dark(style.colour)})"


def sparkline(
    own: Sequence[Curve], others: Sequence[Curve], axis: Axis, styles: Mapping[str, Style], places: Mapping[str, int]
) -> str:
    """One subject's curve (or those of a kind) with its band, the others as ghosts behind it."""
    base = f'<line class="ax" x1="{EDGE}" x2="{WIDTH - EDGE}" y1="{HEIGHT - EDGE + 3}" y2="{HEIGHT - EDGE + 3}"/>'
    ghosts = "".join(
        f'<path class="ghost" d="{_line(curve, axis)}" data-s="{places[curve.subject]}"/>' for curve in others
    )
    lines = "".join(
        f'<g data-s="{places[curve.subject]}">{_band(curve, axis, style) if len(own) < _MANY else ""}'
        f"{_drawn(curve, axis, style)}</g>"
        for curve in own
        for style in (styles[curve.subject],)
    )
    size = f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none"'
    return f'<svg {size} aria-hidden="true">{base}{ghosts}{lines}</svg>{_end(own, axis, styles)}'


def _line(curve: Curve, axis: Axis) -> str:
    known = [math.isfinite(v) for v in curve.y]
    found: list[str] = []
    for run in stretches(curve.places, known):
        points = [f"{_x(x):g} {axis.y(y):g}" for x, y in zip(curve.x[run], curve.y[run], strict=True)]
        found.append(f"M{'L'.join(points)}" + ("h.1" if len(points) == 1 else ""))
    return "".join(found)


def _drawn(curve: Curve, axis: Axis, style: Style) -> str:
    dash = DASHES[style.dash]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path class="own" d="{_line(curve, axis)}"{dashed} {ink(style, "stroke")}/>'


def _band(curve: Curve, axis: Axis, style: Style) -> str:
    known = [math.isfinite(a) and math.isfinite(b) for a, b in zip(curve.low, curve.high, strict=True)]
    found: list[str] = []
    for run in stretches(curve.places, known):
        up = [(x, y) for x, y in zip(curve.x[run], curve.high[run], strict=True)]
        down = [(x, y) for x, y in zip(curve.x[run], curve.low[run], strict=True)]
        points = [f"{_x(x):g} {axis.y(y):g}" for x, y in [*up, *reversed(down)]]
        found.append(f"M{'L'.join(points)}z")
    return f'<path class="band" d="{"".join(found)}" {ink(style, "fill")}/>' if found else ""


def _end(own: Sequence[Curve], axis: Axis, styles: Mapping[str, Style]) -> str:
    """The last value, written over the end of the line, or below it where the line is high.

    Beside the SVG, which is stretched to its column, as its letters must not be.
    """
    if len(own) != 1 or not own[0].last:
        return ""
    curve = own[0]
    finite = [v for v in curve.y if math.isfinite(v)]
    at = axis.y(finite[-1])
    top = at - 20 if at > 22 else at + 5
    look = f"top:{top:g}px;{text_colour(styles[curve.subject])}"
    return f'<span class="last" style="{look}">{html.escape(curve.last)}</span>'


def thumbnail(found: Map) -> str:
    """A map as a picture of one pixel a cell, enlarged without smoothing."""
    size = HEIGHT
    return (
        f'<svg class="map" viewBox="0 0 {size:g} {size:g}" aria-hidden="true">'
        f'<image width="{size:g}" height="{size:g}" '
        f'href="data:image/png;base64,{base64.b64encode(png(found.grid)).decode()}"/></svg>'
    )


def png(grid: Grid) -> bytes:
    """The smallest picture of a map: Cividis over 0..1, one colour below 0, none where there is no value."""
    ramp = [_between(i / (_LEVELS - 1)) for i in range(_LEVELS)]
    palette = [(0, 0, 0), rgb(BELOW_ZERO), *ramp]
    lines = [bytes([0, *(_level(value) for value in row)]) for row in reversed(list(grid))]
    width = max((len(row) for row in grid), default=1)
    head = struct.pack(">IIBBBBB", width, max(len(lines), 1), 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", head),
        (b"PLTE", b"".join(bytes(colour) for colour in palette)),
        (b"tRNS", b"\x00"),
        (b"IDAT", zlib.compress(b"".join(lines), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


_LEVELS = 64


def _level(value: float | None) -> int:
    if value is None or not math.isfinite(value):
        return 0
    return 1 if value < 0 else 2 + round(min(value, 1.0) * (_LEVELS - 1))


def _between(share: float) -> tuple[int, int, int]:
    place = share * (len(CIVIDIS) - 1)
    at = min(int(place), len(CIVIDIS) - 2)
    a, b = rgb(CIVIDIS[at]), rgb(CIVIDIS[at + 1])
    r, g, b = (round(x + (y - x) * (place - at)) for x, y in zip(a, b, strict=True))
    return r, g, b


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
