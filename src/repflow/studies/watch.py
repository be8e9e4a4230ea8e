"""watch: measure a model while somebody else's loop runs it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from repflow.capture import tapped
from repflow.core import BadSetting, ModelProblem, NotEnoughData, Origin, Site, Tap
from repflow.metrics import DEFAULT, Batch, Options, Rooms, Session, measurable, merge, named
from repflow.models import find_taps
from repflow.studies._rows import Tables, tables_of

if TYPE_CHECKING:
    import pandas as pd


WATCHED = tuple(name for name in DEFAULT if name != "example_cka")
"""Without example_cka, whose state grows with every example: a training loop has no end."""


class Watch:
    """What a watched model showed so far. Frames are as in a run; read them inside or after the `with` block."""

    def __init__(self, taps: Sequence[Tap], metrics: Sequence[str], options: Options, special_ids: Sequence[int]):
        self.sites: tuple[Site, ...] = tuple(tap.site for tap in taps)
        self.options = options
        self._metrics = named(measurable(metrics))
        self._special = torch.tensor(list(special_ids), dtype=torch.int64)
        self._states: dict[str, Any] | None = None
        self._session: Session | None = None
        self._rooms = Rooms()
        self._next_id = 0
        self._running = False
        self._reached = 0
        self._pending: tuple[Tensor | None, Tensor | None] = (None, None)

    @property
    def layers(self) -> "pd.DataFrame":
        """One number a row, by site."""
        return _frame(self._tables.layers)

    @property
    def pairs(self) -> "pd.DataFrame":
        """One number a row, by two sites."""
        return _frame(self._tables.pairs)

    @property
    def paths(self) -> "pd.DataFrame":
        """One number a row, for the whole path through depth."""
        return _frame(self._tables.paths)

    @property
    def n_examples(self) -> int:
        """Examples measured so far."""
        return 0 if self._states is None else self._states["counts"].examples

    @property
    def stopped(self) -> tuple[tuple[int, str], ...]:
        """(running number, first site) of the examples left out because a state was not finite."""
        found = () if self._states is None else self._states["counts"].stopped
        return tuple((example, self.sites[site].name) for example, site in found)

    @property
    def _tables(self) -> Tables:
        if self._states is None:
            raise NotEnoughData(
                "nothing was measured: inside the `with` block, call the very module that watch was given"
            )
        origin = Origin("model", "", "", "watch", 0)
        return tables_of(origin, self.sites, self._metrics, self._states, self.options)

    def _announce(self, ids: Tensor | None, mask: Tensor | None) -> None:
        """A forward pass begins, on these tokens."""
        self._pending = (ids, mask)
        self._session = None
        self._running = True
        self._reached = 0

    def _see(self, site: Site, states: Tensor) -> None:
        # A checkpointed block runs again in the backward pass, when no pass of the model is under way.
        if not self._running:
            return
        if self._session is None:
            self._session = Session(self._metrics, self._batch(states), rooms=self._rooms)
        due = self.sites[self._reached].name if self._reached < len(self.sites) else "none"
        if site.name != due:
            raise ModelProblem(
                f"the forward pass reached the site {site.name} where {due} was due; name sites in the order in which "
                "the pass reaches them, and modules it calls once"
            )
        self._reached += 1
        self._session.see(site, states)

    def _close(self) -> None:
        """A forward pass has ended; a cached decoding step counts like any other."""
        self._running = False
        if self._reached != len(self.sites):
            missed = ", ".join(site.name for site in self.sites[self._reached :])
            raise ModelProblem(f"the forward pass went by without reaching the site {missed}; name sites it reaches")
        if self._session is None:
            return
        found = self._session.finish()
        self._states = found if self._states is None else merge(self._states, found)
        self._session = None

    def _batch(self, states: Tensor) -> Batch:
        ids, mask = self._pending
        n, t = states.shape[:2]
        real = torch.ones(n, t, dtype=torch.bool) if mask is None else _last(mask, n, t, "attention_mask") != 0
        special = torch.zeros(n, t, dtype=torch.bool)
        if ids is not None:
            special = torch.isin(_last(ids, n, t, "input_ids"), self._special) & real
        first, self._next_id = self._next_id, self._next_id + n
        device = states.device
        return Batch(tuple(range(first, first + n)), real.to(device), special.to(device), self.sites, self.options)


@contextmanager
def watch(
    model: nn.Module,
    *,
    metrics: Sequence[str] = WATCHED,
    sites: Sequence[Tap] | None = None,
    tokens: Sequence[str] = ("all", "no_sink"),
    special_ids: Sequence[int] = (),
    replicates: int = 200,
    seed: int = 0,
    run: Callable[[], object] | None = None,
) -> Iterator[Watch]:
    """Measure every forward pass of `model` inside the block; each row of a batch counts as one example.

    Args:
        model: a model of a family repflow knows, or any module together with `sites` or `run`.
        metrics: names as in `repflow doctor`; `centred` and `standardised` variants need calibration, left out here.
        sites: taps named by hand, in the order the forward pass reaches them.
        tokens: token policies. Padding is read from `attention_mask`; without one every token counts.
        special_ids: token ids that `no_special` and `no_sink` leave out.
        replicates, seed: of the bootstrap behind the intervals.
        run: calls the model once, so that an unknown model's blocks can be found.

    The model's outputs and gradients are untouched, and its hooks are gone after the block.
    Raises ModelProblem when the sites cannot be found, UnknownName for a metric or policy.
    """
    taps = tuple(sites) if sites is not None else find_taps(model, run)
    if not taps:
        raise BadSetting("watch needs at least one site")
    options = Options(policies=tuple(tokens), replicates=replicates, seed=seed)
    watching = Watch(taps, tuple(metrics), options, special_ids)
    begun = model.register_forward_pre_hook(_announcer(watching), with_kwargs=True)
    try:
        with tapped(model, taps, _without_gradients(watching._see)):
            # After the taps' hooks, so that the model's own output can be a site.
            ended = model.register_forward_hook(lambda *_: watching._close())
            try:
                yield watching
            finally:
                ended.remove()
    finally:
        begun.remove()


def _announcer(watching: Watch) -> Callable[..., None]:
    def announce(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        whole = isinstance(ids, Tensor) and not ids.is_floating_point() and ids.dim() == 2
        watching._announce(ids if whole else None, kwargs.get("attention_mask"))

    return announce


def _last(given: Tensor, n: int, t: int, name: str) -> Tensor:
    """The entries [n, t] of the tokens in this pass; a mask also covers those in the cache before them."""
    if given.dim() != 2 or given.shape[0] != n or given.shape[1] < t:
        raise BadSetting(
            f"watch reads {name} of shape [{n}, {t}] or longer, as the states are, got {list(given.shape)}"
        )
    return given[:, given.shape[1] - t :].cpu()


def _without_gradients(sink: Callable[[Site, Tensor], None]) -> Callable[[Site, Tensor], None]:
    def see(site: Site, states: Tensor) -> None:
        with torch.no_grad():
            sink(site, states)

    return see


def _frame(rows: Sequence[Any]) -> "pd.DataFrame":
    from dataclasses import asdict

    import pandas as pd

    frame = pd.DataFrame([asdict(row) for row in rows])
    return frame.astype({"step": "Int64"}) if len(frame) else frame
