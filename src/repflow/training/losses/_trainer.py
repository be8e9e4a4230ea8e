"""The losses inside transformers' Trainer, and inside trainers made from it."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from transformers import Trainer

from repflow.core import Tap
from repflow.models.wrappers import unwrapped
from repflow.training.losses.attached import FlowLosses, flow_losses
from repflow.training.losses.regulariser import FlowRegulariser
from repflow.training.losses.term import Losses

REGULARISERS = "flow_regularisers.json"
"""In a checkpoint: the weights that regularisers had reached."""

# Type checkers see a mixin as what it is mixed into.
_Base = Trainer if TYPE_CHECKING else object


class FlowLossMixin(_Base):
    """Gives a Trainer class the argument `flow_losses`: `class MyTrainer(FlowLossMixin, SomeTrainer): ...`.

    The loss of a training batch is the trainer's own, however it makes it, plus the weighted flow losses; these are
    averaged over the batches of an optimiser step. The training log gains each loss's value, without its weight, a mean
    over the batches since the last entry. Evaluation is as without. `flow_options` holds `blocks`, `final_norm` or
    `mask` of `flow_losses`; what that refuses is refused at construction. The weights of regularisers are saved
    with the optimiser of each checkpoint and go on from there.
    """

    def __init__(
        self,
        *args: Any,
        flow_losses: Losses,
        flow_special_ids: Sequence[int] = (),
        flow_taps: Sequence[Tap] | None = None,
        flow_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._flow_settings = (flow_losses, flow_special_ids, flow_taps, dict(flow_options or {}))
        self._flow_sums: dict[str, Tensor] = {}
        self._flow_batches = 0
        self._flow_hooks = ExitStack()
        self._flow_extra: FlowLosses | None = None
        assert self.model is not None, "a Trainer holds a model"
        self._flow(self.model)
        self._end_flow()

    def train(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().train(*args, **kwargs)
        finally:
            self._end_flow()

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        extra = self._flow(model) if unwrapped(model, "flow_losses").training else None
        found = super().compute_loss(
            model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch
        )
        if extra is None:
            return found
        added = extra.loss() / self._batches_to_divide_by(num_items_in_batch)
        self._flow_sums = {name: value + self._flow_sums.get(name, 0.0) for name, value in extra.values.items()}
        self._flow_batches += 1
        return (found[0] + added, found[1]) if isinstance(found, tuple) else found + added

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs and self._flow_batches:
            logs = {**logs, **self._flow_means()}
        super().log(logs, *args, **kwargs)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self._regularisers and self.args.should_save:
            states = {each.name: each.state_dict() for each in self._regularisers}
            (Path(output_dir) / REGULARISERS).write_text(json.dumps(states), encoding="utf-8")

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        kept = None if checkpoint is None else Path(checkpoint) / REGULARISERS
        if self._regularisers and kept is not None and kept.is_file():
            states = json.loads(kept.read_text(encoding="utf-8"))
            for each in self._regularisers:
                if each.name in states:
                    each.load_state_dict(states[each.name])

    @property
    def _regularisers(self) -> list[FlowRegulariser]:
        losses = self._flow_settings[0]
        return [] if isinstance(losses, Mapping) else [each for each in losses if isinstance(each, FlowRegulariser)]

    def _flow_means(self) -> dict[str, float]:
        """Each loss over the batches since the last call, on all processes."""
        means = torch.stack(list(self._flow_sums.values())) / self._flow_batches
        over_processes = cast(Tensor, self.accelerator.reduce(means, "mean"))
        found = dict(zip(self._flow_sums, over_processes.tolist(), strict=True))
        self._flow_sums, self._flow_batches = {}, 0
        return found

    def _flow(self, model: nn.Module) -> FlowLosses:
        """The losses on this model. The hooks stay until training ends: compiled code keeps those it began with."""
        if self._flow_extra is None:
            losses, special_ids, taps, options = self._flow_settings
            hooked = flow_losses(model, losses, special_ids=special_ids, taps=taps, **options)
            self._flow_extra = self._flow_hooks.enter_context(hooked)
        return self._flow_extra

    def _end_flow(self) -> None:
        self._flow_hooks.close()
        self._flow_extra = None
        self._flow_sums, self._flow_batches = {}, 0

    def _batches_to_divide_by(self, num_items_in_batch: Tensor | int | None) -> int:
        """The batches of an optimiser step, or 1 where the trainer itself divides by them, as it does a mean loss."""
        undivided = getattr(self, "loss_is_scaled_for_ga", None)
        if undivided is None:
            by_model = self.model_accepts_loss_kwargs and num_items_in_batch is not None
            undivided = by_model or self.compute_loss_func is not None
        return self.current_gradient_accumulation_steps if undivided else 1


class FlowLossTrainer(FlowLossMixin, Trainer):
    """transformers' Trainer with `flow_losses={"token_diversity": 0.1}`; see FlowLossMixin."""
