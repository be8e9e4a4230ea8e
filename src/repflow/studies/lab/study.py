"""Grids of small models, as the rest of repflow meets them: their training writes these runs."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from repflow.studies.kit.study import Answer, Shown, Study
from repflow.studies.lab.rows import CellRow, ContrastRow, FailureRow, GroupRow, OutcomeRow, SlopeRow

if TYPE_CHECKING:
    from rich.console import Console

    from repflow.drawing.panel import Section
    from repflow.drawing.plotly import Figure
    from repflow.drawing.source import Rows, RunLike, Source
    from repflow.store import Run
    from repflow.studies.lab.frames import Lab as Frames


class Lab(Study):
    """What architecture, loss and size do to flow, retrieval and text in models that were trained for it."""

    name = "lab"
    heading = "What the grid asked"
    alone = True
    told = frozenset({"lab_contrast", "lab_slope"})
    tables: ClassVar[Mapping[str, type]] = {
        "cells": CellRow,
        "contrasts": ContrastRow,
        "failures": FailureRow,
        "groups": GroupRow,
        "outcomes": OutcomeRow,
        "slopes": SlopeRow,
    }

    def read(self, run: "RunLike", rows: "Rows") -> "Frames | None":
        from repflow.studies.lab.frames import read_lab

        return read_lab(run)

    def answers(self, source: "Source") -> "list[Answer]":
        from repflow.studies.lab.texts import answers

        return answers(source.parts[self.name]) if self.name in source.parts else []

    def sections(self, source: "Source") -> "list[Section]":
        from repflow.studies.lab.page import sections

        return sections(source)

    def methods(self, source: "Source") -> str:
        from repflow.studies.lab.page import METHODS

        return METHODS if self.name in source.parts else ""

    def show(self, run: "Run", shown: Shown, out: "Console") -> None:
        from repflow.studies.lab.show import print_lab

        print_lab(run, out)

    def plots(self) -> "Mapping[str, Callable[..., Figure]]":
        from repflow.studies.lab.plots import lab_outcome, lab_training

        return {"lab_outcome": lab_outcome, "lab_training": lab_training}
