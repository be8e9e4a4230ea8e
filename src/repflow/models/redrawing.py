"""A loaded subject with its weights drawn anew for a while, without loading it again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from repflow.core import BadSpec
from repflow.models.facts import weights_sha256
from repflow.models.initialise import kept_warning, reinitialise, trained_buffers
from repflow.models.loading import Loaded
from repflow.models.quiet import quiet
from repflow.models.spec import Init


@contextmanager
def reinitialised(subject: Loaded, init: Init) -> Iterator[Loaded]:
    """Within, `subject.model` has its weights drawn anew, in place; on leaving every bit is as it was, errors included.

    Yields the subject as `load` would give it for SOURCE@init=..., without the source's own `facts.warnings`. Tied
    weights stay tied. The weights and trained buffers as they were wait on the CPU: one copy of the model.
    Raises BadSpec for a subject whose weights are drawn or interfered with already, ModelProblem for a tensor that
    cannot be drawn.
    """
    if subject.spec.init is not None or subject.spec.ablations:
        raise BadSpec(f"{subject.spec} is changed already; name it without @init and @ablate to draw its weights anew")
    weights = dict([*subject.model.named_parameters(), *trained_buffers(subject.model)])
    kept = {name: torch.empty_like(tensor, device="cpu").copy_(tensor) for name, tensor in weights.items()}
    spec = replace(subject.spec, init=init)
    try:
        with quiet():
            redrawn = reinitialise(subject.model, init)
        facts = replace(
            subject.facts,
            label=spec.label,
            init=str(init),
            weights_sha256=weights_sha256(subject.model),
            reinitialised=redrawn.changed,
            kept=redrawn.kept,
            warnings=kept_warning(redrawn, str(init)),
        )
        yield replace(subject, spec=spec, facts=facts)
    finally:
        with torch.no_grad():
            for name, tensor in weights.items():
                tensor.copy_(kept[name])
