"""Finds where a model's sites are read: the blocks the residual stream flows through and the norm after them."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from repflow.core import ModelProblem, Tap, sites_for
from repflow.models.families import FAMILIES
from repflow.models.recording import Call, recorded

NO_NORM = "none"
"""Stands for the final norm of a model that has none: its sites end with the last block."""
NORM_BY_HAND = (
    "name it by hand: --final-norm MODULE (final_norm= in Python); "
    f"the final norm of a model without one is {NO_NORM!r}, which leaves that site out"
)
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

    Modules named by hand are taken as they are; `none` for a final norm leaves its site out. A registered family is
    known by its `model_type`. Anything else is watched during one `run()`, or, without `run`, judged by structure: the
    one longest module list beside a norm. Raises ModelProblem with the candidates when that does not decide it.
    """
    stack = None if blocks is None else _module_name(model, blocks)
    norm = final_norm if final_norm in (None, NO_NORM) else _module_name(model, final_norm)
    if stack is None and (known := _registered(model)) is not None:
        return _taps(model, known[0], norm or known[1])
    if stack is None or norm is None:
        stack, norm = _by_structure(model, stack, norm) if run is None else _by_running(model, run, stack, norm)
    return _taps(model, stack, norm)


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
        normed = name == _norm_of(taps)
        if call is not None and call.times > 1:
            raise called_again(name, f"{type(model).__name__} calls it {call.times} times in one pass", normed)
        if call is None or call.given is None or call.made is None:
            raise _broken(model, f"{name} was not called with one [batch, tokens, width] tensor in and out", normed)
        if call.made.shape != call.given.shape:
            raise _broken(model, f"{name} maps {list(call.given.shape)} to {list(call.made.shape)}", normed)
    for before, after in pairwise(names):
        if not same_state(calls[before].made, calls[after].given):
            raise _broken(model, f"the input of {after} is not the output of {before}", after == _norm_of(taps))
    return {t.site.name: state for t in taps if (state := _state_at(calls[t.module], t)) is not None}


def same_state(a: Tensor | None, b: Tensor | None) -> bool:
    """Equal shapes, types and values; NaN equals NaN, so that a model that makes them still loads."""
    if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.allclose(a, b, rtol=0.0, atol=0.0, equal_nan=True)


def _state_at(call: Call, tap: Tap) -> Tensor | None:
    return call.given if tap.where == "input" else call.made


def called_again(name: str, how: str, normed: bool = False) -> ModelProblem:
    """The error for a module at a site that one pass calls more than once."""
    advice = NORM_BY_HAND if normed else "unroll it into a list of blocks that share their weights, each called once"
    return ModelProblem(
        f"{name} gives more than one state in a pass: {how}, as looped and weight-shared models do, and a site is read "
        f"once; {advice}"
    )


def _norm_of(taps: tuple[Tap, ...]) -> str:
    return taps[-1].module if taps[-1].site.is_final_norm else ""


def _broken(model: nn.Module, what: str, normed: bool) -> ModelProblem:
    advice = NORM_BY_HAND if normed else "repflow reads models whose blocks hand on one state"
    return ModelProblem(f"{type(model).__name__} breaks the site contract: {what}; {describe_modules(model)}; {advice}")


def _registered(model: nn.Module) -> tuple[str, str] | None:
    """The blocks and the final norm of a family that repflow knows, where they are in the model."""
    known = FAMILIES.get(getattr(getattr(model, "config", None), "model_type", ""))
    if known is None:
        return None
    base, modules = base_name(model), dict(model.named_modules())
    names = (_joined(base, known.blocks), _joined(base, known.final_norm))
    return names if all(name in modules for name in names) else None


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


def _by_structure(model: nn.Module, blocks: str | None, norm: str | None) -> tuple[str, str]:
    candidates = {blocks: list(model.get_submodule(blocks).children())} if blocks else stacks(model)
    longest = max((len(children) for children in candidates.values()), default=0)
    lists = [name for name, children in candidates.items() if len(children) == longest]
    if len(lists) == 1:
        parent = lists[0].rpartition(".")[0]
        siblings = [name for name, _ in model.get_submodule(parent).named_children()]
        place = siblings.index(lists[0].rpartition(".")[2])
        beside = [name for name, _ in _outer_norms(model) if name.rpartition(".")[0] == parent]
        after = [name for name in beside if siblings.index(name.rpartition(".")[2]) > place]
        norms = [norm] if norm else after or beside
        if len(norms) == 1:
            return lists[0], norms[0]
    raise ModelProblem(f"cannot tell the blocks of {type(model).__name__}: {describe_modules(model)}; {BY_HAND}")


def _by_running(model: nn.Module, run: Run, blocks: str | None, norm: str | None) -> tuple[str, str]:
    """The longest list whose members hand the stream on unchanged, and the norm that first reads its output."""
    lists = {blocks: list(model.get_submodule(blocks).children())} if blocks else stacks(model)
    members = {name: [_joined(name, n) for n, _ in model.get_submodule(name).named_children()] for name in lists}
    norms = [name for name, _ in _outer_norms(model)]
    calls = recorded(model, [n for names in members.values() for n in names] + norms, run)
    by_name = {call.name: call for call in calls}
    chains = {name: names for name, names in members.items() if _is_chain([by_name.get(n) for n in names])}
    longest = max((len(names) for names in chains.values()), default=0)
    best = [name for name, names in chains.items() if len(names) == longest]
    last = by_name[members[best[0]][-1]] if len(best) == 1 else None
    after = calls[calls.index(last) + 1 :] if last else []
    readers = [c.name for c in after if last and c.name in norms and same_state(c.given, last.made)]
    if last and (norm or readers):
        return best[0], norm or readers[0]
    again = next((call for call in calls if call.times > 1 and call.name not in norms), None)
    if again is not None:
        raise called_again(again.name, f"{type(model).__name__} calls it {again.times} times in one pass")
    raise _undecided(model, best, last)


def _undecided(model: nn.Module, lists: list[str], last: Call | None) -> ModelProblem:
    """Says what would decide it, or that nothing would."""
    kind, seen = type(model).__name__, describe_modules(model)
    if last is not None:
        return ModelProblem(
            f"cannot tell the final norm of {kind}: no norm reads what {last.name} wrote; {seen}; {NORM_BY_HAND}"
        )
    if lists:
        return ModelProblem(
            f"cannot tell the blocks of {kind}: {', '.join(lists)} would do; name one by hand: --blocks MODULE "
            "(blocks= in Python)"
        )
    return ModelProblem(
        f"cannot tell the blocks of {kind}: {seen}; in none of these does one [batch, tokens, width] state go from "
        "member to member unchanged, and repflow reads no other model"
    )


def _is_chain(calls: list[Call | None]) -> bool:
    ran = [call for call in calls if call is not None]
    if (
        not ran
        or len(ran) != len(calls)
        or any(c.given is None or c.made is None or c.given.shape != c.made.shape for c in ran)
    ):
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
