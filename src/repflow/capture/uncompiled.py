"""Compiled models run uncompiled for a while: compiled code does not call hooks that came after it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_blocks = 0
_stance = ExitStack()


@contextmanager
def uncompiled() -> Iterator[None]:
    """Within the block, and within any other such block, torch.compile is without effect, whatever it was used on."""
    global _blocks
    if _blocks == 0:
        _stance.enter_context(torch.compiler.set_stance("force_eager"))
    _blocks += 1
    try:
        yield
    finally:
        _blocks -= 1
        if _blocks == 0:
            _stance.close()
