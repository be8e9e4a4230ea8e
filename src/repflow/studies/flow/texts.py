"""The examples whose tokens the page shows one by one."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from repflow.core.quantities import Quantity
from repflow.drawing.panel import Panel, Section, View
from repflow.drawing.source import Scene, Source, Subject, in_scene
from repflow.drawing.token_text import Channel, TokenText
from repflow.studies.flow.rows import TokenRow


@dataclass(frozen=True)
class Texts:
    """The rows of tokens.parquet."""

    tokens: pd.DataFrame


def read_texts(run: Any) -> Texts | None:
    """None for a run that kept none."""
    if not hasattr(run, "table"):
        return None
    found = run.table("tokens").reindex(columns=[field.name for field in fields(TokenRow)])
    return Texts(found) if len(found) else None


def text_sections(source: Source) -> list[Section]:
    """The section that shows them; none for a run without."""
    found = source.parts.get("flow")
    if not isinstance(found, Texts):
        return []
    views = tuple(view for scene in source.scenes for s in source.subjects for view in _views(found.tokens, scene, s))
    if not views:
        return []
    panel = Panel("tokens", _TEXT.title, _TEXT, views, layout="tokens")
    about = "coloured by norm or likeness, at any site"
    return [Section("examples", "One example, token by token", "Tokens", [panel], about=about)]


def _views(frame: pd.DataFrame, scene: Scene, subject: Subject) -> Iterator[View]:
    mine = in_scene(frame, scene, subject=subject.label)
    for turn, (_, rows) in enumerate(mine.groupby("example", sort=True)):
        name = f"{subject.short}, example {turn + 1}"
        yield View("all", f"{scene.title}, {name}", scene=scene, own=name, text=_text(rows))


def _text(rows: pd.DataFrame) -> TokenText:
    rows = rows.sort_values(["site_index", "position"], kind="stable")
    sites = rows.drop_duplicates("site_index")["site"].tolist()
    tokens = rows[rows["site_index"] == rows["site_index"].iloc[0]]["text"].tolist()

    def grid(column: str) -> np.ndarray:
        return rows[column].to_numpy().reshape(len(sites), len(tokens))

    channels = (Channel("likeness", grid("cosine")), Channel("norm", grid("norm"), logarithmic=True))
    return TokenText(tokens, sites, channels, grid("dropped").astype(bool), "left out by no_sink here")


_TEXT = Quantity(
    "",
    "Tokens of an example",
    "",
    "The beginning of an example, each token coloured by its state at the site that the slider chooses: by its "
    "likeness, the cosine with the mean direction of the sequence's tokens, or by its norm.",
    "All tokens bright in likeness: the sequence is homogenised. One token far brighter than the others in norm is a "
    "sink. Struck out: what the policy no_sink leaves out there. Likeness has one scale for all sites, norm each "
    "site its own, logarithmic.",
    "",
)
