"""A run as one self-contained HTML file: nothing is loaded from anywhere when it opens."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from repflow.core import visible
from repflow.core.quantities import HF_NOTE, QUANTITIES, SOURCES
from repflow.drawing.labels import number
from repflow.drawing.marks import mark
from repflow.drawing.panel import Panel, Section, View
from repflow.drawing.source import RunLike, Source
from repflow.drawing.style import BELOW_ZERO, CIVIDIS
from repflow.report import facts as _tables
from repflow.report.answers import answers_of, studies_of
from repflow.report.lead import summary
from repflow.report.reading import read
from repflow.store import warning_lines, write_file
from repflow.studies import catalogue


def write(run: RunLike, path: Path | None) -> Path:
    """Write the report and return its path; the file appears whole or not at all."""
    source = read(run)
    target = path or source.directory / "report.html"
    write_file(target, render(source).encode("utf-8", "backslashreplace"))
    return target


def render(source: Source) -> str:
    """The report's HTML."""
    scenes = [
        _section(section)
        for study in sorted(catalogue.STUDIES, key=lambda each: each.common)
        for section in study.sections(source)
    ]
    data = {f"{s['anchor']}-{p['key']}": p["data"] for s in scenes for p in s["panels"]}
    told = frozenset[str]().union(*(study.told for study in catalogue.STUDIES))
    findings = [f for f in source.findings if f.get("id") not in told]
    seen = {*source.layers["metric"].unique(), *source.pairs["metric"].unique(), *source.paths["metric"].unique()}
    heads, times = _tables.timings(source)
    environment = Environment(
        loader=PackageLoader("repflow.report"), autoescape=True, undefined=StrictUndefined, finalize=_shown
    )
    environment.filters["number"] = number
    environment.filters["mark"] = lambda style: Markup(mark(style))
    return environment.get_template("report.html.j2").render(
        title=source.directory.resolve().name,
        summary=summary(source),
        answers=answers_of(source, studies_of(source.info)),
        note=_sites_note(source.info),
        subjects=[(s, _tables.subject_facts(s), Markup(mark(s.style))) for s in source.subjects],
        marks={s.label: Markup(mark(s.style)) for s in source.subjects},
        tasks=_tables.tasks(source),
        units=_tables.units(source),
        timing_heads=heads,
        timings=times,
        info=_details(source.info),
        warnings=warning_lines(source.info),
        findings=findings,
        finding_keys=[k for k in _FINDING_KEYS if any(f.get(k) not in (None, "") for f in findings)],
        scenes=scenes,
        methods=[text for study in catalogue.STUDIES if (text := study.methods(source))],
        policies=source.policies,
        quantities=[q for m, q in QUANTITIES.items() if m in seen],
        sources=" ".join(said for metric, said in SOURCES.items() if metric in seen),
        gradient=", ".join(CIVIDIS),
        below_zero=BELOW_ZERO,
        data=Markup(script_json(data)),
        plotly=Markup(get_plotlyjs()),
    )


_FINDING_KEYS = ("subject", "claim", "value", "interval", "threshold", "verdict")


def _section(section: Section) -> dict[str, Any]:
    return {
        "anchor": section.anchor,
        "title": section.title,
        "nav": section.nav,
        "explain": section.explain,
        "panels": [_panel(panel) for panel in section.panels],
        "note": section.note,
        "dropped": section.dropped,
        "downloads": section.files,
    }


def _panel(panel: Panel) -> dict[str, Any]:
    return {"key": panel.key, "panel": panel, "data": {"views": [_view(view) for view in panel.views]}}


def _view(view: View) -> dict[str, Any]:
    told = {"said": view.said, "ramp": view.ramp}
    needed = {key: value for key, value in told.items() if value}
    return {"tokens": view.tokens, "choice": view.choice, "figures": view.figures, **needed}


def _shown(value: Any) -> Any:
    """What an expression of the template puts into the page: no text in it turns the line round."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "\n".join(map(visible, value.split("\n")))


def _all_shown(data: Any) -> Any:
    """The same of every text in JSON data."""
    if isinstance(data, Mapping):
        return {_shown(key): _all_shown(value) for key, value in data.items()}
    return [_all_shown(each) for each in data] if isinstance(data, list | tuple) else _shown(data)


def script_json(data: Any) -> str:
    """JSON that cannot end the script element it stands in, whatever text it holds."""
    text = json.dumps(_all_shown(data), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _sites_note(info: Mapping[str, Any]) -> str:
    settings = info.get("settings")
    return HF_NOTE if isinstance(settings, Mapping) and settings.get("sites") == "hf" else ""


def _details(info: Mapping[str, Any]) -> str:
    """The settings and circumstances as indented JSON, for the folded appendix."""
    kept = {k: info[k] for k in ("command", "settings", "versions", "seed", "host", "schema_version") if k in info}
    return json.dumps(kept, indent=2, ensure_ascii=False, default=str) if kept else ""
