"""A run as one self-contained HTML file: nothing is loaded from anywhere when it opens."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from repflow.core import visible
from repflow.core.quantities import HF_NOTE, QUANTITIES, SOURCES
from repflow.drawing.labels import number, slug
from repflow.drawing.marks import mark
from repflow.drawing.panel import Panel, View
from repflow.drawing.source import RunLike, Scene, Source, read
from repflow.drawing.style import BELOW_ZERO, CIVIDIS
from repflow.report import facts as _tables
from repflow.report.lead import summary
from repflow.store import told_steps, warning_lines, write_file
from repflow.studies.ablate.page import ablation_panels
from repflow.studies.attribute.page import attribution_panels
from repflow.studies.dynamics.page import dynamics_panels
from repflow.studies.flow.page import panels
from repflow.studies.probe.page import probe_panels
from repflow.studies.probe.table import csv_table, data_uri, latex_table
from repflow.studies.steps.page import training_panels


def write(run: RunLike, path: Path | None) -> Path:
    """Write the report and return its path; the file appears whole or not at all."""
    source = read(run)
    target = path or source.directory / "report.html"
    write_file(target, render(source).encode("utf-8", "backslashreplace"))
    return target


def render(source: Source) -> str:
    """The report's HTML."""
    scenes = [
        *_training(source),
        *_probing(source),
        *_ablating(source),
        *_dynamics(source),
        *_attributing(source),
        *(_scene(source, place, scene) for place, scene in enumerate(source.scenes)),
    ]
    data = {f"{s['anchor']}-{p['key']}": p["data"] for s in scenes for p in s["panels"]}
    findings = [f for f in source.findings if f.get("id") != "attribution"]
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
        flow=bool(source.scenes),
        probing=source.parts.get("probe") is not None,
        ablating=source.parts.get("ablate") is not None,
        dynamic=source.parts.get("dynamics") is not None,
        attributing=source.parts.get("attribute") is not None,
        finding_keys=[k for k in _FINDING_KEYS if any(f.get(k) not in (None, "") for f in findings)],
        scenes=scenes,
        policies=source.policies,
        quantities=[q for m, q in QUANTITIES.items() if m in seen],
        sources=" ".join(said for metric, said in SOURCES.items() if metric in seen),
        gradient=", ".join(CIVIDIS),
        below_zero=BELOW_ZERO,
        data=Markup(script_json(data)),
        plotly=Markup(get_plotlyjs()),
    )


_FINDING_KEYS = ("subject", "claim", "value", "interval", "threshold", "verdict")


def _training(source: Source) -> list[dict[str, Any]]:
    """The sections on the course of training, one a scene that has one."""
    found = [(scene, training_panels(source, scene)) for scene in source.scenes]
    held = [(scene, drawn) for scene, drawn in found if drawn]
    return [
        _section(
            f"training-{place}-{slug(scene.task)}-{scene.context}",
            f"During training: {_title(scene)}",
            "During training" if len(held) == 1 else f"Training: {_title(scene)}",
            drawn,
            explain=not place,
        )
        for place, (scene, drawn) in enumerate(held)
    ]


def _section(
    anchor: str,
    title: str,
    nav: str,
    drawn: Sequence[Panel],
    *downloads: tuple[str, str, str],
    explain: bool = True,
    note: str = "",
    dropped: Sequence[str] = (),
) -> dict[str, Any]:
    """A part of the page, with its files to take away: name, words, data."""
    return {
        "anchor": anchor,
        "title": title,
        "nav": nav,
        "explain": explain,
        "panels": [_panel(panel) for panel in drawn],
        "note": note,
        "dropped": dropped,
        "downloads": downloads,
    }


def _probing(source: Source) -> list[dict[str, Any]]:
    """The section on probes, with its table to take away; empty for a run without them."""
    if source.parts.get("probe") is None:
        return []
    latex = latex_table(source.parts.get("probe"), {s.label: s.short for s in source.subjects})
    csv = ("probes.csv", "Table as CSV, with every column", data_uri(csv_table(source.parts.get("probe")), "csv"))
    tex = ("probes.tex", "Table as LaTeX", data_uri(latex, "x-tex"))
    return [_section("probes", "Probes: where the answer is readable", "Probes", probe_panels(source), csv, tex)]


def _ablating(source: Source) -> list[dict[str, Any]]:
    """The section on changes, with its table to take away; empty for a run without them."""
    if source.parts.get("ablate") is None:
        return []
    csv = ("ablations.csv", "Table as CSV, with every column", _tables.frame_uri(source.parts.get("ablate")))
    title = "Changes: what the model does without a part"
    return [_section("changes", title, "Changes", ablation_panels(source), csv)]


def _dynamics(source: Source) -> list[dict[str, Any]]:
    """The section on dynamics, with its tables to take away; empty for a run without them."""
    if source.parts.get("dynamics") is None:
        return []
    found = source.parts.get("dynamics")
    frames = {"influence": found.influence, "transitions": found.transitions, "bounds": found.bounds}
    files = [
        (f"{name}.csv", f"{name.capitalize()} as CSV", _tables.frame_uri(frame))
        for name, frame in frames.items()
        if len(frame)
    ]
    title = "Dynamics: how far back a model remembers"
    return [_section("dynamics", title, "Dynamics", dynamics_panels(source), *files)]


def _attributing(source: Source) -> list[dict[str, Any]]:
    """The section on trained against random weights, with its table to take away; empty for a run without it."""
    if source.parts.get("attribute") is None:
        return []
    csv = ("shares.csv", "Table as CSV, with every column", _tables.frame_uri(source.parts.get("attribute").shares))
    drawn = attribution_panels(source)
    return [_section("attribution", "Architecture or training?", "Architecture or training", drawn, csv)]


def _scene(source: Source, place: int, scene: Scene) -> dict[str, Any]:
    paths = source.paths[(source.paths["task"] == scene.task) & (source.paths["context"] == scene.context)]
    return _section(
        f"scene-{place}-{slug(scene.task)}-{scene.context}",
        _title(scene),
        _title(scene),
        panels(source, scene),
        *([("paths.csv", "Path metrics as CSV", _tables.csv_uri(paths))] if len(paths) else []),
        explain=not place,
        note=_last_steps(source),
        dropped=_tables.dropped_shares(source, scene),
    )


def _title(scene: Scene) -> str:
    return f"{scene.task}, {scene.context:,} tokens" if scene.context else scene.task


def _last_steps(source: Source) -> str:
    """Which step the sections other than that on training show; empty for models as they stand."""
    if source.parts.get("steps") is None:
        return ""
    last = {s.short: source.parts.get("steps").last[s.label] for s in source.subjects if s.label in source.parts.get("steps").last}
    return f"Measured in training. This section shows the last step of each subject: {told_steps(last)}."


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
