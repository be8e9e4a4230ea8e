"""watch: measure a model while somebody else's loop runs it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from repflow.capture import Handover, followed, reading_of, uncompiled
from repflow.core import (
    BadSetting,
    LayerRow,
    NotEnoughData,
    Origin,
    PairRow,
    PathRow,
    Site,
    Tap,
    least_replicates,
    values_of,
)
from repflow.metrics import DEFAULT, Options, measurable, named
from repflow.models import find_taps
from repflow.models.facts import family_of
from repflow.models.wrappers import unwrapped
from repflow.studies.flow.estimate import tables_of
from repflow.studies.flow.watched import Measuring
from repflow.studies.kit.record import Tables

if TYPE_CHECKING:
    import pandas as pd

    from repflow.report.run import Run


WATCHED = tuple(name for name in DEFAULT if name != "example_cka")
"""Without example_cka, whose state grows with every example: a training loop has no end."""


class Watch:
    """What a watched model showed so far. Frames are as in a run; read them inside or after the `with` block."""

    def __init__(self, measuring: Measuring, label: str) -> None:
        self._measuring = measuring
        self._label = label

    def __repr__(self) -> str:
        """Sites, examples, steps and warnings in a line."""
        steps = [step for step, _ in self._measured if step is not None]
        told = [_told(len(self.sites), "site"), _told(self.n_examples, "example")]
        if steps:
            told.append(f"step {steps[0]}" if len(steps) == 1 else f"steps {min(steps)} to {max(steps)}")
        if self.warnings:
            told.append(_told(len(self.warnings), "warning"))
        return f"Watch({', '.join(told)})"

    def step(self, n: int) -> None:
        """What follows belongs to optimiser step `n`, the column `step` of its rows.

        Without it all passes are put together, which is an error once the weights change between them.
        Raises BadSetting for anything but a whole number of 0 or more.
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise BadSetting(f"flow.step takes the number of a step, 0 or more, got {n!r}")
        self._measuring.now = n

    def units(self, of: Sequence[int]) -> None:
        """The rows of the next pass are of these units, documents say, which are resampled whole; one number a row.

        Without it each row is a unit of its own: intervals of windows of one text are then too narrow.
        Raises BadSetting for anything but whole numbers; the pass raises it where there are more rows or fewer.
        """
        if isinstance(of, str) or not all(isinstance(unit, int) and not isinstance(unit, bool) for unit in of):
            raise BadSetting(f"flow.units takes a whole number for each row of the next pass, got {of!r}")
        self._measuring.units = tuple(of)

    def run(self, out: str | Path | None = None, *, overwrite: bool = False) -> "Run":
        """Write what was seen so far into a run directory and open it: `.write_report()`, `.plot`, `.findings`.

        `out` is a new directory; without it one under runs/, named for the time, as of every other run. It does not
        change any more: call `run` again for what is seen later, with `overwrite` into the same place.
        Raises NotEnoughData where nothing was measured, StoreConflict for a directory that holds something.
        """
        from repflow.training.watch_run import write_run

        return write_run(self._measuring, self._label, self._tables, self.warnings, out, overwrite)

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites, in order."""
        return self._measuring.sites

    @property
    def layers(self) -> "pd.DataFrame":
        """One number a row, by site."""
        return _frame(self._tables.layers, LayerRow)

    @property
    def pairs(self) -> "pd.DataFrame":
        """One number a row, by two sites."""
        return _frame(self._tables.pairs, PairRow)

    @property
    def paths(self) -> "pd.DataFrame":
        """One number a row, for the whole path through depth."""
        return _frame(self._tables.paths, PathRow)

    @property
    def n_examples(self) -> int:
        """Examples measured so far, over all steps."""
        return sum(states["counts"].examples for _, states in self._measured)

    @property
    def stopped(self) -> tuple[tuple[int, str], ...]:
        """(number within its step, first site) of the examples left out because a state was not finite."""
        found = [entry for _, states in self._measured for entry in states["counts"].stopped]
        return tuple((example, self.sites[site].name) for example, site in found)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What could not be told or was left out, and where units are too few: read it before the numbers."""
        return (*self._measuring.warnings, *self._few)

    @property
    def _few(self) -> Iterator[str]:
        """Where units are too few for an interval or for a good one; said once of all steps alike in it."""
        steps: dict[str, list[int | None]] = {}
        for step, _ in self._measured:
            told: list[str] = []
            self._measuring.steps[step].units.warn(told.append, "")
            for text in told:
                steps.setdefault(text, []).append(step)
        for text, (first, *others) in steps.items():
            where = "watch" if first is None else f"step {first}"
            yield f"{where}{f' and {len(others)} more' if others else ''}{text}"

    @property
    def _measured(self) -> list[tuple[int | None, dict[str, Any]]]:
        steps = self._measuring.steps.items()
        return [(step, found.states) for step, found in steps if found.states is not None]

    @property
    def _tables(self) -> Tables:
        if not self._measured:
            why = "".join(f"; {text}" for text in self.warnings)
            raise NotEnoughData(
                f"nothing was measured: inside the `with` block, call the very module that watch was given{why}"
            )
        tables, watched = Tables(), self._measuring
        family = family_of(watched.model)
        for step, states in self._measured:
            origin = Origin(self._label, family, "", "watch", watched.longest, step)
            units = watched.steps[step].units
            tables.extend(tables_of(origin, self.sites, watched.metrics, states, watched.options, units))
        return tables


