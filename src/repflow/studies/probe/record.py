"""What a probe run collects on its way, and writes at its end."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from repflow.core import Site, SubjectFacts
from repflow.metrics import Course
from repflow.store import RunWriter
from repflow.studies.kit.answering import CORRECT
from repflow.studies.kit.record import Record
from repflow.studies.kit.units import Units, units_of
from repflow.studies.probe.aims import Aim
from repflow.studies.probe.answers import answer_rows, answered, limits, shares, telling_rows
from repflow.studies.probe.estimate import NONE, About, class_rows, probe_rows, summary_row
from repflow.studies.probe.findings import depth_finding, telling_finding
from repflow.studies.probe.fit import Probed
from repflow.studies.probe.linear import DepthSummary, Predictions, Scores, summarise, summarise_depth
from repflow.studies.probe.reading import Gathered
from repflow.studies.probe.rows import AnswerRow, ProbeClassRow, ProbeRow, ProbeSummaryRow, TellingRow


def held_out_units(gathered: Gathered, predictions: Predictions, headline: str) -> Units:
    """What the intervals of probes resample: groups that some split holds out.

    They are put in the order of their ids; what neighbours have in common is judged by how often the last site's probe
    is right of a group.
    """
    kept = [e for e, there in zip(gathered.reading.examples, gathered.kept, strict=True) if there]
    tested = (~predictions.train).sum(0)
    right = ((predictions.predicted[:, -1] == predictions.labels) & ~predictions.train).sum(0) / np.maximum(tested, 1)
    counted = np.flatnonzero(tested)
    examples = [replace(kept[i], unit=int(predictions.groups[i])) for i in counted]
    course = Course(torch.tensor([e.id for e in examples]), torch.from_numpy(right[counted]).double())
    return units_of(examples, course, headline)


@dataclass
class ProbeRecord(Record):
    """The record of a flow run, with the rows of its probes."""

    probes: list[ProbeRow] = field(default_factory=list)
    probe_classes: list[ProbeClassRow] = field(default_factory=list)
    probe_summary: list[ProbeSummaryRow] = field(default_factory=list)
    answers: list[AnswerRow] = field(default_factory=list)
    telling: list[TellingRow] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)

    def write(self, writer: RunWriter) -> None:
        """Write the tables; without answers there are none of them."""
        writer.write_table("probes", self.probes, ProbeRow)
        writer.write_table("probe_classes", self.probe_classes, ProbeClassRow)
        writer.write_table("probe_summary", self.probe_summary, ProbeSummaryRow)
        if self.answers:
            writer.write_table("answers", self.answers, AnswerRow)
            writer.write_table("telling", self.telling, TellingRow)

    def add(
        self,
        facts: SubjectFacts,
        baseline_of: str | None,
        sites: Sequence[Site],
        gathered: Gathered,
        probed: Probed,
        seed: int,
    ) -> None:
        """Take in the results of one reading of one subject."""
        assignment = gathered.reading.assignment
        about = About(facts, baseline_of, assignment.task.name, assignment.context, sites, seed)
        aim, first = probed.fits[0]
        of_value = "" if aim.target == "position" else " of values"
        headline = f"share right{of_value}, {aim.place.name} token at {sites[-1].name}"
        units = held_out_units(gathered, first.predictions, headline)
        self.tasks.append(assignment.facts(facts.label, gathered.reading.examples, units))
        if units.stretch > 1:
            self.warn(
                f"{facts.label}, {assignment.title}: neighbouring groups of prompts are alike (their share right "
                f"correlates by {units.between:.2f}), so that intervals are too narrow, by about {units.stretch:.1f}"
            )
        for example, site in gathered.broken:
            self.warn(
                f"{facts.label}, {assignment.title}: example {example} left out, non-finite at {sites[site].name}"
            )
        right = self._answers(about, gathered)
        length = limits(summarise(probed.length.predictions, seed).accuracy, 0)
        said = NONE if right is None else answered(right, np.array(gathered.reading.groups), seed)
        for aim, fit in probed.fits:
            found, depth = summarise(fit.predictions, seed), summarise_depth(fit.predictions, sites, seed)
            self.probes += probe_rows(about, aim, fit.predictions, found, self._lens(gathered, aim, seed))
            self.probe_classes += class_rows(about, aim, found)
            self.probe_summary.append(summary_row(about, aim, fit.predictions, found, depth, length, said))
            self.findings.append(depth_finding(self.probe_summary[-1]))
            if right is not None and aim.target == "position":
                self._tell(about, aim, fit.predictions, depth, right[gathered.kept])

    @staticmethod
    def _lens(gathered: Gathered, aim: Aim, seed: int) -> Scores | None:
        """How often the model's own end chooses the right value, over all examples."""
        chosen, kept = gathered.lens.get(aim.place.name), gathered.kept
        if aim.target != "value" or chosen is None or gathered.values is None:
            return None
        right = chosen[:, kept] == gathered.values.gold[kept]
        return shares(right, np.array(gathered.reading.groups)[kept], seed)

    def _answers(self, about: About, gathered: Gathered) -> np.ndarray | None:
        """Whether each answer is right; None where none was asked for."""
        if not gathered.answers:
            return None
        examples, correct = gathered.reading.examples, CORRECT[about.task]
        right = np.array([correct(text, e) for text, e in zip(gathered.answers, examples, strict=True)])
        self.answers += answer_rows(about.facts.label, about.task, about.context, examples, gathered.answers, right)
        return right

    def _tell(self, about: About, aim: Aim, predictions: Predictions, depth: DepthSummary, right: np.ndarray) -> None:
        where = (about.facts.label, about.task, about.context, aim.place.name)
        rows = telling_rows(where, about.sites, depth, predictions, right, about.seed)
        self.telling += rows
        self.findings += [
            telling_finding(row, self.probe_summary[-1]) for row in rows if row.at == "peak" and row.gold_class is None
        ]
