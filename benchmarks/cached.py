"""The same metrics the usual way: hidden states cached first, then public packages and plain torch over them."""

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_cka import CKA

from repflow.metrics.batch import sampled_rows

GRAM_ROWS = 256


def cache_states(model: nn.Module, ids: Tensor, taps: Sequence[tuple[nn.Module, str]]) -> list[Tensor]:
    """Every site's states [t, d] of one example, kept."""
    kept: list[Tensor] = []
    handles = []
    for module, where in taps:
        if where == "input":
            handles.append(
                module.register_forward_pre_hook(
                    lambda _, args, kwargs: kept.append((args or (kwargs["hidden_states"],))[0][0].clone()),
                    with_kwargs=True,
                )
            )
        else:
            handles.append(
                module.register_forward_hook(
                    lambda _, __, out: kept.append((out[0] if isinstance(out, tuple) else out)[0].clone())
                )
            )
    with torch.inference_mode():
        model(input_ids=ids, use_cache=False)
    for handle in handles:
        handle.remove()
    return kept


def site_metrics(states: list[Tensor], keeps: list[Tensor], moments: list[tuple[Tensor, Tensor]]) -> None:
    """Token-level metrics of section 3 at every site, by the textbook."""
    for s, (h, keep, (mean, inverse)) in enumerate(zip(states, keeps, moments, strict=True)):
        for x in (h[keep], ((h - mean) * inverse)[keep]):
            unit = functional.normalize(x, dim=-1)
            cosines = unit @ unit.T
            n = len(x)
            (cosines.sum() - cosines.diagonal().sum()) / (n * (n - 1))
        x = h[keep]
        unit = functional.normalize(x, dim=-1)
        for k in (2**i for i in range(16) if 2**i <= len(x) // 2):
            (unit[:-k] * unit[k:]).sum(-1).mean()
        norms = x.norm(dim=-1)
        norms.mean(), norms.median(), norms.max()
        rows = x[torch.from_numpy(sampled_rows(0, len(x), GRAM_ROWS))]
        for r in (rows, rows - rows.mean(0)):
            gram = r @ r.T
            ratio = gram.trace() ** 2 / gram.square().sum()
            ratio.log()
        steps = x[1:] - x[:-1]
        functional.cosine_similarity(steps[1:], steps[:-1], dim=-1).clamp(-1, 1).acos().mean()
        if s:
            both = keep & keeps[s - 1]
            before, here = states[s - 1][both], h[both]
            functional.cosine_similarity(before, here, dim=-1).mean()
            ((here - before).norm(dim=-1) / before.norm(dim=-1)).mean()
            functional.cosine_similarity(before, here - before, dim=-1).mean()
            mean_b, inverse_b = moments[s - 1]
            functional.cosine_similarity((before - mean_b) * inverse_b, (here - mean) * inverse, dim=-1).mean()


def path_metrics(states: list[Tensor], keep: Tensor) -> None:
    """Path metrics of section 4, raw, rms and unit."""
    path = torch.stack(states[:-1])[:, keep]
    scale = path.square().sum(-1).mean(0).sqrt()
    for h in (path, path / scale[None, :, None], functional.normalize(path, dim=-1)):
        steps = h[1:] - h[:-1]
        length = steps.norm(dim=-1)
        length.square().sum(0).mean(), length.sum(0).mean(), length.square().mean(0).mean()
        (h - h.mean(0)).square().sum(-1).mean(0).mean()
        (length.sum(0) / (h[-1] - h[0]).norm(dim=-1)).mean()
        functional.cosine_similarity(steps[1:], steps[:-1], dim=-1).clamp(-1, 1).acos().mean()


class Replay(nn.Module):
    """A model whose layers' outputs are the cached states, so that torch-cka can hook them."""

    def __init__(self, sites: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Identity() for _ in range(sites))

    def forward(self, states: Tensor) -> Tensor:
        for layer, site in zip(self.layers, states, strict=True):
            layer(site)
        return states


def token_cka(states: list[Tensor], keep: Tensor) -> Tensor:
    """All pairs of sites by torch-cka, rows the same sample of tokens."""
    rows = torch.from_numpy(sampled_rows(0, int(keep.sum()), GRAM_ROWS))
    cached = torch.stack([h[keep][rows] for h in states])
    names = [f"layers.{i}" for i in range(len(states))]
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        cka = CKA(Replay(len(states)), Replay(len(states)), model1_layers=names, model2_layers=names, device="cpu")
        cka.compare(_Loader(cached))
    return cka.export()["CKA"]


class _Loader:
    """One batch, with what torch-cka asks of a DataLoader."""

    dataset = "cached states"

    def __init__(self, states: Tensor) -> None:
        self.states = states

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[tuple[Tensor]]:
        yield (self.states,)
