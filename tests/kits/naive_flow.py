"""Every number of a flow run, computed again the slow way: all states in memory, float64, textbook formulas."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from repflow.core import Example
from repflow.metrics.batch import sampled_rows

POLICIES = ("all", "no_sink")
GRAM_ROWS = 256
Numbers = dict[tuple[str, ...], float]


@dataclass(frozen=True)
class Read:
    """One example: its states [sites, tokens, width] in float64, and which tokens count [policies, sites, tokens]."""

    id: int
    states: Tensor
    keep: Tensor


def hooked(trunk: nn.Module, blocks: Iterable[nn.Module], norm: nn.Module, ids: Sequence[int]) -> Tensor:
    """The input of the first block, every block's output and the final norm's, by plain forward hooks."""
    blocks, seen = list(blocks), []

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append((args[0] if args else kwargs["hidden_states"]).detach().clone())

    def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        del args
        seen.append((output if isinstance(output, Tensor) else output[0]).detach().clone())

    handles = [blocks[0].register_forward_pre_hook(before, with_kwargs=True)]
    handles += [module.register_forward_hook(after) for module in (*blocks, norm)]
    with torch.no_grad():
        trunk(input_ids=torch.tensor([list(ids)]), use_cache=False)
    for handle in handles:
        handle.remove()
    return torch.cat(seen).double()


def read(example: Example, states: Tensor, special_ids: Sequence[int]) -> Read:
    norm = states.norm(dim=-1)
    plain = torch.tensor([token not in special_ids for token in example.ids])
    middle = torch.stack([_median(row) for row in norm])
    no_sink = plain & (norm <= 10.0 * middle[:, None])
    return Read(example.id, states, torch.stack([torch.ones_like(no_sink), no_sink]))


def _median(values: Tensor) -> Tensor:
    ordered = values.sort().values
    return (ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2


def layers(examples: Sequence[Read], calibration: Sequence[Read], names: Sequence[str]) -> Numbers:
    """(site, metric, variant, tokens) -> the mean over examples."""
    z = _standardise(calibration)
    found: dict[tuple[str, ...], list[float]] = {}
    shares: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for example in examples:
        centred, scaled = z(example.states)
        for s, site in enumerate(names):
            for p, policy in enumerate(POLICIES):
                keep = example.keep[p, s]
                cells = _site(example.states[s], keep, sampled_rows(example.id, len(keep), GRAM_ROWS))
                if policy != "all":
                    cells["dropped_share", "raw"] = 1.0 - keep.double().mean()
                cells["inter_token_cosine", "centred"] = _between(centred[s][keep])
                cells["inter_token_cosine", "standardised"] = _between(scaled[s][keep])
                if s:
                    both = keep & example.keep[p, s - 1]
                    cells |= _step(example.states[s - 1][both], example.states[s][both])
                    for variant, x in (("centred", centred), ("standardised", scaled)):
                        cells["adjacent_cosine", variant] = _cosine(x[s - 1][both], x[s][both]).mean()
                for (metric, variant), value in cells.items():
                    found.setdefault((site, metric, variant, policy), []).append(float(value))
                for variant, carried in _carried(example.states[s][keep]).items():
                    shares.setdefault((site, "feature_share", variant, policy), []).append(carried)
    sums = {key: (sum(part for part, _ in rows), sum(whole for _, whole in rows)) for key, rows in shares.items()}
    return {key: sum(values) / len(values) for key, values in found.items()} | {
        key: part / whole for key, (part, whole) in sums.items() if whole > 0
    }


def _carried(rows: Tensor) -> dict[str, tuple[float, float]]:
    """What the k largest features add to the mean cosine over pairs, and all of them."""
    unit = rows / rows.norm(dim=-1, keepdim=True)
    n, width = unit.shape
    # Pair by pair where that is quick.
    pairs = sum(unit[i] * (unit[:i].sum(0) + unit[i + 1 :].sum(0)) for i in range(n)) if n <= 128 else None
    parts = (unit.sum(0) ** 2 - (unit**2).sum(0) if pairs is None else pairs) / (n * (n - 1))
    ordered = parts.sort(descending=True).values
    ks = {"k=1": 1, "k=3": 3, "k=10": 10, "k=10%": round(width / 10)}
    return {name: (float(ordered[:k].sum()), float(parts.sum())) for name, k in ks.items()}


def _standardise(calibration: Sequence[Read]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    sites = range(len(calibration[0].states))
    rows = [torch.cat([c.states[s][c.keep[1, s]] for c in calibration]) for s in sites]
    mean = torch.stack([r.mean(0) for r in rows])[:, None]
    spread = torch.stack([r.std(0, correction=0) for r in rows])[:, None]
    return lambda states: (states - mean, torch.where(spread > 0, (states - mean) / spread, 0.0))


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))


def _step(before: Tensor, here: Tensor) -> dict[tuple[str, str], Tensor]:
    step = here - before
    return {
        ("adjacent_cosine", "raw"): _cosine(before, here).mean(),
        ("update_ratio", "raw"): (step.norm(dim=-1) / before.norm(dim=-1)).mean(),
        ("update_cosine", "raw"): _cosine(before, step).mean(),
    }


def _site(states: Tensor, keep: Tensor, sample: Any) -> dict[tuple[str, str], Tensor]:
    counted, norm = states[keep], states[keep].norm(dim=-1)
    cells = {
        ("inter_token_cosine", "raw"): _between(counted),
        ("norm", "mean"): norm.mean(),
        ("norm", "median"): _median(norm),
        ("norm", "max"): norm.max(),
        ("sequence_curvature", "raw"): _curvature(states, keep),
    }
    rows = states[sample][keep[sample]]
    for variant, x in (("uncentred", rows), ("centred", rows - rows.mean(0))):
        ratio = x.square().sum().square() / (x @ x.T).square().sum()
        cells |= {("participation_ratio", variant): ratio, ("renyi2_entropy", variant): ratio.log()}
    k = 1
    while k <= len(keep) // 2:
        pair = keep[:-k] & keep[k:]
        cells["offset_cosine", f"k={k}"] = _cosine(states[:-k], states[k:])[pair].mean()
        k *= 2
    return cells


def _between(rows: Tensor) -> Tensor:
    unit = rows / rows.norm(dim=-1, keepdim=True)
    n = len(rows)
    return ((unit @ unit.T).sum() - n) / (n * (n - 1))


def _curvature(states: Tensor, keep: Tensor) -> Tensor:
    step = states.diff(dim=0)
    angles = torch.acos(_cosine(step[:-1], step[1:]).clamp(-1, 1))
    # A token said twice makes no step, and so no angle.
    return angles[keep[:-2] & keep[1:-1] & keep[2:]].nanmean()


def pairs(examples: Sequence[Read], names: Sequence[str]) -> Numbers:
    """(site, site, variant, tokens) -> debiased CKA, the ratio of HSICs summed over blocks."""
    last = torch.stack([example.states[:, -1] for example in examples])
    blocks = {("example", "all"): [last.transpose(0, 1)]}
    for p, policy in enumerate(POLICIES):
        rows = []
        for example in examples:
            sample = sampled_rows(example.id, example.states.shape[1], GRAM_ROWS)
            everywhere = example.keep[p].all(0)[sample]
            rows.append(example.states[:, sample][:, everywhere])
        blocks["token", policy] = rows
    found: Numbers = {}
    for (variant, policy), rows in blocks.items():
        total = sum(_hsic(block) for block in rows)
        for i, a in enumerate(names):
            for j, b in enumerate(names[i:], start=i):
                found[a, b, variant, policy] = float(total[i, j] / (total[i, i] * total[j, j]).sqrt())
    return found


def _hsic(block: Tensor) -> Tensor:
    """HSIC_1 of all pairs of sites of a block [sites, n, width], by the formula of Song et al. 2012."""
    grams = [rows @ rows.T for rows in block]
    n = len(grams[0])
    for gram in grams:
        gram.fill_diagonal_(0.0)

    def of(k: Tensor, m: Tensor) -> Tensor:
        """Both are symmetric: tr(K M) is the sum of the elementwise product, 1'K M 1 that of the row sums'."""
        sums = k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2.0 / (n - 2) * (k.sum(0) @ m.sum(0))
        return ((k * m).sum() + sums) / (n * (n - 3))

    return torch.stack([torch.stack([of(k, m) for m in grams]) for k in grams])


def paths(examples: Sequence[Read], of_layers: Numbers, of_pairs: Numbers, names: Sequence[str]) -> Numbers:
    """(metric, variant, tokens) -> the mean over examples; the step to the final norm is no part of a path."""
    found: dict[tuple[str, ...], list[float]] = {}
    for example in examples:
        for p, policy in enumerate(POLICIES):
            way = example.states[:-1, example.keep[p, :-1].all(0)]
            scale = {
                "raw": way,
                "rms": way / way.square().sum(-1).mean(0).sqrt()[:, None],
                "unit": way / way.norm(dim=-1, keepdim=True),
            }
            for variant, h in scale.items():
                for metric, value in _path(h).items():
                    if variant == "raw" or metric not in ("tortuosity", "depth_curvature"):
                        found.setdefault((metric, variant, policy), []).append(float(value))
    means = {key: sum(values) / len(values) for key, values in found.items()}
    inner = list(pairwise(names[:-1]))
    for policy in POLICIES:
        profiles = {
            "cka": [of_pairs[a, b, "token", policy] for a, b in inner],
            "adjacent_cosine": [of_layers[b, "adjacent_cosine", "raw", policy] for _, b in inner],
        }
        for variant, values in profiles.items():
            s = torch.tensor(values, dtype=torch.float64)
            means["smoothness", variant, policy] = float(s.diff().square().mean())
            means["stability", variant, policy] = float(s.var(correction=0))
    return means


def _path(h: Tensor) -> dict[str, Tensor]:
    step = h.diff(dim=0)
    length = step.norm(dim=-1)
    energy = length.square().sum(0)
    angles = torch.acos(_cosine(step[:-1], step[1:]).clamp(-1, 1))
    return {
        "path_energy": energy.mean(),
        "path_length": length.sum(0).mean(),
        "v_loc": (energy / len(step)).mean(),
        "v_glob": (h - h.mean(0)).square().sum(-1).mean(),
        "tortuosity": (length.sum(0) / (h[-1] - h[0]).norm(dim=-1)).mean(),
        "depth_curvature": angles.mean(),
    }
