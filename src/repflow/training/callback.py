"""FlowCallback: the flow of a model in training, measured by transformers' Trainer at chosen steps."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from transformers.trainer_callback import TrainerCallback

from repflow.core import BadSetting, CallerError, StoreConflict, SubjectFacts, local_path
from repflow.engines import Reader
from repflow.models.wrappers import unwrapped
from repflow.studies.flow.measure import read
from repflow.studies.kit.record import Reading, Record, Tables
from repflow.studies.kit.settings import FlowSettings, MeasureSettings, ModelSettings
from repflow.training.evaluation import Evaluated, NoTokenizer, ReadyTask, evaluation, recorded
from repflow.training.live import check_vocabulary, live_subject
from repflow.training.scalars import scalars
from repflow.training.schedule import Schedule
from repflow.training.series import COMMAND, Series, measure_step
from repflow.training.undisturbed import undisturbed

if TYPE_CHECKING:
    from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments


class FlowCallback(TrainerCallback):
    """Measures a model while `transformers.Trainer` trains it, and writes one run directory with the rows of all steps.

    `Trainer(..., callbacks=[FlowCallback("runs/flow")])` is all it takes. Training is bit-identical with and without
    it. A few numbers (`flow/...`) join the trainer's `log_history`; after `bind(trainer)` its loggers get them too.

    A training resumed from a checkpoint goes on with the same directory: steps up to the checkpoint are kept, later
    ones measured anew, and the tables written when training ends. A measurement that fails does not end the training;
    it warns once, and the run records it.

    Args:
        out: the run directory: new, empty, or of this very training, unfinished.
        task: what the model reads, as in `repflow flow`; or token ids of ready examples, the last
            `measure.calibration` of which calibrate the centred and standardised variants.
        measure: what is measured; without it every metric but the slow ones.
        units: of ready examples, a number each: examples that belong together (windows of one document) share it and
            are resampled together.
        every: measure at 0, every so many optimiser steps, and at the last.
        steps: measure at exactly these steps. Without `every` and `steps`: at 0, 1, 2, 4, 8, ... and at the last.
        label: the subject's name in every row; the directory's name without it.
        tokenizer: what the task is cut by; the Trainer's `processing_class` without it.
        model: `batch_tokens`, `allow_extrapolation`, `blocks` and `final_norm`, as in `repflow flow`.
        keep_replicates: write the bootstrap replicates, which paired intervals need and which are most of the bytes.
        overwrite: a training that begins at step 0 replaces the run that stands in `out`.

    Raises, when training begins and not later, a CallerError for whatever would go wrong at every measurement.
    """

    def __init__(
        self,
        out: str | Path,
        task: Evaluated | None = None,
        measure: MeasureSettings | None = None,
        *,
        units: Sequence[int] | None = None,
        every: int | None = None,
        steps: Sequence[int] | None = None,
        label: str | None = None,
        tokenizer: Any = None,
        model: ModelSettings | None = None,
        keep_replicates: bool = True,
        overwrite: bool = False,
    ) -> None:
        self._out = local_path(out)
        self._label = label or self._out.name
        self._schedule = Schedule.of(every, steps)
        self._evaluated = task, measure, model, units
        self._tokenizer = tokenizer
        self._keep_replicates = keep_replicates
        self._overwrite = overwrite
        self._trainer: Trainer | None = None
        self._watched: _Watched | None = None
        evaluation([self._label], *self._evaluated)

    def bind(self, trainer: "Trainer") -> Self:
        """Send the scalars through `trainer.log`, to TensorBoard, Weights & Biases, MLflow and the progress bar too."""
        self._trainer = trainer
        return self

    def on_train_begin(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: Any
    ) -> None:
        self._watched = None
        if not state.is_world_process_zero:
            return
        if args.fsdp or args.deepspeed:
            raise CallerError("a model sharded over processes cannot be measured in one; use measure_snapshots")
        with undisturbed(kwargs["model"]):
            self._watched = self._begun(state, kwargs["model"], kwargs.get("processing_class"))
        self._visit(state, control)

    def on_step_end(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: Any
    ) -> None:
        del args, kwargs
        self._visit(state, control)

    def on_epoch_end(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: Any
    ) -> None:
        """A training stopped early ends here; at its very end the best checkpoint may have taken the model's place."""
        del args, kwargs
        early = control.should_training_stop and state.global_step < state.max_steps
        if early and self._schedule.takes_last:
            self._visit(state, control, last=True)

    def on_train_end(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: Any
    ) -> None:
        del args, state, control, kwargs
        watched, self._watched = self._watched, None
        if watched is not None:
            try:
                watched.finish()
            except Exception as error:
                warnings.warn(
                    f"the run in {self._out} is not finished: {error}; what is measured stays there", stacklevel=2
                )

    def _begun(self, state: "TrainerState", model: Any, processing_class: Any) -> "_Watched | None":
        """Everything that can be refused is refused here. None where the directory holds this training, finished."""
        settings, work = evaluation([self._label], *self._evaluated)
        planned = self._schedule.until(state.max_steps)
        more = {"every": self._schedule.every, "steps": self._schedule.steps, "replicates_kept": self._keep_replicates}
        kept = recorded(settings, **more)
        series = Series(self._out, kept, COMMAND, settings.measure.seed, self._keep_replicates)
        ready = isinstance(work[0].task, ReadyTask)
        tokenizer = _tokenizer(self._tokenizer, processing_class, ready)
        reader, facts = live_subject(unwrapped(model, "FlowCallback"), tokenizer, self._label, settings)
        record = Record()
        for warning in facts.warnings:
            record.warn(warning)
        readings = [read(assignment, tokenizer, facts, settings, record) for assignment in work]
        used = {i for reading in readings for example in (*reading.examples, *reading.calibration) for i in example.ids}
        check_vocabulary(model, self._label, used)
        overwrite = self._overwrite and state.global_step == 0
        if not series.begin(overwrite=overwrite):
            if state.global_step < state.max_steps:
                raise StoreConflict(
                    f"{self._out} holds this run, finished; choose another out, or overwrite=True to start anew"
                )
            return None
        series.claim(self._label, record.tasks, overwrite=overwrite)
        watched = _Watched(series, reader, facts, readings, settings, planned, record)
        watched.resume(state.global_step)
        return watched

    def _visit(self, state: "TrainerState", control: "TrainerControl", last: bool = False) -> None:
        watched, step = self._watched, state.global_step
        if watched is None or step in watched.done or not (last or step in watched.planned):
            return
        try:
            tables = watched.measure(step)
        except Exception as error:
            watched.lose(step, error)
            return
        self._log(scalars(tables, watched.reader.sites, watched.settings.measure.tokens), state, control)

    def _log(self, found: dict[str, float], state: "TrainerState", control: "TrainerControl") -> None:
        if self._trainer is None:
            state.log_history.append({**found, "epoch": state.epoch, "step": state.global_step})
            return
        # Logging takes back the wish to log, which the training's own loss may have.
        wished = control.should_log
        self._trainer.log(found)
        control.should_log = wished


