"""Finds where a model's sites are read: the blocks the residual stream flows through and the norm after them."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from repflow.core import ModelProblem, Tap, sites_for
from repflow.models.families import FAMILIES
from repflow.models.recording import Call, recorded

NO_NORM = "none"
"""Stands for the final norm of a model that has none: its sites end with the last block."""
BY_HAND = (
    "name them by hand: --blocks MODULE --final-norm MODULE (blocks= and final_norm= in Python); "
    f"the final norm of a model without one is {NO_NORM!r}"
)

Run = Callable[[], object]
"""Runs the model once, without arguments."""


def find_taps(
    model: nn.Module, run: Run | None = None, *, blocks: str | None = None, final_norm: str | None = None
) -> tuple[Tap, ...]:
    """The L+2 taps of a model: `embed` at the input of block 0, each block's output, the final norm's output.

    Modules named by hand are taken as they are; `final_norm="none"` leaves that site out. A registered family is known
    by its `model_type`. Anything else is watched during one `run()`, or, without `run`, judged by structure: the one
    longest module list beside a norm.
    Raises ModelProblem with the candidates when that does not decide it.
    """
    norm_by_hand = None if final_norm is None else _norm_name(model, final_norm)
    if blocks is not None and norm_by_hand is not None:
        return _taps(model, _module_name(model, blocks), norm_by_hand)
    known = FAMILIES.get(getattr(getattr(model, "config", None), "model_type", ""))
    base = base_name(model)
    if known is not None and blocks is None and final_norm is None:
        names = (_joined(base, known.blocks), _joined(base, known.final_norm))
        modules = dict(model.named_modules())
        if all(name in modules for name in names):
            return _taps(model, *names)
    by_hand = None if blocks is None else _module_name(model, blocks)
    look = _by_structure if run is None else partial(_by_running, run=run)
    return _taps(model, *look(model, blocks=by_hand, final_norm=norm_by_hand))


def base_name(model: nn.Module) -> str:
    """The name of a Hugging Face model's trunk inside the model; empty where there is none."""
    base: Any = model
    while isinstance(inner := getattr(base, "base_model", None), nn.Module) and inner is not base:
        base = inner
    return next((name for name, module in model.named_modules() if module is base), "")


def describe_modules(model: nn.Module) -> str:
    """The module lists and norms outside them, one line: what a person can name by hand."""
    lists = [f"{name} ({len(children)} x {_class_of(children)})" for name, children in stacks(model).items()]
    norms = [f"{name} ({type(module).__name__})" for name, module in _outer_norms(model)]
    return f"lists of blocks: {', '.join(lists) or 'none'}; norms: {', '.join(norms) or 'none'}"


def stacks(model: nn.Module) -> dict[str, list[nn.Module]]:
    """Every list of modules that could be the blocks, by name: of two or more, mostly of one class or kin.

    Module lists, and sequentials of composite modules, without those inside another stack's members.
    """
    found: dict[str, list[nn.Module]] = {}
    for name, module in model.named_modules():
        children = list(module.children())
        if isinstance(module, nn.ModuleList):
            fits = len(children) >= 1
        else:
            fits = isinstance(module, nn.Sequential) and _alike(children)
        if fits and not any(name.startswith(f"{outer}.") for outer in found):
            found[name] = children
    return found


def check_contract(model: nn.Module, taps: tuple[Tap, ...], run: Run) -> dict[str, Tensor]:
    """Runs the model and checks that each block reads what the block before it wrote, and the norm the last block.

    Returns the state at each site, by site name. Raises ModelProblem naming the first pair of modules that breaks it.
    """
    names = [tap.module for tap in taps[1:]]
    calls = {call.name: call for call in recorded(model, names, run)}
    for name in names:
        call = calls.get(name)
        if call is not None and call.times > 1:
            raise called_again(name, f"{type(model).__name__} calls it {call.times} times in one pass")
        if call is None or call.given is None or call.made is None:
            raise _broken(model, f"{name} was not called with one [batch, tokens, width] tensor in and out")
        if call.made.shape != call.given.shape:
            raise _broken(model, f"{name} maps {list(call.given.shape)} to {list(call.made.shape)}")
    for before, after in pairwise(names):
        if not same_state(calls[before].made, calls[after].given):
            raise _broken(model, f"the input of {after} is not the output of {before}")
    return {t.site.name: state for t in taps if (state := _state_at(calls[t.module], t)) is not None}


def check_causal(model: nn.Module, last: Tap, states: dict[str, Tensor], run: Run) -> None:
    """Runs the model on the same tokens but the last, and checks that no state before it moved.

    Right padding is only exact on causal models. Raises ModelProblem for a model that looks ahead.
    """
    state, before = recorded(model, [last.module], run)[0].made, states[last.site.name]
    if state is None:
        return
    share = 1e-5 if state.dtype == torch.float32 else 2e-2
    moved = (state - before)[:, :-1].abs().amax().nan_to_num()
    if moved <= share * before.abs().amax().nan_to_num():
        return
    raise ModelProblem(
        f"{type(model).__name__} is not causal: its last token moves the states before it; give a causal model"
    )


def same_state(a: Tensor | None, b: Tensor | None) -> bool:
    """Equal shapes, types and values; NaN equals NaN, so that a model that makes them still loads."""
    if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.allclose(a, b, rtol=0.0, atol=0.0, equal_nan=True)


