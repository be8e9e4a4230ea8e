"""Training one cell: a plain loop, on a GPU replayed as CUDA graphs."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from repflow.capture import tapped
from repflow.core import Site
from repflow.models import find_taps
from repflow.models.compiled import compiled_scans
from repflow.models.kernels import parallel_scan
from repflow.studies.lab.cells import Cell, Loss
from repflow.training.captured import Captured, Inputs
from repflow.training.errors import Diverged
from repflow.training.losses import ContrastiveTokens, FlowRegulariser, TokenDiversity, VGlob, VLoc
from repflow.training.losses.term import Term
from repflow.training.zoo.curriculum import Span, rate
from repflow.training.zoo.trainer import every_token

LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.1
CLIP = 1.0
_CHECKED = 25
"""Steps between two looks at whether the loss is finite: on a GPU a look waits for it."""
_FIXED: Mapping[str, Callable[[float, str | None], Term]] = {
    "inter_token_cosine": lambda weight, sites: TokenDiversity(weight, margin=-1.0, sites=sites),
    "contrastive_tokens": lambda weight, sites: ContrastiveTokens(weight, sites=sites),
    "v_loc": lambda weight, sites: VLoc(weight, sites=sites),
    "v_glob": lambda weight, sites: VGlob(weight, sites=sites),
}


def term_of(loss: Loss) -> Term | None:
    """The loss that a cell adds."""
    if loss.kind == "none":
        return None
    if loss.target is None:
        return _FIXED[loss.of](float(loss.weight), loss.sites)
    return FlowRegulariser(loss.target, of=loss.of, sites=loss.sites, most=float(loss.weight))  # pyright: ignore[reportArgumentType]


@dataclass
class Course:
    """What a training told of itself."""

    losses: list[tuple[int, float, float]] = field(default_factory=list[tuple[int, float, float]])
    """Step, loss of next tokens, weight of the added loss."""
    tokens: int = 0


def learn(
    model: Any,
    cell: Cell,
    batches: Any,
    plan: Sequence[Span],
    visit: Callable[[int], None],
    visited: frozenset[int],
) -> Course:
    """Train in place; `visit` is called after these numbers of steps, in evaluation mode.

    Raises Diverged at a loss that is not finite.
    """
    device = next(model.parameters()).device
    learnt = [p for p in model.parameters() if p.requires_grad]
    height = torch.tensor(LEARNING_RATE, device=device) if device.type == "cuda" else LEARNING_RATE
    groups = [
        {"params": [p for p in learnt if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in learnt if p.ndim <= 1], "weight_decay": 0.0},
    ]
    cuda = device.type == "cuda"
    optimiser = torch.optim.AdamW(groups, lr=height, betas=(0.9, 0.98), fused=cuda, capturable=cuda)
    added = _Added(model, term_of(cell.loss))
    course = Course()

    def step(given: Inputs) -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        loss, _, _ = every_token(model, given)
        (loss + added.loss()).backward()
        torch.nn.utils.clip_grad_norm_(learnt, CLIP, foreach=True)
        optimiser.step()
        return loss.detach()

    run = Captured(step) if cuda else step
    with ExitStack() as stack:
        stack.enter_context(parallel_scan(model))
        stack.enter_context(compiled_scans(model))
        stack.enter_context(added.watching())
        for number in range(len(batches) + 1):
            if number in visited:
                model.eval()
                with added.paused():
                    visit(number)
            if number == len(batches):
                break
            model.train()
            _set_rate(optimiser, cell.architecture.rate * LEARNING_RATE * rate(plan, number))
            given = {name: tensor.to(device, non_blocking=True) for name, tensor in batches[number].items()}
            loss = run(given)
            course.tokens += given["input_ids"].numel()
            if number % _CHECKED == 0 or number == len(batches) - 1:
                value = float(loss)
                if value != value or value in (float("inf"), float("-inf")):
                    raise Diverged(number + 1)
                course.losses.append((number + 1, value, added.weight))
    return course


def _set_rate(optimiser: torch.optim.Optimizer, value: float) -> None:
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value


class _Added:
    """The added loss of each pass, from the states at its sites; every token of a row counts."""

    def __init__(self, model: Any, term: Term | None) -> None:
        self._model, self._term = model, term
        self._states: dict[Site, Tensor] = {}
        self._live = True
        taps = find_taps(model) if term is not None else ()
        self._groups = term.groups([tap.site for tap in taps]) if term is not None else ()
        read = {site for group in self._groups for site in group}
        self._taps = [tap for tap in taps if tap.site in read]

    @property
    def weight(self) -> float:
        return float(self._term.weight) if self._term is not None else 0.0

    def watching(self) -> Any:
        return tapped(self._model, self._taps, self._see)

    def paused(self) -> Any:
        stack = ExitStack()
        self._live = False
        stack.callback(self._resume)
        return stack

    def _resume(self) -> None:
        self._live = True

    def _see(self, site: Site, states: Tensor) -> None:
        if self._live:
            self._states[site] = states

    def loss(self) -> Tensor | float:
        if self._term is None:
            return 0.0
        counted = torch.ones_like(next(iter(self._states.values()))[..., 0], dtype=torch.bool)
        values = [self._term.value([self._states[site] for site in group], counted) for group in self._groups]
        value = torch.stack(values).mean()
        self._states.clear()
        total = self._term.weight * value
        if isinstance(self._term, FlowRegulariser):
            self._term.seen(value)
        return total
