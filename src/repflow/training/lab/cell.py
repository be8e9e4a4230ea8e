"""One cell from first weights to rows: trained, asked and measured on its way."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from repflow.core import SubjectFacts
from repflow.engines import Clock, Forgetful
from repflow.models.compiled import compiled_scans
from repflow.models.facts import weights_sha256
from repflow.studies.flow.measure import measure, read
from repflow.studies.kit.progress import Silent
from repflow.studies.kit.record import Reading, Record
from repflow.studies.kit.settings import FlowSettings, MeasureSettings, TaskSettings
from repflow.studies.kit.tasks import assignments
from repflow.studies.lab.cells import Cell, Grid
from repflow.studies.lab.rows import CellRow
from repflow.training.lab.learn import learn
from repflow.training.lab.models import first_model
from repflow.training.lab.rows import ASKED, Asked, answers_right, material
from repflow.training.live import live_subject
from repflow.training.undisturbed import undisturbed
from repflow.training.zoo.stream import IGNORED

METRICS = ("inter_token_cosine", "adjacent_cosine", "update_ratio", "v_loc", "v_glob")
EXAMPLES = 24
CONTEXT = 256
_ROWS = 8
"""Rows that are asked at once."""


@dataclass
class Done:
    """What is kept of a cell."""

    rows: list[CellRow]
    record: Record
    facts: SubjectFacts | None
    facts_of_training: dict[str, Any]


def visited(steps: int, visits: int) -> frozenset[int]:
    """The steps at which a model is measured: 0, then closer together early than late, and the last."""
    return frozenset(round(steps * (i / (visits - 1)) ** 1.5) for i in range(visits))


def flow_settings(label: str, seed: int) -> FlowSettings:
    """What each model is measured on."""
    return FlowSettings(
        subjects=(label,),
        task=TaskSettings(task=("text",), context=(CONTEXT,), examples=EXAMPLES),
        measure=MeasureSettings(metrics=METRICS, seed=seed),
    )


def run_cell(
    cell: Cell, grid: Grid, data: Path, device: torch.device, keep: Path | None, tell: Callable[[str], None]
) -> Done:
    """Train and measure a cell. Raises Diverged, or what torch raises for a model that does not fit."""
    begun = time.perf_counter()
    known = material(data)
    model = first_model(cell.architecture, cell.seed).to(device)
    visiting = Visiting(cell, model, known.tokenizer, {a: known.fresh(a, cell.seed) for a in ASKED})
    plan = known.plan(grid.tokens)
    told: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters()), "device": _device(device)}
    if cell.trained:
        steps = plan[-1].last
        batches = known.batches(grid.tokens, cell.seed)
        course = learn(model, cell, batches, plan, visiting.visit, visited(steps, grid.visits))
        told |= {"steps": steps, "tokens": course.tokens, "losses": course.losses}
    else:
        model.eval()
        visiting.visit(0)
    if keep is not None:
        model.to(torch.bfloat16).save_pretrained(keep)
        known.tokenizer.save_pretrained(keep)
    told["seconds"] = round(time.perf_counter() - begun, 1)
    tell(f"{cell.name}: {visiting.summary()}, {told['seconds']:.0f} s")
    return Done(visiting.rows, visiting.record, visiting.facts, told)


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


class Visiting:
    """Asks and measures the model when it is called upon."""

    def __init__(self, cell: Cell, model: Any, tokenizer: Any, fresh: dict[Asked, dict[str, Tensor]]) -> None:
        self._cell, self._model, self._tokenizer, self._fresh = cell, model, tokenizer, fresh
        self.rows: list[CellRow] = []
        self.record = Record()
        self.facts: SubjectFacts | None = None
        self._readings: list[Reading] = []
        self._settings = flow_settings(cell.name, 0)

    def visit(self, step: int) -> None:
        with undisturbed(self._model), compiled_scans(self._model):
            for asked, rows in self._fresh.items():
                self.rows.append(self._asked(asked, rows, step))
        with undisturbed(self._model):
            self._measure(step)

    def _measure(self, step: int) -> None:
        reader, facts = live_subject(self._model, self._tokenizer, self._cell.name, self._settings)
        if not self._readings:
            self._readings = [
                read(each, self._tokenizer, facts, self._settings, self.record)
                for each in assignments(self._settings.task)
            ]
        self.facts = replace(facts, weights_sha256=weights_sha256(self._model))
        clock = Clock()
        for reading in self._readings:
            clock += measure("", reader, self.facts, reading, self._settings, Forgetful(), Silent(), self.record, step)

    @torch.no_grad()
    def _asked(self, asked: Asked, rows: dict[str, Tensor], step: int) -> CellRow:
        device = next(self._model.parameters()).device
        right = answers = tokens = 0
        nats = 0.0
        for first in range(0, len(rows["input_ids"]), _ROWS):
            ids = rows["input_ids"][first : first + _ROWS].to(device)
            labels = rows["labels"][first : first + _ROWS, 1:].to(device)
            logits = self._model(input_ids=ids, use_cache=False).logits[:, :-1].float()
            found = answers_right(logits, labels)
            right, answers = right + found[0], answers + found[1]
            nats += float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum"))
            tokens += int((labels != IGNORED).sum())
        cell = self._cell
        return CellRow(
            subject=cell.name,
            architecture=cell.architecture_name,
            loss=cell.loss_name,
            seed=cell.seed,
            step=step,
            task=asked.task,
            context=asked.context,
            right=None if asked.task == "text" else right,
            answers=None if asked.task == "text" else answers,
            nats=nats / max(1, tokens),
        )

    def summary(self) -> str:
        last = max(row.step for row in self.rows)
        return ", ".join(
            f"{row.task} {row.context} {row.nats:.2f} nats"
            if row.answers is None or row.right is None
            else f"{row.task} {row.context} {row.right / max(1, row.answers):.0%}"
            for row in self.rows
            if row.step == last
        )


def meta_of(done: Done) -> dict[str, Any]:
    """What a part keeps."""
    return {"facts": asdict(done.facts) if done.facts else None, "training": done.facts_of_training}
