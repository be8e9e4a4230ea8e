"""Panels of a probe run: accuracy over depth, the table, readable against said, site by place."""

from collections.abc import Iterator

from repflow.core.quantities import Quantity
from repflow.drawing.panel import Cell, Panel, Section, View
from repflow.drawing.source import Source, Subject, in_scene, where
from repflow.drawing.table import data_uri
from repflow.studies.probe.figures import depth_curves, place_map, telling_curves
from repflow.studies.probe.frames import Probes, told_position
from repflow.studies.probe.table import csv_table, latex_table, probe_table
from repflow.studies.probe.texts import depth_said, place_said, table_said, telling_said


def sections(source: Source) -> list[Section]:
    """The section on probes, with its table to take away; none for a run without them."""
    found: Probes | None = source.parts.get("probe")
    if found is None:
        return []
    latex = latex_table(found, {s.label: s.short for s in source.subjects})
    csv = ("probes.csv", "Table as CSV, with every column", data_uri(csv_table(found), "csv"))
    tex = ("probes.tex", "Table as LaTeX", data_uri(latex, "x-tex"))
    title, about = "Probes: where the answer is readable", "accuracy by depth, peaks and drops, readable against said"
    return [Section("probes", title, "Probes", probe_panels(source), [csv, tex], about=about)]


def probe_panels(source: Source) -> list[Panel]:
    """Every panel of a run's probes that has rows, in reading order; empty for a run without probes."""
    if "probe" not in source.parts:
        return []
    makers = (_depth, _table, _telling, _places)
    return [panel for make in makers if (panel := make(source, source.parts["probe"])).views]


def _shorts(source: Source) -> dict[str, str]:
    return {s.label: s.short for s in source.subjects}


def _depth(source: Source, probes: Probes) -> Panel:
    cells = tuple(Cell(scene.title, scene.title) for scene in probes.scenes)
    views = tuple(_depth_view(source, probes, *reading) for reading in probes.readings)
    return Panel("probe_depth", _DEPTH.title, _DEPTH, views, cells, "grid", keys=True)


def _depth_view(source: Source, probes: Probes, position: str, target: str, title: str) -> View:
    rows, summary = (where(frame, position=position, target=target) for frame in (probes.sites, probes.summary))
    drawn = tuple(
        depth_curves(here, in_scene(summary, scene), source.subjects) if len(here := in_scene(rows, scene)) else None
        for scene in probes.scenes
    )
    return View("all", title, drawn, said=depth_said(summary, _shorts(source)))


def _table(source: Source, probes: Probes) -> Panel:
    views = tuple(_table_view(source, probes, *reading) for reading in probes.readings)
    return Panel("probe_table", _TABLE.title, _TABLE, views, layout="table")


def _table_view(source: Source, probes: Probes, position: str, target: str, title: str) -> View:
    said = table_said(where(probes.summary, position=position, target=target), _shorts(source))
    return View("all", title, table=probe_table(probes, position, target, source.subjects), said=said)


def _telling(source: Source, probes: Probes) -> Panel:
    asked = set(probes.telling["subject"])
    drawn = [(place, s) for place, s in enumerate(source.subjects) if s.label in asked]
    cells = tuple(Cell(s.short, s.label) for _, s in drawn)
    return Panel("telling", _TELLING.title, _TELLING, tuple(_telling_views(source, probes, drawn)), cells, "grid")


def _telling_views(source: Source, probes: Probes, drawn: list[tuple[int, Subject]]) -> Iterator[View]:
    for scene in probes.scenes:
        for position in probes.positions:
            rows = in_scene(probes.telling, scene, position=position)
            if rows.empty:
                continue
            figures = tuple(
                telling_curves(mine, s, place) if len(mine := where(rows, subject=s.label)) else None
                for place, s in drawn
            )
            spot = f", {told_position(position)}" if len(probes.positions) > 1 else ""
            summary = in_scene(probes.summary, scene, position=position, target="position")
            said = telling_said(rows, summary, _shorts(source))
            yield View("all", f"{scene.title}{spot}", figures, said=said, scene=scene, own=spot.removeprefix(", "))


def _places(source: Source, probes: Probes) -> Panel:
    cells = tuple(Cell(s.short, s.label) for s in source.subjects)
    scenes = probes.scenes if len(probes.positions) > 1 else []
    views = tuple(
        View(
            "all",
            f"{scene.title}, {target}" if len(probes.targets) > 1 else scene.title,
            tuple(place_map(mine) if len(mine := where(rows, subject=s.label)) else None for s in source.subjects),
            said=place_said(in_scene(probes.summary, scene, target=target), _shorts(source)),
            ramp=("0", "100%"),
            scene=scene,
            own=target if len(probes.targets) > 1 else "",
        )
        for scene in scenes
        for target in probes.targets
        if len(rows := in_scene(probes.sites, scene, target=target))
    )
    return Panel("probe_places", _PLACES.title, _PLACES, views, cells, "grid")