@contextmanager
def watch(
    model: nn.Module,
    *,
    metrics: Sequence[str] = WATCHED,
    sites: Sequence[Tap] | None = None,
    blocks: str | None = None,
    final_norm: str | None = None,
    tokens: Sequence[str] = ("all", "no_sink"),
    special_ids: Sequence[int] = (),
    mask: str | None = "attention_mask",
    replicates: int = 200,
    seed: int = 0,
    run: Callable[[], object] | None = None,
    label: str = "model",
) -> Iterator[Watch]:
    """Measure every forward pass of `model` inside the block; each row of a batch counts as one example.

    Args:
        model: a model of a family repflow knows, or any module together with `sites`, `blocks` or `run`; as it is,
            with adapters (peft), or wrapped by DistributedDataParallel, torch.compile or functools.partial.
        metrics: names as in `repflow doctor`; `centred` and `standardised` variants need calibration, left out here.
        sites: taps named by hand, in the order the forward pass reaches them.
        blocks, final_norm: the module that lists the blocks and the final norm, by name, where repflow cannot find
            them; `final_norm="none"` for a model without one.
        tokens: token policies.
        special_ids: token ids that `no_special` and `no_sink` leave out.
        mask: the input that is 1 at tokens and 0 at padding; None: every token counts.
        replicates, seed: of the bootstrap behind the intervals.
        run: calls the model once, so that an unknown model's blocks can be found.
        label: the subject's name in the rows.

    Inputs are read by the model's own signature, positional or by name. Padding does not count: it is what the mask
    says (2-d, or a causal 4-d one); without a mask, runs of a padding id that stands for nothing else. Virtual tokens
    of prompt tuning do not count. A row in which several sequences are packed (positions that start again at 0, a mask
    that separates them) counts as that many examples. What cannot be told is an error, or stands in `warnings`.

    A pass that goes on with the cache of an earlier one, as generation does, is not measured. `flow.step(n)` keeps the
    steps of a training apart; weights that change without it are an error. One thread: the one that enters the block.
    Compiled models run uncompiled inside. The model's outputs and gradients are untouched, and its hooks are gone after
    the block. Errors about a pass are raised in that pass.
    Raises ModelProblem when the sites cannot be found, UnknownName for a metric or policy, BadSetting for the rest.
    """
    inner = unwrapped(model, "watch")
    if sites is not None and (blocks is not None or final_norm is not None):
        raise BadSetting("sites= names every site; leave blocks= and final_norm= out")
    taps = tuple(sites) if sites is not None else find_taps(inner, run, blocks=blocks, final_norm=final_norm)
    if not taps:
        raise BadSetting("watch needs at least one site")
    if replicates < least_replicates():
        raise BadSetting(f"replicates must be at least {least_replicates()}, got {replicates}")
    options = Options(policies=tuple(tokens), replicates=replicates, seed=seed)
    chosen = named(measurable(tuple(metrics)))
    handover = None if sites is not None else Handover(inner, taps)
    reading = reading_of(inner, "watch", mask)
    measuring = Measuring(inner, taps, chosen, options, special_ids, reading, handover)
    with ExitStack() as block:
        block.enter_context(uncompiled())
        block.enter_context(followed(inner, taps, measuring, "watch"))
        if handover is not None:
            block.enter_context(handover.watching())
        yield Watch(measuring, label)


def _told(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _frame(rows: Sequence[Any], kind: type[Any]) -> "pd.DataFrame":
    from dataclasses import fields

    import pandas as pd

    frame = pd.DataFrame(values_of(rows, kind), columns=[entry.name for entry in fields(kind)])
    return frame.astype({"step": "Int64"})
