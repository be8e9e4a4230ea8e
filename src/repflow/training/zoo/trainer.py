"""Training one model of the zoo with transformers' Trainer."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from repflow.engines import Progress
from repflow.training.captured import Captured, Inputs
from repflow.training.errors import Diverged
from repflow.training.zoo.curriculum import Span, tokens_until
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
    rate: Callable[[int], float],
    seed: int,
    cpu: bool,
    callbacks: Sequence[TrainerCallback],
    checkpoint: Path | None,
) -> Trainer:
    """Trains the model in place, from `checkpoint` on where there is one; `rate` is a step's share of the highest."""
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=1,
        learning_rate=learning_rate,
        weight_decay=0.1,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        logging_steps=max(1, steps // 100),
        save_steps=max(1, math.ceil(steps / CHECKPOINTS)),
        save_total_limit=2,
        seed=seed,
        use_cpu=cpu,
        train_sampling_strategy="sequential",
        dataloader_pin_memory=not cpu,
        dataloader_num_workers=0 if cpu else 1,
        disable_tqdm=True,
        report_to=[],
        remove_unused_columns=False,
    )
    trainer = _RowwiseTrainer(
        micro_tokens,
        rate,
        model=model,
        args=arguments,
        train_dataset=stream,
        data_collator=_only,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return trainer


class _RowwiseTrainer(Trainer):
    """Computes a step in micro-batches of whole rows, as many as fit `micro_tokens`, one at least.

    Logits are computed where there are labels. The log says which share of the answers was right since it last spoke.
    """

    loss_is_scaled_for_ga = True

    def __init__(self, micro_tokens: int, rate: Callable[[int], float], **options: Any) -> None:
        super().__init__(**options)
        self._micro_tokens = micro_tokens
        self._rate = rate
        self._answers: Tensor | int = 0
        self._right: Tensor | int = 0
        self._captured: Captured | None = None

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        del num_training_steps
        if self.lr_scheduler is None:
            chosen: Any = optimizer or self.optimizer
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(chosen, self._rate)
        return self.lr_scheduler

    def training_step(
        self, model: Any, inputs: dict[str, Tensor], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        n, length = inputs["input_ids"].shape
        rows = max(1, self._micro_tokens // length)
        del num_items_in_batch
        if rows >= n and self.args.device.type == "cuda":
            return self._replayed(model, inputs)
        count = (inputs["labels"][:, 1:] != IGNORED).sum().clamp(min=1)
        losses = [
            super(_RowwiseTrainer, self).training_step(
                model, {name: tensor[first : first + rows] for name, tensor in inputs.items()}, count
            )
            for first in range(0, n, rows)
        ]
        return torch.stack(losses).sum()

    def _replayed(self, model: Any, inputs: dict[str, Tensor]) -> Tensor:
        model.train()
        if self._captured is None:
            bare = self.accelerator.unwrap_model(model)

            def step(given: Inputs) -> Tensor:
                loss, asked, right = every_token(bare, given)
                loss.backward()
                return torch.stack([loss.detach(), asked, right])

            self._captured = Captured(step, [p for p in bare.parameters() if p.requires_grad])
        loss, asked, right = self._captured(
            {name: tensor.to(self.args.device) for name, tensor in inputs.items()}
        ).clone()
        self._answers = self._answers + asked
        self._right = self._right + right
        return loss

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        bare = self.accelerator.unwrap_model(model)
        learnt = inputs["labels"][:, 1:] != IGNORED
        targets = inputs["labels"][:, 1:][learnt]
        with self.accelerator.autocast():
            states = bare.base_model(input_ids=inputs["input_ids"], use_cache=False)[0][:, :-1]
            logits = bare.get_output_embeddings()(states[learnt])
        asked = inputs["asked"][:, None].expand_as(learnt)[learnt]
        self._answers += int(asked.sum())
        self._right += int((logits.detach().argmax(-1) == targets)[asked].sum())
        loss = token_loss(logits, targets, num_items_in_batch if num_items_in_batch is not None else len(targets))
        return (loss, {"logits": logits}) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self._answers:
            logs["answers"] = float(self._right / self._answers)
            self._answers = self._right = 0
        super().log(logs, start_time)


def _only(items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """An item of the stream is a batch already."""
    return items[0]


def token_loss(logits: Tensor, targets: Tensor, n: Tensor | int) -> Tensor:
    """Loss in nats of logits [tokens, vocabulary], summed over the tokens and divided by n, those of the whole step."""
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum") / n


def every_token(model: Any, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
    """Mean loss of the labelled tokens, how many of them are answers, and how many of these are said rightly.

    Logits are computed of every token, so that the shapes do not depend on the labels.
    """
    states = model.base_model(input_ids=inputs["input_ids"], use_cache=False)[0][:, :-1]
    logits = model.get_output_embeddings()(states).float()
    targets = inputs["labels"][:, 1:]
    learnt = targets != IGNORED
    total = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    asked = learnt & inputs["asked"][:, None]
    right = asked & (logits.detach().argmax(-1) == targets)
    return total / learnt.sum().clamp(min=1), asked.sum().float(), right.sum().float()


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
    """Reports the steps of a training, its stage, tokens, speed and loss, and the answers that were right."""

    def __init__(self, progress: Progress, name: str, plan: Sequence[Span]) -> None:
        self._progress = progress
        self._name = name
        self._plan = plan
        self._told = 0
        self._spoke = (0, 0.0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        del args, control, kwargs
        self._told = state.global_step
        self._spoke = (tokens_until(self._plan, state.global_step), perf_counter())
        self._progress.begin(f"training {self._name}", state.max_steps - state.global_step, "step")

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        del args, control
        logs = kwargs["logs"]
        if "loss" not in logs:
            return
        tokens, now = tokens_until(self._plan, state.global_step), perf_counter()
        speed = (tokens - self._spoke[0]) / (now - self._spoke[1])
        self._spoke = (tokens, now)
        stage = next(span.stage.name for span in self._plan if state.global_step <= span.last)
        answers = f", {logs['answers']:.0%} of answers right" if "answers" in logs else ""
        self._progress.note(
            f"{self._name}: step {state.global_step}, stage {stage}, {tokens:,} tokens, loss {float(logs['loss']):.3f}"
            f"{answers}, {speed:,.0f} tokens/s"
        )

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