@dataclass
class _Watched:
    """One training: what is read, and which steps are done."""

    series: Series
    reader: Reader
    facts: SubjectFacts
    readings: Sequence[Reading]
    settings: FlowSettings
    planned: Sequence[int]
    record: Record
    done: set[int] = field(default_factory=set[int])
    warned: bool = False

    def resume(self, now: int) -> None:
        """Take over what was measured up to now. What was measured later belongs to a training that went on from here
        and was lost; it is measured again."""
        behind = [step for step in self.planned if step <= now]
        known = self.series.known(self.facts.label, [step for step in behind if step < now])
        if now in behind and self.series.weights(self.facts.label, now) == self.facts.weights_sha256:
            known.append(now)
        self.done.update(known)
        for step in behind:
            if step not in known and step < now:
                self.series.lose(self.facts.label, step, f"training was resumed at step {now} without it")
                self.done.add(step)

    def measure(self, step: int) -> Tables:
        with undisturbed(self.reader.model):
            tables = measure_step(self.series, self.reader, self.facts, self.readings, self.settings, step)
        self.done.add(step)
        return tables

    def lose(self, step: int, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        self.series.lose(self.facts.label, step, reason)
        self.done.add(step)
        if not self.warned:
            self.warned = True
            warnings.warn(
                f"{self.facts.label} could not be measured at step {step}, training goes on: {reason}", stacklevel=2
            )

    def finish(self) -> None:
        self.series.finish({self.facts.label: sorted(self.done)}, self.record.tasks, self.record.warnings)


def _tokenizer(given: Any, processing_class: Any, ready: bool) -> Any:
    """A processor's own tokenizer stands for the processor."""
    found = given if given is not None else getattr(processing_class, "tokenizer", processing_class)
    if found is None and not ready:
        raise BadSetting("FlowCallback needs tokenizer=, or a Trainer with processing_class=, to cut its task")
    return NoTokenizer() if found is None else found
