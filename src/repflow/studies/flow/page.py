"""Panels: what the report shows of one scene, each with its choices of variant and token policy."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import combinations
from typing import Any

import pandas as pd

from repflow.core.quantities import HF_NOTE, Quantity, quantity
from repflow.drawing.curves import curves
from repflow.drawing.heatmap import cka_heatmap, cka_rows, offset_heatmap
from repflow.drawing.panel import BARRED, FIRST, VARIANTS, Cell, Panel, Section, View, joined_panels, ordered
from repflow.drawing.plotly import Figure
from repflow.drawing.source import POLICIES, Scene, Source, Subject, of_scene
from repflow.drawing.table import csv_uri
from repflow.store import told_steps
from repflow.studies.flow.paths import path_dots, path_rows
from repflow.studies.flow.table import dropped_shares, path_table
from repflow.studies.flow.texts import text_sections


def sections(source: Source) -> list[Section]:
    """What every run shows of the flow, by what it is about; the bar chooses among tasks and contexts."""
    drawn = joined_panels(panels(source, scene) for scene in source.scenes)
    note, dropped = _note(source), _dropped(source)
    found: list[Section] = []
    for anchor, title, about, keys in _SECTIONS:
        held = {panel.key: panel for panel in drawn}
        mine = [held[key] for key in keys or held if key in held and (keys or key not in _PLACED)]
        if mine:
            files = [("paths.csv", "Path metrics as CSV", csv_uri(source.paths))] if anchor == "paths" else []
            found.append(Section(anchor, title, title, mine, files, note, dropped, by_scene=True, about=about))
            dropped = []
    return [*found, *text_sections(source)]


_SECTIONS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "likeness", "Likeness of tokens", "between tokens, by distance, by features, what the policies drop",
        ("inter_token_cosine", "feature_share", "dropped_share", "offset_profile"),
    ),
    ("steps", "Steps and directions", "what each block does to a state: turn, length, dimensions", ()),
    ("layers", "Layers against layers", "CKA between the sites of a model, and between models", ("cka", "cross_cka")),
    ("paths", "Paths through depth", "v_loc, v_glob, energy, smoothness", ("paths_table", "paths_wide")),
)  # fmt: skip
"""Anchor, title, what is in it, and its panels; the one without has all others."""
_PLACED = frozenset(key for *_, keys in _SECTIONS for key in keys)


def _dropped(source: Source) -> list[str]:
    """What the token policies leave out, a sentence each; with the task where there are several."""
    several = len(source.scenes) > 1
    return [
        f"{scene.title}: {said}" if several else said
        for scene in source.scenes
        for said in dropped_shares(source, scene)
    ]


def _note(source: Source) -> str:
    """Which step is shown of models in training, and where other places are read; empty for models as they stand."""
    settings = source.info.get("settings")
    if isinstance(settings, Mapping) and settings.get("sites") == "hf":
        return HF_NOTE
    last = {s.short: source.last[s.label] for s in source.subjects if s.label in source.last}
    return (
        f"Measured in training. This section shows the last step of each subject: {told_steps(last)}." if last else ""
    )


def panels(source: Source, scene: Scene) -> list[Panel]:
    """Every panel of one scene that has rows, in reading order."""
    makers = (_curve_panels, _offset_panel, _cka_panel, _cross_panel, _path_panel)
    return [panel for make in makers for panel in make(source, scene) if panel.views]


_CURVES = (
    ("inter_token_cosine", {"inter_token_cosine": ""}, "wide"),
    ("feature_share", {"feature_share": ""}, "half"),
    ("adjacent_cosine", {"adjacent_cosine": ""}, "half"),
    ("update", {"update_ratio": "ratio", "update_cosine": "cosine"}, "half"),
    ("norm", {"norm": ""}, "half"),
    ("participation_ratio", {"participation_ratio": "ratio", "renyi2_entropy": "entropy"}, "half"),
    ("von_neumann_entropy", {"von_neumann_entropy": ""}, "half"),
    ("sequence_curvature", {"sequence_curvature": ""}, "half"),
    ("dropped_share", {"dropped_share": ""}, "half"),
)


_TITLES = {"update": "Size and direction of updates", "participation_ratio": "Effective dimensions"}


def _curve_panels(source: Source, scene: Scene) -> Iterator[Panel]:
    for key, metrics, layout in _CURVES:
        views = tuple(view for m, name in metrics.items() for view in _curve_views(source, scene, m, name, layout))
        texts = quantity(next(iter(metrics)))
        yield Panel(key, _TITLES.get(key, texts.title), texts, views, layout=layout)


def _curve_views(source: Source, scene: Scene, metric: str, name: str, layout: str) -> Iterator[View]:
    """A view for every variant and policy. The share of tokens dropped is left out where it is 0 throughout."""
    frame = of_scene(source.layers, scene)
    frame = frame[(frame["metric"] == metric) & (frame["value"].fillna(0).ne(0) | (metric != "dropped_share"))]
    texts, wide = quantity(metric), layout == "wide"
    variants = ordered(frame["variant"], [FIRST.get(metric, ""), *VARIANTS])
    for variant in variants:
        choice = " ".join(w for w in (name, variant if len(variants) > 1 else "") if w) or variant
        for tokens in ordered(frame[frame["variant"] == variant]["tokens"], POLICIES):
            drawn = curves(source, scene, texts, variant, tokens, height=400 if wide else 310, legend=wide)
            yield View(tokens, choice, (drawn,), scene=scene, **_told_apart(name, variant, len(variants) > 1))


def _told_apart(name: str, variant: str, several: bool) -> dict[str, Any]:
    """What of a choice the bar makes, and what the panel does: k and mean are the panel's, centred the bar's."""
    barred = variant in BARRED
    return {
        "variant": variant if barred else "",
        "own": " ".join(filter(None, (name, variant if several and not barred else ""))),
    }


def _offset_panel(source: Source, scene: Scene) -> Iterator[Panel]:
    frame = of_scene(source.layers, scene)
    frame = frame[frame["metric"] == "offset_cosine"]
    drawn = _present(source, frame["subject"])
    views = tuple(
        View(
            tokens,
            "value",
            tuple(
                offset_heatmap(source, scene, s.label, tokens)
                if len(frame[(frame["subject"] == s.label) & (frame["tokens"] == tokens)])
                else None
                for s in drawn
            ),
            scene=scene,
            own="",
        )
        for tokens in ordered(frame["tokens"], POLICIES)
    )
    texts = quantity("offset_cosine")
    yield Panel("offset_profile", texts.title, texts, views, tuple(map(_cell, drawn)), "grid", scale=True)


def _cka_panel(source: Source, scene: Scene) -> Iterator[Panel]:
    frame = of_scene(source.pairs, scene)
    frame = frame[(frame["metric"] == "cka") & (frame["subject_a"] == frame["subject_b"])]
    drawn = _present(source, frame["subject_a"])
    pairs = [(s, s) for s in drawn]
    views = _cka_views(frame, scene, lambda v, t: tuple(_heat(source, scene, a, b, "cka", v, t) for a, b in pairs))
    texts = quantity("cka")
    yield Panel("cka", texts.title, texts, views, tuple(map(_cell, drawn)), "grid", scale=True)


def _cross_panel(source: Source, scene: Scene) -> Iterator[Panel]:
    frame = of_scene(source.pairs, scene)
    frame = frame[(frame["subject_a"] != frame["subject_b"]) & frame["metric"].isin(["cka", "cka_calibrated"])]
    met = {frozenset(pair) for pair in frame[["subject_a", "subject_b"]].drop_duplicates().itertuples(index=False)}
    pairs = [(a, b) for a, b in combinations(source.subjects, 2) if frozenset((a.label, b.label)) in met]
    metrics = [m for m in ("cka", "cka_calibrated") if (frame["metric"] == m).any()]
    height = 290 if len(metrics) > 1 else 372
    places = [(a, b, m) for a, b in pairs for m in metrics]
    heats = partial(_heats, source, scene, places, height)
    views = _cka_views(frame, scene, heats)
    drawn = [s for s in source.subjects if any(s in pair for pair in pairs)]
    cells = tuple(
        Cell(
            f"{a.short} × {b.short}",
            f"{a.label} × {b.label}",
            "calibrated" if m != "cka" else "raw",
            (drawn.index(a), drawn.index(b)),
        )
        for a, b, m in places
    )
    layout = "pairs" if len(metrics) > 1 else "grid"
    texts = quantity("cka_calibrated" if len(metrics) > 1 else "cka")
    filters = tuple(s.short for s in drawn) if len(pairs) > _MANY_PAIRS else ()
    yield Panel("cross_cka", "CKA between models", texts, views, cells, layout, scale=True, filters=filters)


_MANY_PAIRS = 3


def _heats(
    source: Source, scene: Scene, places: list[tuple[Subject, Subject, str]], height: int, variant: str, tokens: str
) -> tuple[Figure | None, ...]:
    return tuple(_heat(source, scene, a, b, metric, variant, tokens, height) for a, b, metric in places)


def _cka_views(
    frame: pd.DataFrame, scene: Scene, draw: Callable[[str, str], tuple[Figure | None, ...]]
) -> tuple[View, ...]:
    return tuple(
        View(tokens, variant, draw(variant, tokens), scene=scene)
        for variant in ordered(frame["variant"], VARIANTS)
        for tokens in ordered(frame[frame["variant"] == variant]["tokens"], POLICIES)
    )


def _heat(
    source: Source, scene: Scene, a: Subject, b: Subject, metric: str, variant: str, tokens: str, height: int = 372
) -> Figure | None:
    rows = cka_rows(source, scene, a.label, b.label, metric, variant, tokens)
    titles = ("", "") if a is b else (a.short, b.short)
    return cka_heatmap(rows, *titles, height=height) if len(rows) else None


def _path_panel(source: Source, scene: Scene) -> Iterator[Panel]:
    frame = of_scene(source.paths, scene)
    scaled = [v for v in ordered(frame["variant"], ("rms", "raw", "unit")) if v in ("rms", "raw", "unit")]
    for layout, title in (("table", "Path metrics"), ("wide", "Path metrics compared")):
        views = tuple(
            _path_view(source, scene, variant, tokens, layout)
            for variant in scaled or ["rms"]
            for tokens in ordered(frame["tokens"], POLICIES)
            if len(path_rows(source, scene, tokens))
        )
        texts = _PATHS if layout == "table" else quantity("")
        yield Panel(f"paths_{layout}", title, texts, views, layout=layout)


_PATHS = Quantity(
    "paths",
    "Path metrics",
    "",
    "How a token's state travels from the embedding to the last block, the final norm left out.",
    "Compare models in the rms variant, which divides by the path's own scale: raw values grow with the norms.",
    "",
)


def _path_view(source: Source, scene: Scene, variant: str, tokens: str, layout: str) -> View:
    if layout == "table":
        return View(tokens, variant, table=path_table(source, scene, variant, tokens), scene=scene)
    return View(tokens, variant, (path_dots(source, scene, variant, tokens),), scene=scene)


def _present(source: Source, labels: pd.Series) -> list[Subject]:
    found = set(labels)
    return [s for s in source.subjects if s.label in found]


def _cell(subject: Subject) -> Cell:
    return Cell(subject.short, subject.label)


METHODS = (
    "Bands, error bars and brackets are 95% intervals from a Poisson bootstrap over resampling units "
    "(documents, blocks of a text, questions), never over tokens; from fewer than 8 independent units there is"
    " none. Token policies: <code>all</code> counts every token but padding; <code>no_special</code> drops "
    "special tokens; <code>no_sink</code> drops these and tokens whose norm is more than ten times (by "
    "default) the site's median. <code>rms</code> measures a path in units of its own root mean square norm, "
    "<code>unit</code> puts every state on the unit sphere, <code>raw</code> does neither. The numbers behind "
    "the figures by site, pair and path lie beside this file in layers.parquet, pairs.parquet and "
    "paths.parquet."
)
"""For the end of the page, as HTML."""
