"""Greedy continuation of prompts, the same for every family."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from repflow.models.loading import Loaded
from repflow.models.quiet import quiet

Ended = Callable[[int, str], bool]
"""Whether the answer to a row's prompt is complete, given what it says so far."""

_PROBE = (2, 8)
_PROBE_NEW = 4
_TOLERANCE = 0.05


def greedy(
    subject: Loaded, prompts: Sequence[Sequence[int]], *, new_tokens: int, batch: int = 16, stop: str = "\n"
) -> list[str]:
    """What the model says after each prompt: at most `new_tokens` tokens, taken greedily, decoded.

    Prompts of one length share a batch. An answer ends with an end of text, or with the token that brings `stop`
    behind its leading blanks.
    """
    answers: dict[int, str] = {}
    cached = cache_works(subject)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    while order:
        length = len(prompts[order[0]])
        group = [i for i in order[:batch] if len(prompts[i]) == length]
        order = order[len(group) :]
        ids = torch.tensor([list(prompts[i]) for i in group], device=subject.device)
        said = continued(
            subject, ids, new_tokens=new_tokens, ended=lambda _, text: stop in text.lstrip(), cached=cached
        )
        answers.update(zip(group, said, strict=True))
    return [answers[i] for i in range(len(prompts))]


@torch.no_grad()
def continued(subject: Loaded, ids: Tensor, *, new_tokens: int, ended: Ended, cached: bool = True) -> list[str]:
    """What the model says after each prompt of `ids` [n, t]: at most `new_tokens` tokens, taken greedily, decoded.

    An answer ends with an end of text, or with the token after which `ended` holds. No prompt is padded: padding on the
    left would enter the state of a state-space model, and shifts learned positions. With `cached` the first pass is
    over the prompts and every further one over a token; without it every pass is over everything (see `cache_works`).
    """
    ending = _Ending(subject.tokenizer, ids.shape[1], ended, [new_tokens] * len(ids))
    said = _generate(subject, ids, new_tokens, use_cache=cached, stopping_criteria=[ending])
    new = said[:, ids.shape[1] :]
    return [
        subject.tokenizer.decode(row[:end], skip_special_tokens=True) for row, end in zip(new, ending.ends, strict=True)
    ]


@torch.no_grad()
def cache_works(subject: Loaded) -> bool:
    """Whether the model's cache, decoding a few tokens, gives the logits of passes over the whole sequence.

    Not every family's does: RWKV's in transformers 5.23 does not, and a hybrid without attention has none that works.
    """
    try:
        return _cache_agrees(subject)
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError):
        return False


def _cache_agrees(subject: Loaded) -> bool:
    rows = subject.model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(_PROBE[0] * _PROBE[1], device=subject.device).remainder(rows).view(_PROBE)
    options = {"min_new_tokens": _PROBE_NEW, "output_logits": True, "return_dict_in_generate": True}
    said = _generate(subject, ids, _PROBE_NEW, use_cache=True, **options)
    whole = subject.model(input_ids=said.sequences, use_cache=False).logits[:, _PROBE[1] - 1 : -1].float()
    apart = torch.stack(said.logits, 1).float() - whole
    spread = whole - whole.mean(-1, keepdim=True)
    return bool(apart.norm() <= _TOLERANCE * spread.norm())


def _generate(subject: Loaded, ids: Tensor, new_tokens: int, **options: Any) -> Any:
    """transformers' greedy search, without the sampling and penalties a checkpoint may ask for."""
    with quiet(), subject.as_loaded():
        return subject.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            max_new_tokens=new_tokens,
            pad_token_id=_padding(subject),
            **options,
        )


def _padding(subject: Loaded) -> int:
    """What fills a finished answer; decoding drops it. The model reads it, so it must have an embedding."""
    rows, tokenizer = subject.facts.n_embeddings, subject.tokenizer
    known = (i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None)
    return next((i for i in known if rows is None or i < rows), 0)


@dataclass
class _Ending:
    """Ends each answer that is complete, and remembers where."""

    tokenizer: Any
    length: int
    """Tokens of the prompts."""
    ended: Ended
    ends: list[int]
    """New tokens of each answer. Where a model has no end of text, it goes on until all answers have ended."""

    def __call__(self, input_ids: Tensor, scores: Any, **options: Any) -> Tensor:
        del scores, options
        made = input_ids.shape[1] - self.length
        for row, text in enumerate(self.tokenizer.batch_decode(input_ids[:, self.length :])):
            if made < self.ends[row] and self.ended(row, text):
                self.ends[row] = made
        return torch.tensor([end <= made for end in self.ends], device=input_ids.device)
