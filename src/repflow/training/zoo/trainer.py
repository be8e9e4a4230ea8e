"""Training one model of the zoo with transformers' Trainer."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from repflow.engines import Progress
from repflow.training.errors import Diverged
from repflow.training.zoo.stream import IGNORED, ZooStream

CHECKPOINTS = 20
"""Checkpoints in the course of a training; the last two are kept."""


def log_steps(last: int) -> tuple[int, ...]:
    """0, 1, 2, 4, 8, ... and `last`."""
    return (0, *(2**i for i in range(last.bit_length()) if 2**i < last), last)


def train(
    model: Any,
    stream: ZooStream,
    checkpoints: Path,
    *,
    steps: int,
    micro_tokens: int,
    learning_rate: float,
    seed: int,
    cpu: bool,
    callbacks: Sequence[TrainerCallback],
    checkpoint: Path | None,
) -> Trainer:
    """Trains the model in place, from `checkpoint` on where there is one."""
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=1,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.1},
        warmup_steps=max(1, steps // 20),
        weight_decay=0.1,
        adam_beta2=0.95,
        max_grad_norm=1.0,
        logging_steps=max(1, steps // 100),
        save_steps=max(1, math.ceil(steps / CHECKPOINTS)),
        save_total_limit=2,
        seed=seed,
        use_cpu=cpu,
        bf16=not cpu,
        train_sampling_strategy="sequential",
        dataloader_pin_memory=not cpu,
        disable_tqdm=True,
        report_to=[],
        remove_unused_columns=False,
    )
    trainer = _RowwiseTrainer(
        micro_tokens,
        model=model,
        args=arguments,
        train_dataset=stream,
        data_collator=_only,
        compute_loss_func=token_loss,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return trainer


class _RowwiseTrainer(Trainer):
    """Computes a step in micro-batches of whole rows: as many as fit `micro_tokens`, one at least."""

    def __init__(self, micro_tokens: int, **options: Any) -> None:
        super().__init__(**options)
        self._micro_tokens = micro_tokens

    def training_step(
        self, model: Any, inputs: dict[str, Tensor], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        n, length = inputs["input_ids"].shape
        rows = max(1, self._micro_tokens // length)
        losses = [
            super(_RowwiseTrainer, self).training_step(
                model, {name: tensor[first : first + rows] for name, tensor in inputs.items()}, num_items_in_batch
            )
            for first in range(0, n, rows)
        ]
        return torch.stack(losses).sum()


def _only(items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """An item of the stream is a batch already."""
    return items[0]


def token_loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int) -> Tensor:
    """Next-token loss in nats, summed over the tokens that have labels and divided by the step's number of them."""
    logits = outputs["logits"][:, :-1].float()
    targets = labels[:, 1:]
    total = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return total / num_items_in_batch


class StopAtNonFinite(TrainerCallback):
    """Ends a training before a non-finite gradient reaches the weights: the checkpoints stay good."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        del args, control
        gradients = [p.grad for p in kwargs["model"].parameters() if p.grad is not None]
        if not torch.isfinite(torch.stack(torch._foreach_norm(gradients)).sum()):
            raise Diverged(state.global_step + 1)


class Snapshots(TrainerCallback):
    """Saves the model at the given steps, in folders named `step-000064`."""

    def __init__(self, folder: Path, steps: Sequence[int], tokenizer: Any) -> None:
        self._folder = folder
        self._steps = frozenset(steps)
        self._tokenizer = tokenizer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        del args, control
        if state.global_step == 0:
            self._save(0, kwargs["model"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        del args, control
        self._save(state.global_step, kwargs["model"])

    def _save(self, step: int, model: Any) -> None:
        if step in self._steps:
            folder = self._folder / f"step-{step:06d}"
            model.save_pretrained(folder)
            self._tokenizer.save_pretrained(folder)


class Telling(TrainerCallback):
    """Reports the steps and the loss of a training."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name
        self._told = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        del args, control, kwargs
        self._told = state.global_step
        self._progress.begin(f"training {self._name}", state.max_steps - state.global_step, "step")

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        del args, control
        if "loss" in kwargs["logs"]:
            self._progress.note(f"{self._name}: step {state.global_step}, loss {float(kwargs['logs']['loss']):.3f}")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        del args, control, kwargs
        self._progress.advance(state.global_step - self._told, 0)
        self._told = state.global_step


@dataclass
class TimeBudget(TrainerCallback):
    """Stops a training when the time has come (`time.monotonic`), at a checkpoint."""

    deadline: float

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        del args, state, kwargs
        if time.monotonic() > self.deadline:
            control.should_save = True
            control.should_training_stop = True
