"""What a module was called with, by the names in its forward's signature."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True, eq=False)
class Given:
    """One call of a module."""

    module: nn.Module
    inputs: Mapping[str, Any]
    """Inputs by name, defaults included; what stands in a mapping (a BatchEncoding given whole) by its own names."""
    names: frozenset[str]
    """The names that the signature has."""


def given(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Given:
    """Binds a call to the signature of the module's forward; a call that does not fit it will fail by itself."""
    try:
        signature = inspect.signature(module.forward)
        bound = signature.bind_partial(*args, **kwargs)
    except (TypeError, ValueError):
        return Given(module, dict(kwargs), frozenset(kwargs))
    bound.apply_defaults()
    found: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            found.update(value)
        else:
            found[name] = value
    for value in [value for value in found.values() if isinstance(value, Mapping)]:
        for name, entry in value.items():
            found.setdefault(str(name), entry)
    return Given(module, found, frozenset(signature.parameters))