def _state_at(call: Call, tap: Tap) -> Tensor | None:
    return call.given if tap.where == "input" else call.made


def _broken(model: nn.Module, what: str) -> ModelProblem:
    return ModelProblem(
        f"{type(model).__name__} breaks the site contract: {what}; {describe_modules(model)}; {BY_HAND}"
    )


def called_again(name: str, how: str) -> ModelProblem:
    """The error for a module at a site that one pass calls more than once."""
    return ModelProblem(
        f"{name} gives more than one state in a pass: {how}, as looped and weight-shared models do, and a site is read "
        "once; unroll it into a list of blocks that share their weights, each called once"
    )


def _taps(model: nn.Module, blocks: str, final_norm: str) -> tuple[Tap, ...]:
    names = [_joined(blocks, name) for name, _ in model.get_submodule(blocks).named_children()]
    if not names:
        raise ModelProblem(f"{blocks} holds no blocks; {describe_modules(model)}; {BY_HAND}")
    embed, *rest, last = sites_for(len(names))
    outputs = (Tap(site, name) for site, name in zip(rest, names, strict=True))
    norm = () if final_norm == NO_NORM else (Tap(last, final_norm),)
    return (Tap(embed, names[0], "input"), *outputs, *norm)


def _module_name(model: nn.Module, given: str) -> str:
    """A name given by hand, relative to the model or to its trunk."""
    modules = dict(model.named_modules())
    for name in (given, _joined(base_name(model), given)):
        if name in modules:
            return name
    raise ModelProblem(f"{type(model).__name__} has no module {given!r}; {describe_modules(model)}")


def _norm_name(model: nn.Module, given: str) -> str:
    return NO_NORM if given == NO_NORM else _module_name(model, given)


def _by_structure(model: nn.Module, blocks: str | None, final_norm: str | None) -> tuple[str, str]:
    candidates = {blocks: list(model.get_submodule(blocks).children())} if blocks else stacks(model)
    longest = max((len(children) for children in candidates.values()), default=0)
    lists = [name for name, children in candidates.items() if len(children) == longest]
    if len(lists) == 1 and final_norm is not None:
        return lists[0], final_norm
    if len(lists) == 1:
        parent = lists[0].rpartition(".")[0]
        siblings = [name for name, _ in model.get_submodule(parent).named_children()]
        place = siblings.index(lists[0].rpartition(".")[2])
        beside = [name for name, _ in _outer_norms(model) if name.rpartition(".")[0] == parent]
        after = [name for name in beside if siblings.index(name.rpartition(".")[2]) > place]
        norms = after or beside
        if len(norms) == 1:
            return lists[0], norms[0]
    raise ModelProblem(f"cannot tell the blocks of {type(model).__name__}: {describe_modules(model)}; {BY_HAND}")


def _by_running(model: nn.Module, blocks: str | None, final_norm: str | None, run: Run) -> tuple[str, str]:
    """The longest list whose members hand the stream on unchanged, and the norm that first reads its output."""
    lists = {blocks: list(model.get_submodule(blocks).children())} if blocks else stacks(model)
    members = {name: [_joined(name, n) for n, _ in model.get_submodule(name).named_children()] for name in lists}
    norms = [name for name, _ in _outer_norms(model)]
    calls = recorded(model, [n for names in members.values() for n in names] + norms, run)
    by_name = {call.name: call for call in calls}
    chains = {name: names for name, names in members.items() if _is_chain([by_name.get(n) for n in names])}
    longest = max((len(names) for names in chains.values()), default=0)
    best = [name for name, names in chains.items() if len(names) == longest]
    if len(best) == 1:
        last = by_name[members[best[0]][-1]]
        after = calls[calls.index(last) + 1 :]
        readers = [c.name for c in after if c.name in norms and same_state(c.given, last.made)]
        if final_norm or readers:
            return best[0], final_norm or readers[0]
    again = next((call for call in calls if call.times > 1 and call.name not in norms), None)
    if again is not None:
        raise called_again(again.name, f"{type(model).__name__} calls it {again.times} times in one pass")
    raise ModelProblem(f"cannot tell the blocks of {type(model).__name__}: {describe_modules(model)}; {BY_HAND}")


def _is_chain(calls: list[Call | None]) -> bool:
    ran = [call for call in calls if call is not None]
    if len(ran) != len(calls) or any(c.given is None or c.made is None or c.given.shape != c.made.shape for c in ran):
        return False
    return all(same_state(a.made, b.given) for a, b in pairwise(ran))


def _alike(children: list[nn.Module]) -> bool:
    classes = [type(child) for child in children]
    composite = all(any(True for _ in child.children()) for child in children)
    return len(children) >= 2 and composite and max(classes.count(c) for c in classes) * 2 > len(classes)


def _outer_norms(model: nn.Module) -> list[tuple[str, nn.Module]]:
    inside = tuple(f"{name}." for name in stacks(model))
    return [(n, m) for n, m in model.named_modules() if is_norm(m) and not n.startswith(inside)]


def is_norm(module: nn.Module) -> bool:
    """A normalisation layer, judged by its class name."""
    name = type(module).__name__.lower()
    return "norm" in name and not any(True for _ in module.children())


def _class_of(children: list[Any]) -> str:
    names = sorted({type(child).__name__ for child in children})
    return "/".join(names)


def _joined(*parts: str) -> str:
    return ".".join(part for part in parts if part)
