"""The values of a reading's prompts as the model has them: their embeddings, and what its own end makes of a state."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int16, Integer
from torch import Tensor, nn

from repflow.core import Example, ModelProblem, Site
from repflow.models import Loaded
from repflow.models.embeddings import embedding_of, head_of
from repflow.studies.probe.linear.values import Values, choose
from repflow.tasks import Choices


def values_of(examples: Sequence[Example], choices: Sequence[Choices], subject: Loaded) -> Values:
    """What each example has to choose among. Raises ModelProblem where the model names no token embeddings."""
    embedding = embedding_of(subject.model)
    if embedding is None:
        raise ModelProblem(f"{subject.facts.label} does not say which its token embeddings are; use --target position")
    tokens = np.unique(np.concatenate([each.tokens for each in choices]))
    places = np.full((len(choices), max(len(each.tokens) for each in choices)), -1)
    for row, each in zip(places, choices, strict=True):
        different, first = np.unique(each.tokens, return_index=True)
        row[first] = np.searchsorted(tokens, different)
    gold = [c.tokens.index(c.tokens[e.gold_position or 0]) for e, c in zip(examples, choices, strict=True)]
    rows = embedding.detach()[torch.from_numpy(tokens).to(embedding.device)].float().cpu().numpy()
    return Values(tokens, rows, places, np.array(gold), np.array([e.gold_class or 0 for e in examples]))


@dataclass(frozen=True)
class Lens:
    """The end of a model, for some tokens: the logit lens (nostalgebraist 2020)."""

    norm: nn.Module | None
    """The final norm; None for a model without one."""
    rows: Tensor
    """[u, width] of the unembedding."""
    bias: Tensor | None

    @torch.no_grad()
    def chosen(
        self, states: Float32[np.ndarray, "s n d"], sites: Sequence[Site], choices: Integer[np.ndarray, "n k"]
    ) -> Int16[np.ndarray, "s n"]:
        """The place of the choice of highest logit, by site and example."""
        places = torch.from_numpy(choices).to(self.rows.device)
        found = [choose(self._logits(np.array(rows), site), places) for rows, site in zip(states, sites, strict=True)]
        return torch.stack(found).short().cpu().numpy()

    def _logits(self, states: np.ndarray, site: Site) -> Tensor:
        rows = torch.from_numpy(states).to(self.rows)
        if self.norm is not None and not site.is_final_norm:
            rows = self.norm(rows[None])[0]
        logits = rows.float() @ self.rows.float().T
        return logits if self.bias is None else logits + self.bias.float()


def lens_of(subject: Loaded, tokens: Integer[np.ndarray, " u"]) -> Lens | None:
    """None for a model whose end is not a final norm and one matrix."""
    head, last = head_of(subject.model), subject.taps[-1]
    weight = getattr(head, "weight", None)
    if not isinstance(weight, Tensor) or weight.shape[-1] != subject.facts.width or last.where != "output":
        return None
    at = torch.from_numpy(tokens).to(weight.device)
    bias = getattr(head, "bias", None)
    norm = subject.model.get_submodule(last.module) if last.site.is_final_norm else None
    return Lens(norm, weight.detach()[at], None if bias is None else bias.detach()[at])
