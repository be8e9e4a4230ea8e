"""A few examples token by token: texts, norms and likeness at every site, for the page to show."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from repflow.core import Example, Site, Tokenizer
from repflow.engines.shard import Reader, batches, make_batch, run_tapped
from repflow.metrics import Batch, Options, SiteView
from repflow.studies.flow.rows import TokenRow

EXAMPLES, TOKENS = 2, 256
"""So many examples of a task and context, and of each so many tokens from its start."""


def token_rows(
    reader: Reader, tokenizer: Tokenizer, examples: Sequence[Example], options: Options, task: str, context: int
) -> list[TokenRow]:
    """The rows of the first examples, by one more pass over their beginnings."""
    shown = [replace(example, ids=example.ids[:TOKENS]) for example in examples[:EXAMPLES]]
    rows: list[TokenRow] = []
    for chunk in batches(shown, reader.batch_tokens, reader.lengths):
        ids, batch = make_batch(reader, chunk, options)
        found: list[tuple[Site, np.ndarray, np.ndarray, np.ndarray]] = []

        def take(site: Site, states: Tensor, batch: Batch = batch, found: list = found) -> None:
            view = SiteView(site, states.detach().float(), batch)
            dropped = ~view.no_sink & batch.real
            found.append((site, _half(view.norm), _half(_likeness(view)), dropped.cpu().numpy()))

        run_tapped(reader, ids, take, chunk)
        for row, example in enumerate(chunk):
            rows += _of_example(reader.label, tokenizer, example, row, found, task, context)
    return rows


def _likeness(view: SiteView) -> Tensor:
    """Cosine of each token's state with the mean of all tokens' directions, [n, t]."""
    units = view.states / view.norm.clamp_min(torch.finfo(torch.float32).tiny)[..., None]
    mean = (units * view.batch.real[..., None]).sum(1, keepdim=True)
    return torch.nn.functional.cosine_similarity(units, mean, dim=-1)


def _half(values: Tensor) -> np.ndarray:
    """At the precision of float16, which compresses well; larger numbers than that holds stay as they are."""
    given = values.double().cpu().numpy()
    with np.errstate(over="ignore"):
        short = given.astype(np.float16).astype(np.float64)
    return np.where(np.isfinite(short), short, given)


def _of_example(
    label: str,
    tokenizer: Tokenizer,
    example: Example,
    row: int,
    found: Sequence[tuple[Site, np.ndarray, np.ndarray, np.ndarray]],
    task: str,
    context: int,
) -> list[TokenRow]:
    texts = [_text(tokenizer, token) for token in example.ids]
    return [
        TokenRow(
            label,
            task,
            context,
            example.id,
            position,
            text,
            site.name,
            site.index,
            float(norm[row, position]),
            float(cosine[row, position]),
            bool(dropped[row, position]),
        )
        for position, text in enumerate(texts)
        for site, norm, cosine, dropped in found
    ]


def _text(tokenizer: Tokenizer, token: int) -> str:
    return str(tokenizer.decode([token])) if hasattr(tokenizer, "decode") else str(token)
