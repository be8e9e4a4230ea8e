"""What a watched model shows, pass by pass."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from repflow.capture import Given, Handover, Order, Reading, tokens_of
from repflow.capture.continued import Continued
from repflow.core import BadSetting, Site, Tap
from repflow.metrics import Batch, Counts, Metric, Options, Rooms, Session, merge
from repflow.models.embeddings import embedding_of
from repflow.studies.flow.weights import Weights
from repflow.studies.kit.units import Units


@dataclass
class Step:
    """What the passes of one step gave."""

    states: dict[str, Any] | None = None
    examples: int = 0
    """Rows measured, which number them."""
    weights: Weights | None = None
    of: dict[int, int] = field(default_factory=dict[int, int])
    """Unit by example id, where units are given."""
    modes: set[bool] = field(default_factory=set[bool])
    """Whether the model was in training mode."""

    @property
    def units(self) -> Units:
        """The resampling units of the examples that count."""
        assert self.states is not None, "nothing was measured"
        counts: Counts = self.states["counts"]
        if not self.of:
            return Units(counts.examples, counts.examples, float(counts.examples))
        stopped = {example for example, _ in counts.stopped}
        of = {example: unit for example, unit in self.of.items() if example not in stopped}
        return Units.of_sizes(Counter(of.values()).values(), of)


class Measuring:
    """Listens to the passes of a model and measures each."""

    def __init__(
        self,
        model: nn.Module,
        taps: Sequence[Tap],
        metrics: Sequence[Metric],
        options: Options,
        special_ids: Sequence[int],
        reading: Reading,
        handover: Handover | None,
    ) -> None:
        self.model = model
        self.taps = tuple(taps)
        self.sites: tuple[Site, ...] = tuple(tap.site for tap in taps)
        self.metrics = metrics
        self.options = options
        self.steps: dict[int | None, Step] = {}
        self.now: int | None = None
        self.units: tuple[int, ...] | None = None
        """Of the rows of the next pass."""
        self.width = 0
        """Of the states of the first site."""
        self.longest = 0
        """Tokens of the longest example, over all steps."""
        self.warnings: dict[str, None] = {}
        self._special = tuple(special_ids)
        self._reading = reading
        self._handover = handover
        self._order = Order(taps)
        self._continued = Continued()
        self._rooms = Rooms()
        self._session: Session | None = None
        self._left_out = False

    @property
    def last(self) -> Step:
        """The last step at which something was measured."""
        measured = {step: found for step, found in self.steps.items() if found.states is not None}
        return measured[max(measured, key=lambda step: -1 if step is None else step)]

    def begin(self) -> None:
        """A pass begins. Raises BadSetting where it would mix the states of two models."""
        self._session, self._left_out = None, False
        self._order.begin()
        if self._handover is not None:
            self._handover.begin()
        step = self.steps.setdefault(self.now, Step())
        weights = Weights(self.model)
        if step.weights is None or step.states is None:
            step.weights = weights
        elif not step.weights.same(weights):
            raise BadSetting(
                "the model's weights changed between two passes, and rows of both would be one number; call "
                "flow.step(n) after every optimiser step, so that each has rows of its own; "
                "transformers' Trainer takes a FlowCallback"
            )
        step.modes.add(self.model.training)
        if len(step.modes) > 1:
            self.warn("passes in training and in evaluation mode are put together; flow.step(n) keeps them apart")

    def see(self, site: Site, states: Tensor, called: Sequence[Given]) -> None:
        """A site of the pass. Without gradients, and never in inference mode: what is kept serves later passes, too."""
        with torch.inference_mode(False), torch.no_grad():
            self._order.take(site)
            if self._session is None and not self._left_out:
                self._start(states, called)
            if self._handover is not None:
                self._handover.wrote(states)
            if self._session is not None:
                self._session.see(site, self._tokens.laid(states))

    def end(self, output: Any) -> None:
        """The pass is over. Raises ModelProblem where it left out a site."""
        self._order.end()
        self._continued.made(output)
        if self._handover is not None:
            self._handover.end()
            if self._handover.broken:
                self.warn(self._handover.broken)
        session, self._session = self._session, None
        if session is None:
            return
        step = self.steps[self.now]
        with torch.inference_mode(False), torch.no_grad():
            found = session.finish()
            step.states = found if step.states is None else merge(step.states, found)
        batch = session.batch
        step.examples += len(batch.example_ids)
        if batch.units is not None:
            step.of.update(zip(batch.example_ids, batch.units, strict=True))

    def drop(self) -> None:
        """An error ended the pass."""
        self._session, self._left_out = None, True
        self._order.begin()

    def stray(self, site: Site) -> None:
        """A site was reached outside any pass."""
        self.warn(f"{site.name} was reached outside a call of {type(self.model).__name__}, and not measured there")

    def warn(self, text: str) -> None:
        """Keep a warning, once."""
        self.warnings[text] = None

    def _start(self, states: Tensor, called: Sequence[Given]) -> None:
        given, self.units = self.units, None
        n, t = states.shape[:2]
        self.width = states.shape[-1]
        if not n or not t:
            self._left_out = True
            return
        tokens = tokens_of(called, n, t, self._reading, embedding_of(self.model))
        if self._continued.goes_on(called, tokens.ids if tokens.place is None else None):
            self._left_out = True
            self.warn(
                "passes that go on where an earlier one ended, as generation does token by token, were not measured; "
                "call the model on the whole text for its states"
            )
            return
        for doubt in tokens.doubts:
            self.warn(doubt)
        self._tokens = tokens = tokens.without_empty()
        if not len(tokens.real):
            self._left_out = True
            return
        self.longest = max(self.longest, int(tokens.real.sum(1).max()))
        step, device = self.steps[self.now], states.device
        ids = tuple(range(step.examples, step.examples + len(tokens.real)))
        special = tokens.special(self._special, "watch")
        units = self._units(step, given, len(ids))
        batch = Batch(ids, tokens.real.to(device), special.to(device), self.sites, self.options, units)
        self._session = Session(self.metrics, batch, rooms=self._rooms)

    def _units(self, step: Step, units: tuple[int, ...] | None, examples: int) -> tuple[int, ...] | None:
        """The units given for a pass. Raises BadSetting where they do not fit it."""
        if units is not None and len(units) != examples:
            raise BadSetting(
                f"flow.units was given {len(units)} units, the pass has {examples} examples; give one each"
            )
        if step.examples and (units is None) != (not step.of):
            raise BadSetting("some passes of a step were given units and others not; call flow.units before each pass")
        return units
