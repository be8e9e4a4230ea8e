"""A comparison as a page of its own: the headline, small figures by depth, and every row."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from repflow.core import visible
from repflow.core.quantities import quantity
from repflow.drawing.labels import estimate, number, short_label
from repflow.drawing.source import is_final
from repflow.report.comparison import MOST, legend, lines_of, notes
from repflow.report.depth_svg import Curve, Point, depth_svg
from repflow.report.differences import (
    FOLDED,
    GROUP,
    Difference,
    clear,
    differences,
    fine_print,
    headline,
    headline_rows,
    named,
    titled,
)
from repflow.store import write_file

if TYPE_CHECKING:
    import pandas as pd

_FIGURES = 6
"""Quantities that are drawn of each pair of subjects."""


def write(frame: "pd.DataFrame", path: Path) -> Path:
    """Write the page and return its path; the file appears whole or not at all."""
    page = _template("compare.html.j2").render(**_told(frame))
    write_file(path, page.encode("utf-8", "backslashreplace"), elsewhere="choose another --html")
    return path


def fragment(frame: "pd.DataFrame") -> str:
    """The same for a notebook, without the rows."""
    return _template("compare_body.html.j2").render(**_told(frame, notebook=True))


def _template(name: str) -> Any:
    environment = Environment(
        loader=PackageLoader("repflow.report"), autoescape=True, undefined=StrictUndefined, finalize=_shown
    )
    return environment.get_template(name)


def _shown(value: Any) -> Any:
    """No text of a run turns the line round."""
    return value if not isinstance(value, str) or isinstance(value, Markup) else visible(value)


def _told(frame: "pd.DataFrame", notebook: bool = False) -> dict[str, Any]:
    found, names = differences(frame), named(frame)
    groups = [_group(rows, found, names) for _, rows in frame.groupby(GROUP, sort=False)]
    return {
        "title": headline(frame, found),
        "a": names[0],
        "b": names[1],
        "runs": frame.attrs.get("runs", {}),
        "found": [each.said for each in found[:MOST]],
        "more": [each.said for each in found[MOST:]],
        "small": fine_print(frame),
        "notes": notes(frame),
        "legend": legend(frame),
        "groups": groups,
        "notebook": notebook,
    }


def _group(rows: "pd.DataFrame", found: list[Difference], names: tuple[str, str]) -> dict[str, Any]:
    """One pair of subjects on one task."""
    a, b, task, context = (rows[name].iloc[0] for name in GROUP)
    who = short_label(str(a)) if a == b else f"{short_label(str(a))} (a) against {short_label(str(b))} (b)"
    return {
        "title": f"{who}: {task}, {context:,} tokens",
        "figures": list(_figures(rows, found, names)),
        "lines": list(lines_of(rows)),
        "rows": [_row(row) for row in _unfolded(rows, folded=False)],
        "folded": [_row(row) for row in _unfolded(rows, folded=True)],
    }


def _unfolded(rows: "pd.DataFrame", folded: bool) -> "list[dict[Any, Any]]":
    mine = rows[rows["metric"].eq(FOLDED) == folded]
    return mine.assign(clear=clear(mine)).to_dict("records")


def _figures(rows: "pd.DataFrame", found: list[Difference], names: tuple[str, str]) -> Iterator[dict[str, Any]]:
    """The quantities that differ most, then the others of the headline, as far as they have a depth."""
    layers = headline_rows(rows)
    layers = layers[layers["table"] == "layers"]
    key = tuple(rows[name].iloc[0] for name in GROUP)
    ranked = [each.key[4:6] for each in found if each.key[:4] == key]
    there = list(dict.fromkeys(zip(layers["metric"], layers["variant"], strict=True)))
    order = [*(pair for pair in ranked if pair in there), *(pair for pair in there if pair not in ranked)]
    for metric, variant in order[:_FIGURES]:
        mine = layers[(layers["metric"] == metric) & (layers["variant"] == variant)].sort_values("depth", kind="stable")
        if len(mine) > 1:
            title = titled(str(metric), str(variant))
            curves = [
                Curve(name, style, _points(mine, f"value_{of}", f"ci_low_{of}", f"ci_high_{of}"))
                for name, style, of in ((names[0], "of-a", "a"), (names[1], "of-b", "b"))
            ]
            apart = Curve("b − a", "of-d", _points(mine, "difference", "difference_low", "difference_high"))
            log = quantity(str(metric)).logarithmic
            both = depth_svg(f"{title} by depth: {names[0]} and {names[1]}; numbers below", curves, logarithmic=log)
            less = depth_svg(f"{title} by depth: the difference; numbers below", [apart], zero=True)
            yield {"title": title, "tokens": mine["tokens"].iloc[0], "both": Markup(both), "apart": Markup(less)}


def _points(rows: "pd.DataFrame", value: str, low: str, high: str) -> list[Point]:
    final = is_final(rows["site"], rows["depth"])
    columns = (rows[name].astype(float) for name in ("depth", value, low, high))
    return [Point(d, v, lo, hi, bool(end)) for d, v, lo, hi, end in zip(*columns, final, strict=True)]


def _row(row: dict[Any, Any]) -> dict[str, Any]:
    """One row of the full table as texts."""
    values = [estimate(row[f"value_{of}"], row[f"ci_low_{of}"], row[f"ci_high_{of}"]) for of in "ab"]
    return {
        "what": f"{row['metric']} {row['variant']} {row['tokens']}",
        "site": row["site"],
        "a": values[0],
        "b": values[1],
        "difference": estimate(row["difference"], row["difference_low"], row["difference_high"]),
        "p": _p(float(row["p_holm"])),
        "clear": bool(row["clear"]),
    }


def _p(value: float) -> str:
    if value != value:
        return "–"
    return "< 0.001" if value < 0.001 else number(value, 2)
