"""Small models off their initial values, and what they say."""

from collections.abc import Sequence

import torch
from torch import Tensor

from repflow.models import Ablation, Loaded, load

VALUES = {"attention_window": "3", "residual_scaled": "0.5", "ssm_clamp_a": "0"}
"""An argument for each intervention that needs one."""


def named(text: str) -> Ablation:
    name, colon, argument = text.partition(":")
    return Ablation(name, argument if colon else None)


def typical(name: str) -> Ablation:
    return Ablation(name, VALUES.get(name))


def trained(family: str, layers: int = 4, **options: object) -> Loaded:
    """A model whose every parameter is off its initial value, as after training, and which mixes strongly."""
    more = "".join(f",{key}={value}" for key, value in options.items())
    subject = load(f"config:{family},layers={layers},width=32{more}@init=orthogonal:1")
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in subject.model.parameters():
            parameter.add_((torch.rand(parameter.shape, generator=draw) - 0.5) * (0.8 if parameter.ndim == 1 else 0.2))
    return subject


def tokens(length: int = 24, rows: int = 2) -> Tensor:
    return torch.randint(0, 256, (rows, length), generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def logits(subject: Loaded, ids: Tensor | None = None) -> Tensor:
    return subject.model(input_ids=tokens() if ids is None else ids, use_cache=False).logits


def readers(subject: Loaded, token: int, length: int = 24) -> Sequence[int]:
    """The tokens whose logits change when one token changes."""
    ids = tokens(length, 1)
    changed = ids.clone()
    changed[0, token] = (ids[0, token] + 1) % 256
    apart = (logits(subject, ids) - logits(subject, changed)).abs().amax(-1)[0]
    return torch.nonzero(apart).flatten().tolist()
