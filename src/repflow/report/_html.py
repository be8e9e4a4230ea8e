"""A run as one self-contained HTML file: nothing is loaded from anywhere when it opens."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from repflow.report import _tables
from repflow.report._labels import number, slug
from repflow.report._marks import mark
from repflow.report._panels import Panel, panels
from repflow.report._source import RunLike, Scene, Source, read
from repflow.report._style import BELOW_ZERO, CIVIDIS
from repflow.report._summary import summary
from repflow.report._texts import HF_NOTE, QUANTITIES
from repflow.store import warning_lines, write_file


def write(run: RunLike, path: Path | None) -> Path:
    """Write the report and return its path; the file appears whole or not at all."""
    source = read(run)
    target = Path(path) if path is not None else source.directory / "report.html"
    write_file(target, render(source).encode("utf-8", "backslashreplace"))
    return target


def render(source: Source) -> str:
    """The report's HTML."""
    found = {scene: panels(source, scene) for scene in source.scenes}
    scenes = [_scene(source, place, scene, found[scene]) for place, scene in enumerate(source.scenes)]
    data = {f"{s['anchor']}-{p['key']}": p["data"] for s in scenes for p in s["panels"]}
    seen = {*source.layers["metric"].unique(), *source.pairs["metric"].unique(), *source.paths["metric"].unique()}
    heads, times = _tables.timings(source)
    environment = Environment(loader=PackageLoader("repflow.report"), autoescape=True, undefined=StrictUndefined)
    environment.filters["number"] = number
    return environment.get_template("report.html.j2").render(
        title=source.directory.resolve().name,
        summary=summary(source),
        note=_sites_note(source.info),
        subjects=[(s, _tables.subject_facts(s), Markup(mark(s.style))) for s in source.subjects],
        marks={s.label: Markup(mark(s.style)) for s in source.subjects},
        tasks=_tables.tasks(source),
        timing_heads=heads,
        timings=times,
        info=_details(source.info),
        warnings=warning_lines(source.info),
        findings=source.findings,
        finding_keys=[k for k in _FINDING_KEYS if any(f.get(k) not in (None, "") for f in source.findings)],
        scenes=scenes,
        policies=source.policies,
        quantities=[q for m, q in QUANTITIES.items() if m in seen],
        gradient=", ".join(CIVIDIS),
        below_zero=BELOW_ZERO,
        data=Markup(script_json(data)),
        plotly=Markup(get_plotlyjs()),
    )


_FINDING_KEYS = ("subject", "claim", "value", "interval", "threshold", "verdict")


def _scene(source: Source, place: int, scene: Scene, found: list[Panel]) -> dict[str, Any]:
    paths = source.paths[(source.paths["task"] == scene.task) & (source.paths["context"] == scene.context)]
    return {
        "anchor": f"scene-{place}-{slug(scene.task)}-{scene.context}",
        "title": f"{scene.task}, {scene.context:,} tokens" if scene.context else scene.task,
        "panels": [_panel(panel) for panel in found],
        "dropped": _tables.dropped_shares(source, scene),
        "csv": _tables.csv_uri(paths) if len(paths) else "",
    }


def _panel(panel: Panel) -> dict[str, Any]:
    views = [{"tokens": v.tokens, "choice": v.choice, "figures": v.figures} for v in panel.views]
    return {"key": panel.key, "panel": panel, "data": {"views": views}}


def script_json(data: Any) -> str:
    """JSON that cannot end the script element it stands in, whatever text it holds."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
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
