"""Tiny trainings to measure."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from repflow.models import Loaded, load
from repflow.models.initialise import random_model
from repflow.store import Run
from repflow.studies.kit.settings import MeasureSettings, TaskSettings
from repflow.training import FlowCallback

TABLES = ("layers", "pairs", "paths")
TASK = TaskSettings(context=(40,), examples=5)
MEASURE = MeasureSettings(replicates=40, calibration=2)
AS_FLOW = {"task": "text", "context": 40, "examples": 5, "replicates": 40, "calibration": 2}
"""The same settings, as `repflow.flow` takes them."""
SEED = 3
LAST = 10
STEPS = [0, 1, 2, 4, 8, 10]


@cache
def subject(family: str) -> Loaded:
    return load(f"config:{family},layers=3,width=32")


def fresh(family: str) -> Any:
    """The untrained model, dropout on where the family has any."""
    config = subject(family).model.config
    if family == "gpt_neo":
        config.resid_dropout = config.embed_dropout = config.attention_dropout = 0.1
    return random_model(config, SEED)


def data() -> list[dict[str, torch.Tensor]]:
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randint(0, 250, (20,), generator=draw) for _ in range(48)]
    return [{"input_ids": row, "labels": row} for row in rows]


def flow_callback(out: Path, **changes: Any) -> FlowCallback:
    options = {"task": TASK, "measure": MEASURE, "tokenizer": subject("gpt_neo").tokenizer} | changes
    return FlowCallback(out, **options)


def trainer(model: Any, folder: Path, callbacks: Sequence[TrainerCallback] = (), **changes: Any) -> Trainer:
    """Shuffled data, two batches a step."""
    options = {
        "output_dir": str(folder), "max_steps": LAST, "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2, "learning_rate": 1e-2, "save_strategy": "no", "report_to": "none",
        "use_cpu": True, "dataloader_pin_memory": False, "logging_steps": 1, "disable_tqdm": True, "seed": 5,
    } | changes  # fmt: skip
    arguments = TrainingArguments(**options)
    return Trainer(model, arguments, train_dataset=data(), eval_dataset=data()[:4], callbacks=list(callbacks))


def same_rows(a: Run, b: Run, *, step: int | None = None, whole: bool = False) -> None:
    """The numbers of `a`, of one step if given, are those of `b` bit for bit; with `whole` all other columns too."""
    for table in TABLES:
        mine, theirs = getattr(a, table), getattr(b, table)
        if step is not None:
            mine = mine[mine["step"] == step].reset_index(drop=True)
        apart = [] if whole else ["subject", "subject_a", "subject_b", "init", "step"]
        columns = [name for name in theirs if name not in apart]
        assert len(mine) > 0
        pd.testing.assert_frame_equal(mine[columns], theirs[columns], check_exact=True)
    if whole:
        assert a.replicates.keys() == b.replicates.keys() == {"layers", "paths"}
        assert all(np.array_equal(a.replicates[name], b.replicates[name], equal_nan=True) for name in a.replicates)


def steps_of(run: Run) -> list[int]:
    found = {name: getattr(run, name)["step"].unique().tolist() for name in TABLES}
    assert found["layers"] == found["pairs"] == found["paths"]
    return found["layers"]


class Stop(RuntimeError):
    """Ends a training the hard way."""


class At(TrainerCallback):
    """Does something at the end of a step."""

    def __init__(self, steps: Iterable[int], do: Any) -> None:
        self.steps, self.do = set(steps), do

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        del args
        if state.global_step in self.steps:
            self.do(control=control, **kwargs)


def stop(**_: Any) -> None:
    raise Stop
