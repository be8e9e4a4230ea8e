"""Path metrics by subject, and what the token policies drop."""

import pandas as pd

from repflow.core.quantities import quantity
from repflow.drawing.labels import estimate
from repflow.drawing.source import Scene, Source, of_scene, values
from repflow.drawing.table import Group, Heading, Line, Table, estimates, of_subject
from repflow.studies.flow.paths import column_title, path_columns, path_rows


def path_table(source: Source, scene: Scene, variant: str, tokens: str) -> Table:
    """Subjects by path metrics; an en dash where a subject lacks one."""
    rows = path_rows(source, scene, tokens)
    columns = path_columns(rows, variant)
    found = values(rows, "subject", "metric", "variant", "value", "ci_low", "ci_high")
    known = {(s, m, v): (value, low, high) for s, m, v, value, low, high in found}
    lines = tuple(
        Line(estimates(*(estimate(*known.get((s.label, m, v), (None, None, None))) for m, v in columns)), of_subject(s))
        for s in source.subjects
        if (rows["subject"] == s.label).any()
    )
    headings = tuple(Heading(column_title(m, v), quantity(m).meaning) for m, v in columns)
    return Table(("subject",), headings, (Group(lines),))


def dropped_shares(source: Source, scene: Scene) -> list[str]:
    """One sentence a policy on the site where it dropped the largest mean share of tokens, over all subjects."""
    frame = of_scene(source.layers, scene)
    frame = frame[frame["metric"] == "dropped_share"].dropna(subset=["value"])
    said: list[str] = []
    for tokens in frame["tokens"].drop_duplicates():
        part = frame[frame["tokens"] == tokens]
        worst = part.loc[pd.to_numeric(part["value"]).idxmax()]
        if worst["value"] > 0:
            short = next((s.short for s in source.subjects if s.label == worst["subject"]), worst["subject"])
            said.append(f"{tokens} drops up to {worst['value']:.2%} of the tokens at a site ({short}, {worst['site']})")
    return said
