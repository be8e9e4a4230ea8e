"""Passes that go on where an earlier pass left off, as generation does: their rows are no further examples."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from repflow.capture.given import Given

_CACHES = ("past_key_values", "cache_params", "past_key_value", "past", "state", "mems", "cache", "inference_params")


class Continued:
    """Knows the caches of the passes it has seen, without keeping them alive, and the tokens of the last one."""

    def __init__(self) -> None:
        self._caches: WeakValueDictionary[int, Any] = WeakValueDictionary()
        self._ids: Tensor | None = None

    def goes_on(self, called: Sequence[Given], ids: Tensor | None) -> bool:
        """Whether the pass reads on from a cache filled in a pass before, or is the last pass and one token more."""
        caches = [cache for given in called for cache in _caches(given.inputs)]
        again = any(self._caches.get(id(cache)) is cache for cache in caches)
        before, self._ids = self._ids, ids
        grown = before is not None and ids is not None and ids.shape == (len(before), before.shape[1] + 1)
        if again or (grown and before is not None and ids is not None and torch.equal(ids[:, :-1], before)):
            return True
        self._keep(caches)
        return False

    def made(self, output: Any) -> None:
        """The output of a pass, which may hold the cache that it filled."""
        if isinstance(output, Mapping):
            self._keep(_caches(output))

    def _keep(self, caches: Iterator[Any] | list[Any]) -> None:
        for cache in caches:
            self._caches[id(cache)] = cache


def _caches(inputs: Mapping[str, Any]) -> Iterator[Any]:
    """The caches among named values: objects, or the first tensor of nested lists."""
    for name in _CACHES:
        found = inputs.get(name)
        while isinstance(found, list | tuple) and found:
            found = found[0]
        if isinstance(found, Tensor) or (found is not None and hasattr(found, "__weakref__")):
            yield found
