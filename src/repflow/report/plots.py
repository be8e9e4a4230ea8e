"""`run.plot`: every figure of the report, one method each, for notebooks."""

from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from repflow.core import NotEnoughData, unknown

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from repflow.drawing.plotly import Figure
    from repflow.drawing.source import Scene, Source
    from repflow.studies.steps.axis import Training


class Choice(TypedDict, total=False):
    """What a figure shows; without one, the first of the run."""

    task: str | None
    context: int | None
    variant: str | None
    tokens: str | None


class Plots:
    """Plotly figures of one run. Without arguments a method draws the first task, context, policy and variant."""

    def __init__(self, run: Any) -> None:
        """`run`: anything `write_report` takes. Nothing is read before the first figure."""
        self._run = run

    def inter_token_cosine(self, **choice: Unpack[Choice]) -> "go.Figure":
        """How alike the tokens of a sequence are, against relative depth."""
        return self._curve("inter_token_cosine", **choice)

    def adjacent_cosine(self, **choice: Unpack[Choice]) -> "go.Figure":
        """Cosine between each site's state and the one before it."""
        return self._curve("adjacent_cosine", **choice)

    def update_ratio(self, **choice: Unpack[Choice]) -> "go.Figure":
        """Length of each block's update beside the state it is added to."""
        return self._curve("update_ratio", **choice)

    def norms(self, **choice: Unpack[Choice]) -> "go.Figure":
        """Norm of the states, logarithmic; variants median, mean, max."""
        return self._curve("norm", **choice)

    def participation_ratio(self, **choice: Unpack[Choice]) -> "go.Figure":
        """Effective number of directions the tokens use."""
        return self._curve("participation_ratio", **choice)

    def layers(self, metric: str, **choice: Unpack[Choice]) -> "go.Figure":
        """Any metric of `run.layers` against relative depth."""
        return self._curve(metric, **choice)

    def offset_profile(
        self,
        subject: str | None = None,
        *,
        task: str | None = None,
        context: int | None = None,
        tokens: str | None = None,
    ) -> "go.Figure":
        """Cosine of tokens k places apart, sites against k, for one subject."""
        from repflow.drawing import heatmap as _heatmaps

        source, scene = self._scene(task, context)
        name = self._subject(source, subject)
        policy = _first(_rows(source.layers, scene, metric="offset_cosine", subject=name), "tokens", tokens)
        return _drawn(_heatmaps.offset_heatmap(source, scene, name, policy, height=380, scale=True))

    def cka(
        self,
        subject: str | None = None,
        other: str | None = None,
        *,
        metric: str = "cka",
        task: str | None = None,
        context: int | None = None,
        variant: str | None = None,
        tokens: str | None = None,
    ) -> "go.Figure":
        """CKA between a subject's sites, or with `other` between the sites of two subjects."""
        from repflow.drawing import heatmap as _heatmaps

        source, scene = self._scene(task, context)
        a = self._subject(source, subject)
        b = a if other is None else self._subject(source, other)
        rows = _rows(source.pairs, scene, metric=metric)
        ends = rows[["subject_a", "subject_b"]]
        met = rows[ends.isin([a, b]).all(axis=1) & ((ends["subject_a"] == ends["subject_b"]) == (a == b))]
        variant = _first(met, "variant", variant)
        policy = _first(met[met["variant"] == variant], "tokens", tokens)
        found = _heatmaps.cka_rows(source, scene, a, b, metric, variant, policy)
        return _drawn(_heatmaps.cka_heatmap(found, a if a != b else "", b if a != b else "", height=480, scale=True))

    def paths(
        self, *, task: str | None = None, context: int | None = None, variant: str = "rms", tokens: str | None = None
    ) -> "go.Figure":
        """Path metrics with intervals, a panel a metric; variants rms, raw, unit."""
        from repflow.studies.flow import paths as _pathplots

        source, scene = self._scene(task, context)
        policy = _first(_rows(source.paths, scene), "tokens", tokens)
        return _drawn(_pathplots.path_dots(source, scene, variant, policy))

    def training(
        self,
        *,
        task: str | None = None,
        context: int | None = None,
        variant: str | None = None,
        tokens: str | None = None,
    ) -> "go.Figure":
        """Inter-token cosine in the early, middle and late third of depth against training step."""
        from repflow.studies.steps import figures as _stepplots

        source, scene, training = self._training(task, context)
        rows = _rows(training.thirds.frame, scene)
        kind = _first(rows, "variant", variant)
        policy = _first(rows[rows["variant"] == kind], "tokens", tokens)
        shown = rows[(rows["variant"] == kind) & (rows["tokens"] == policy)]
        return _drawn(_stepplots.all_thirds(shown, source.subjects))

    def training_map(
        self,
        subject: str | None = None,
        *,
        metric: str = "inter_token_cosine",
        task: str | None = None,
        context: int | None = None,
        variant: str | None = None,
        tokens: str | None = None,
    ) -> "go.Figure":
        """One subject's sites against training step, in the colours all subjects share.

        `metric`: inter_token_cosine, adjacent_cosine, cka (with the site before) or update_ratio.
        """
        from repflow.studies.steps import axis as _steprows
        from repflow.studies.steps import figures as _stepplots

        if metric not in _steprows.MAPS:
            raise unknown("metric", metric, _steprows.MAPS)
        source, scene, training = self._training(task, context)
        rows = _rows(_steprows.map_rows(training, scene, metric), scene)
        kind = _first(rows, "variant", variant)
        scale = _steprows.scale_of(rows[rows["variant"] == kind], metric)
        mine = _rows(rows, scene, subject=self._subject(source, subject), variant=kind)
        policy = _first(mine, "tokens", tokens)
        return _drawn(_stepplots.step_map(mine[mine["tokens"] == policy], scale, height=420, bar=True))

    def probes(
        self, *, task: str | None = None, context: int | None = None, position: str | None = None
    ) -> "go.Figure":
        """Probe accuracy against relative depth: peak and last block marked, control dotted, chance dashed.

        `position`: the place of the prompt that was read, as in `run.probes`.
        """
        from repflow.drawing import plotly as _plotly
        from repflow.drawing import source as _source
        from repflow.studies.flow import page as _panels
        from repflow.studies.probe import figures as _probeplots
        from repflow.studies.probe import frames as _proberows

        source = _source.read(self._run, variants=True)
        if source.parts.get("probe") is None:
            raise NotEnoughData("this run trained no probes; `repflow probe` makes a run that does")
        fits = [s for s in source.parts.get("probe").scenes if task in (None, s[0]) and context in (None, s[1])]
        if not fits:
            held = "; ".join(map(_proberows.told_scene, source.parts.get("probe").scenes))
            raise NotEnoughData(f"no probes for task {task!r}, context {context}; this run holds {held}")
        rows, summary = (_proberows.in_scene(f, fits[0]) for f in (source.parts.get("probe").sites, source.parts.get("probe").summary))
        places = _panels.ordered(rows["position"], ())
        place = places[0] if position is None else position
        if place not in places:
            raise unknown("position", place, places)
        shown, best = (_proberows.where(frame, position=place) for frame in (rows, summary))
        drawn = _probeplots.depth_curves(shown, best, source.subjects)
        margin = drawn["layout"]["margin"] | {"t": 40}
        looks = {"height": 420, "showlegend": True, "legend": _plotly.LEGEND, "margin": margin}
        return _drawn({"data": drawn["data"], "layout": drawn["layout"] | looks})

    def attribution(
        self,
        subject: str | None = None,
        *,
        task: str | None = None,
        context: int | None = None,
        variant: str | None = None,
        tokens: str | None = None,
    ) -> "go.Figure":
        """One subject's trained weights against weights drawn anew, over relative depth: a line a scheme."""
        from repflow.drawing import source as _source
        from repflow.studies.attribute import figures as _attributionplots
        from repflow.studies.attribute import frames as _attributionrows

        source = _source.read(self._run)
        if source.parts.get("attribute") is None:
            raise NotEnoughData("this run drew no weights anew; `repflow attribute` makes a run that does")
        scene = self._scene(task, context)[1]
        name = self._subject(source, subject)
        rows = _rows(source.layers, scene, metric="inter_token_cosine", subject=name)
        kind = _first(rows, "variant", variant)
        cell = (scene.task, scene.context, kind, _first(rows[rows["variant"] == kind], "tokens", tokens))
        trained = _attributionrows.of_cell(rows, cell)
        drawn = _attributionrows.of_cell(source.parts.get("attribute").schemes, cell, subject=name)
        names = source.parts.get("attribute").names
        return _drawn(_attributionplots.scheme_curves(trained, drawn, names, height=420, legend=True))

    def influence(self, *, task: str | None = None, context: int | None = None, share: bool = False) -> "go.Figure":
        """Influence of earlier tokens against their distance; `share`: its share of the squared influence of all."""
        from repflow.drawing import plotly as _plotly
        from repflow.drawing import source as _source
        from repflow.studies.dynamics import figures as _dynamicsplots
        from repflow.studies.probe import frames as _proberows

        source = _source.read(self._run, variants=True)
        if source.parts.get("dynamics") is None or source.parts.get("dynamics").influence.empty:
            raise NotEnoughData("this run measured no influence; `repflow dynamics` makes a run that does")
        fits = [s for s in source.parts.get("dynamics").scenes if task in (None, s[0]) and context in (None, s[1])]
        if not fits:
            held = "; ".join(map(_proberows.told_scene, source.parts.get("dynamics").scenes))
            raise NotEnoughData(f"no influence for task {task!r}, context {context}; this run holds {held}")
        rows = _proberows.in_scene(source.parts.get("dynamics").influence, fits[0])
        drawn = _dynamicsplots.influence_curves(rows, source.subjects, share)
        looks = {"showlegend": True, "legend": _plotly.LEGEND, "margin": drawn["layout"]["margin"] | {"t": 40}}
        return _drawn({"data": drawn["data"], "layout": drawn["layout"] | looks})

    def _training(self, task: str | None, context: int | None) -> "tuple[Source, Scene, Training]":
        source, scene = self._scene(task, context)
        if source.parts.get("steps") is None:
            raise NotEnoughData("this run measured models as they stand; a run in training has a row for every step")
        return source, scene, source.parts.get("steps")

    def _curve(
        self,
        metric: str,
        *,
        task: str | None = None,
        context: int | None = None,
        variant: str | None = None,
        tokens: str | None = None,
    ) -> "go.Figure":
        from repflow.core import quantities as _texts
        from repflow.drawing import curves as _curves

        source, scene = self._scene(task, context)
        rows = _rows(source.layers, scene, metric=metric)
        kind = _first(rows, "variant", variant)
        policy = _first(rows[rows["variant"] == kind], "tokens", tokens)
        return _drawn(_curves.curves(source, scene, _texts.quantity(metric), kind, policy, height=420))

    def _scene(self, task: str | None, context: int | None) -> "tuple[Source, Scene]":
        from repflow.drawing import source as _source

        source = _source.read(self._run, variants=True)
        if task is not None and task not in {s.task for s in source.scenes}:
            raise unknown("task", task, {s.task for s in source.scenes})
        fits = [s for s in source.scenes if task in (None, s.task) and context in (None, s.context)]
        if not fits:
            held = ", ".join(f"{s.task} at {s.context}" for s in source.scenes) or "no rows"
            raise NotEnoughData(f"nothing to draw for task {task!r}, context {context}; this run holds {held}")
        return source, fits[0]

    def _subject(self, source: "Source", given: str | None) -> str:
        labels = {s.short: s.label for s in source.subjects} | {s.label: s.label for s in source.subjects}
        if given is None:
            return source.subjects[0].label
        if given not in labels:
            raise unknown("subject", given, [s.label for s in source.subjects])
        return labels[given]


def _drawn(spec: "Figure") -> "go.Figure":
    """The figure for a notebook, without plotly's own template."""
    import plotly.graph_objects as go

    layout = {**spec["layout"], "template": go.layout.Template()}
    return go.Figure(data=spec["data"], layout=layout)


def _rows(frame: Any, scene: "Scene", **wanted: str) -> Any:
    from repflow.drawing import source as _source

    rows = _source.of_scene(frame, scene)
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    if not len(rows):
        named = ", ".join(f"{k} {v}" for k, v in wanted.items()) or "path metrics"
        raise NotEnoughData(f"the run has no rows for {named} on {scene.task} at context {scene.context}")
    return rows


def _first(rows: Any, column: str, given: str | None) -> str:
    """The wanted value of a column, or the first in the report's order; an error names what there is."""
    from repflow.drawing import source as _source
    from repflow.studies.flow import page as _panels

    order = ("raw", *_panels.VARIANTS) if column == "variant" else _source.POLICIES
    names = _panels.ordered(rows[column], order)
    if given is None and names:
        return names[0]
    if given not in names:
        raise unknown(column, str(given), names)
    return str(given)