_DEPTH = Quantity(
    "",
    "Where in depth the answer is readable",
    "",
    "Share of held-out prompts whose gold position or value a linear readout names from the state at one place of the "
    "prompt.",
    "Circle: the peak, over the embedding and the blocks; square: the last block; the final norm stands apart. A curve "
    "without them is not above chance at any site: read nothing from its ups and downs. "
    "Dotted: the same probe on permuted labels (control), near chance unless something leaks. Dashed grey: chance. "
    "Dash-dotted, of values: what the model's own final norm and unembedding choose among the prompt's values (logit "
    "lens), without training. Bands: 95% intervals over groups of prompts, each site by itself.",
    "",
)
_TABLE = Quantity(
    "",
    "Peak, final and drop",
    "",
    "Accuracy at the peak and at the end, and what is lost on the way from the peak to the last block.",
    "Brackets are 95% intervals, those of the peak and the drop corrected for choosing the best site; below the peak "
    "layer, the interval of its place. No peak: its bracket would take in chance or the majority class. "
    "A drop whose bracket reaches 0 is not shown by these prompts. Length: the same probe on the number of tokens "
    "alone. Capacity: at the peak, on labels that only the gold's identity tells, what such a probe can memorise.",
    "",
)
_TELLING = Quantity(
    "",
    "Readable against said",
    "",
    "In how many prompts a probe reads the gold's place beyond guessing, and how many the model answers rightly, by "
    "where the gold stands.",
    "A coloured line above the black one suggests that the model holds where the answer is and does not say it; the "
    "findings of the run say so only where the interval of the difference is above 0. Solid: at the "
    "peak; dashed: after the last block. Each is measured from its own chance level, 0 (dashed grey): of the probe, "
    "how often it names a place where the gold stands there less how often it names it elsewhere, so that a place it "
    "merely prefers gains nothing; of the answers, which are free text, the plain share.",
    "",
)
_PLACES = Quantity(
    "",
    "Site against place in the prompt",
    "",
    "Probe accuracy at every site (upwards) and place of the prompt (to the right; the end of the gold span and the "
    "mean over tokens stand apart).",
    "Bright cells say where, in depth and along the prompt, the gold's position or value can be read.",
    "",
)


METHODS = (
    "Two things are looked for. The gold's position: "
    "a probe is one linear softmax classifier of the gold's position from the states of one site at one place "
    "of the prompt, trained on states scaled by training statistics. The gold's "
    "value: a ridge regression from these states to the model's own embedding of the first token of the answer, its "
    "strength chosen by cross-validation inside the training split; named is the value of the prompt whose embedding "
    "is nearest, chance is 1 over the number of values, and the majority names the value that stands where the gold "
    "stands most often. Its control is a value drawn for each set of pairs. A model may hold the value and not the "
    "place, or the other way round. Groups (one question or one set of pairs,"
    " its gold at every position) are split into training and test, with fresh splits for every seed; accuracy"
    " is over all held-out prompts of all splits. Intervals are 95%, over groups that some split held out: a "
    "bootstrap, and near 0 and 1 or where all groups are alike, where that has no width, the Wilson and "
    "Clopper-Pearson intervals; from fewer than 8 groups there is none. The peak is the shallowest site of "
    "highest accuracy among the embedding and the blocks; being chosen on the data that score it, it is a "
    "little too high where sites are nearly alike, which its interval (the largest deviation over all sites in"
    " the bootstrap) and that of the drop take into account. Where that interval takes in chance or the "
    "accuracy of the majority class, no site is above chance, and neither a peak nor a drop nor a comparison "
    "with the answers is given. Each task, context, subject and place is judged by itself. Against the answers"
    " the probe stands above its own chance level with its class preference taken off: for one place of the "
    "gold, how often it is named where the gold stands there less how often it is named elsewhere; for all, "
    "(accuracy &minus; 1/C) / (1 &minus; 1/C). An answer is free text, its chance level is 0. The control has "
    "its labels permuted per group; as no group is divided, it is near chance unless something leaks. The "
    "capacity control (after Hewitt and Liang 2019) has labels that are a fixed random function of the gold's "
    "identity, every group standing in training and test alike: it shows how much such a probe can memorise. "
    "The numbers lie beside this file in probes.parquet, probe_classes.parquet, probe_summary.parquet and, "
    "where the models were asked, answers.parquet and telling.parquet."
)
"""For the end of the page, as HTML."""
