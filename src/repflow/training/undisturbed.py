"""A model in training, looked at and left exactly as it was."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from repflow.capture import uncompiled
from repflow.models.compiled import SELECTIVE_SCAN, compiled_scans


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Within the block the model is in evaluation mode, uncompiled, its scans on the kernels `repflow flow` runs it on.

    On leaving, also after an error, every module has the attributes and buffers it had (modes, flags, states that some
    models keep from pass to pass), and the random states of torch, numpy and Python are those from before. Parameters
    and gradients are not touched at all.
    """
    kept = [(module, dict(vars(module)), dict(module._buffers)) for module in model.modules()]
    try:
        with _same_random_states(), uncompiled(), compiled_scans(model, (SELECTIVE_SCAN,)):
            model.eval()
            for module in model.modules():
                if vars(module).get("use_mambapy"):
                    vars(module)["use_mambapy"] = False
            yield
    finally:
        for module, attributes, buffers in kept:
            for name in vars(module).keys() - attributes.keys():
                del vars(module)[name]
            vars(module).update(attributes)
            module._buffers.clear()
            module._buffers.update(buffers)


@contextmanager
def _same_random_states() -> Iterator[None]:
    python, state = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(state)
