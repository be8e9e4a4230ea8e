"""A small figure by depth as inline SVG: lines with bands, for a page that carries no plotting library."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from repflow.drawing.labels import escaped

WIDTH, HEIGHT = 420, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 8, 34
_AFTER = 1.09
"""Where the state behind the final norm stands: apart from the blocks, whose last is at depth 1."""


@dataclass(frozen=True, slots=True)
class Point:
    """One site."""

    depth: float
    value: float
    low: float
    high: float
    final: bool = False
    """Whether it stands behind the final norm: then no line leads to it."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one line, and its class in the page's style."""

    name: str
    style: str
    points: Sequence[Point]


def depth_svg(title: str, curves: Sequence[Curve], zero: bool = False, logarithmic: bool = False) -> str:
    """The figure; `zero` draws a line at 0, which is then in the picture. Logarithmic where all values allow it."""
    shown = [p for curve in curves for p in curve.points if math.isfinite(p.value)]
    ends = [x for p in shown for x in (p.value, p.low, p.high) if math.isfinite(x)] + ([0.0] if zero else [])
    if not shown:
        return ""
    logarithmic = logarithmic and min(ends) > 0
    ticks = _powers(min(ends), max(ends)) if logarithmic else _ticks(min(ends), max(ends))
    scale = _Scale(min(*ends, ticks[0]), max(*ends, ticks[-1]), logarithmic)
    parts = [*_axes(scale, ticks, any(p.final for p in shown))]
    if zero:
        parts.append(f'<path class="d-zero" d="M{_LEFT} {scale.y(0):.1f}H{WIDTH - _RIGHT}"/>')
    for curve in curves:
        parts += _drawn(curve, scale)
    told = escaped(title).replace('"', "&quot;")
    return f'<svg class="depth" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{told}">{"".join(parts)}</svg>'


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    logarithmic: bool

    def x(self, point: Point) -> float:
        depth = _AFTER if point.final else point.depth
        return _LEFT + depth / _AFTER * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log(value), math.log(low), math.log(high)
        share = (value - low) / (high - low)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def _axes(scale: _Scale, ticks: Sequence[float], final: bool) -> Iterable[str]:
    floor = HEIGHT - _BOTTOM
    for tick in ticks:
        y = scale.y(tick)
        yield f'<path class="d-grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.6g}</text>'
    for depth, told in ((0.0, "0"), (0.5, "0.5"), (1.0, "1")):
        yield f'<text x="{scale.x(Point(depth, 0, 0, 0)):.1f}" y="{floor + 16}" text-anchor="middle">{told}</text>'
    if final:
        yield f'<text x="{WIDTH - _RIGHT}" y="{floor + 16}" text-anchor="middle">N</text>'
    yield f'<text x="{(WIDTH + _LEFT) / 2:.0f}" y="{HEIGHT - 4}" text-anchor="middle">relative depth</text>'


def _drawn(curve: Curve, scale: _Scale) -> Iterable[str]:
    """A band and a line through the blocks, a whisker and a mark behind the final norm."""
    points = [p for p in curve.points if math.isfinite(p.value)]
    line = [p for p in points if not p.final]
    told = [p for p in line if math.isfinite(p.low) and math.isfinite(p.high)]
    if len(told) > 1:
        edge = [f"{scale.x(p):.1f} {scale.y(p.high):.1f}" for p in told]
        edge += [f"{scale.x(p):.1f} {scale.y(p.low):.1f}" for p in reversed(told)]
        yield f'<path class="d-band {curve.style}" d="M{"L".join(edge)}Z"/>'
    if len(line) > 1:
        course = "L".join(f"{scale.x(p):.1f} {scale.y(p.value):.1f}" for p in line)
        yield f'<path class="d-line {curve.style}" d="M{course}"/>'
    for p in points:
        if (p.final or len(line) == 1) and math.isfinite(p.low) and math.isfinite(p.high):
            whisker = f"M{scale.x(p):.1f} {scale.y(p.low):.1f}V{scale.y(p.high):.1f}"
            yield f'<path class="d-line {curve.style}" d="{whisker}"/>'
        yield f'<circle class="{curve.style}" cx="{scale.x(p):.1f}" cy="{scale.y(p.value):.1f}" r="2.4"/>'


def _powers(low: float, high: float) -> list[float]:
    """The powers of ten that take in both ends."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**k for k in range(first, max(last, first + 1) + 1)]


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers between the ends."""
    if high <= low:
        low, high = low - abs(low or 1.0) * 0.5, high + abs(high or 1.0) * 0.5
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if rough <= m * power * 1.0001)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)] or [low, high]
