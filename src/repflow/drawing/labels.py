"""Text for people: short subject names, escaping, numbers with their intervals."""

import html
import math
import re
from collections.abc import Iterable, Sequence

from repflow.core import visible

MAX_SHORT = 30
_MOST_FOLDERS = 5
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def escaped(text: object) -> str:
    """Text for a plotly label or hover box, which would otherwise read a subset of HTML in it."""
    return html.escape(str(text), quote=False)


def short_label(label: str, folders: int = 1) -> str:
    """A subject's spec cut down for a legend, at most 30 characters; of a path the last `folders` parts.

    `EleutherAI/pythia-160m@init=normal:0` becomes `pythia-160m · normal:0`; a `config:` spec keeps its
    family, width and layers.
    """
    source, *changes = label.split("@")
    parts = [_short_source(source, folders), *(_short_change(change) for change in changes)]
    text = " · ".join(part for part in parts if part) or label
    return text if len(text) <= MAX_SHORT else text[: MAX_SHORT - 12] + "…" + text[-11:]


def _short_source(source: str, folders: int) -> str:
    if source.startswith("config:"):
        family, *pairs = source.removeprefix("config:").split(",")
        given = {key: value for key, _, value in (pair.partition("=") for pair in pairs)}
        size = "×".join(given[key] for key in ("width", "layers") if given.get(key))
        return f"{family} {size}".strip()
    return "/".join(re.split(r"[/\\]", source.removeprefix("zoo:").rstrip("/\\"))[-folders:])


def _short_change(change: str) -> str:
    key, _, value = change.partition("=")
    return value if key == "ablate" else (value or key)[:12]


def short_labels(labels: Sequence[str]) -> list[str]:
    """Short labels that stay distinct: paths whose ends are the same get the folders above, others a number."""
    shorts = [short_label(label) for label in labels]
    for folders in range(2, _MOST_FOLDERS + 1):
        shorts = [
            short_label(label, folders) if shorts.count(short) > 1 else short
            for label, short in zip(labels, shorts, strict=True)
        ]
    seen: dict[str, int] = {}
    found: list[str] = []
    for short in shorts:
        seen[short] = seen.get(short, 0) + 1
        found.append(f"{short} ({seen[short]})" if shorts.count(short) > 1 else short)
    return found


def is_number(value: object) -> bool:
    """Whether a value is a finite number (a bool is not)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def number(value: float | None, digits: int = 3) -> str:
    """A number with `digits` significant digits, `2.2×10⁵` for the very large and small, an en dash for none."""
    if not is_number(value):
        return "–"
    assert value is not None
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(value)))
    if power < -3 or power >= 5:
        return f"{value / 10**power:.{digits - 1}f}×10{str(power).translate(_SUPERSCRIPT)}"
    return f"{value:,.{max(0, digits - 1 - power)}f}"


def estimate(value: float | None, low: float | None, high: float | None) -> tuple[str, str]:
    """A value and its interval as text, with as many decimals as the interval's width calls for."""
    if not is_number(value):
        return "–", ""
    assert value is not None
    if not (is_number(low) and is_number(high)):
        return number(value), ""
    assert low is not None
    assert high is not None
    power = math.floor(math.log10(max(abs(value), abs(low), abs(high)) or 1.0))
    shift = power if power < -2 or power >= 4 else 0
    scale = 10.0**-shift
    width = (high - low) * scale
    wanted = 1 - math.floor(math.log10(width)) if width > 0 else 2 - (power - shift)
    decimals = min(max(wanted, 0, 2 - (power - shift)), 5)
    tail = f"×10{str(shift).translate(_SUPERSCRIPT)}" if shift else ""
    texts = [f"{x * scale:,.{decimals}f}" for x in (value, low, high)]
    return texts[0] + tail, f"[{texts[1]}, {texts[2]}]"


def interval(low: float | None, high: float | None) -> str:
    """`[0.40, 0.46]`, or `no interval`."""
    if not (is_number(low) and is_number(high)):
        return "no interval"
    return f"[{number(low)}, {number(high)}]"


def count(value: object) -> str:
    """A large count for a table: `134.5 M`, `1.2 B`, `12,345`; an en dash for none."""
    if not isinstance(value, (int, float)) or not is_number(value):
        return "–"
    for limit, unit in ((1e9, "B"), (1e6, "M")):
        if value >= limit:
            return f"{value / limit:.1f} {unit}"
    return f"{value:,.0f}"


def slug(text: str) -> str:
    """A piece of a file name or anchor: letters, digits, dots and dashes only."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:60] or "x"


def plain(text: str) -> str:
    """Text matplotlib shows as it is: no formulas between dollar signs, no label hidden by an underscore."""
    shown = visible(text).replace("$", r"\$")
    return " " + shown if shown.startswith("_") else shown


def joined(parts: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = list(parts) or [""]
    return f"{', '.join(most)} and {last}" if most else last
