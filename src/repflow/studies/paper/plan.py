"""What a paper run takes, said before it is made: from shapes, and a few timed passes of every model."""

import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from repflow.core import ModelProblem, SubjectFacts
from repflow.models import Loaded, SubjectSpec, load
from repflow.models.spec import source_kind
from repflow.studies.kit.preflight import subject_specs
from repflow.studies.kit.progress import told_time
from repflow.studies.paper.presets import Part, checked_parts, subjects_of
from repflow.studies.paper.settings import PaperSettings
from repflow.studies.paper.work import tokens

if TYPE_CHECKING:
    from repflow.engines import Progress

_PASSES = 3
_TIMED_TOKENS = 2048
_FACTORS: Mapping[str, float] = {
    "flow": 1.9,
    "flow-hf": 1.2,
    "probe-kvpr": 2.0,
    "probe-mdqa": 1.4,
    "attribute": 1.3,
    "ablate": 1.6,
    "dynamics": 1.5,
}
"""How much longer a run takes than the passes themselves, as measured on small models: metrics, answers, losses."""
_BYTES_A_NUMBER = {"float32": 4, "bfloat16": 2, "float16": 2}
_MIB = 2**20


@dataclass(frozen=True)
class _Timed:
    """One model, loaded and run."""

    facts: SubjectFacts
    load_s: float
    token_s: float


def plan_paper(settings: PaperSettings, progress: "Progress") -> str:
    """Lines for people: every run with its tokens and time, then memory, disk and downloads.

    A model that is neither here nor in the cache of the hub is planned for without time; what it would download is said
    where the hub can be reached.
    """
    parts = checked_parts(settings)
    specs = subject_specs(subjects_of(settings))
    timed: list[_Timed] = []
    absent: list[str] = []
    for spec in specs:
        progress.note(f"timing {spec}")
        try:
            timed.append(_timed(spec, settings, parts))
        except ModelProblem as error:
            if source_kind(spec.source) != "hub":
                raise
            absent.append(f"{spec}: {_download(spec)} ({error})")
    lines = [f"{len(parts)} runs on {len(specs)} models, preset {settings.study.preset}", ""]
    lines += _times(parts, timed, len(specs))
    lines += ["", *_room(parts, timed)]
    lines += [
        f"downloads: {absent[0] if len(absent) == 1 else len(absent) or 'none'}",
        *(absent if len(absent) > 1 else ()),
    ]
    return "\n".join(lines)


def _timed(spec: SubjectSpec, settings: PaperSettings, parts: Sequence[Part]) -> _Timed:
    begun = time.perf_counter()
    model = settings.model
    loaded = load(
        spec, dtype=model.dtype, device=model.device, trust_remote_code=model.trust_remote_code,
        blocks=model.blocks, final_norm=model.final_norm,
    )  # fmt: skip
    load_s = time.perf_counter() - begun
    context = min(max(parts[0].settings.task.context), loaded.facts.max_positions or 2**30)
    rows = max(1, _TIMED_TOKENS // context)
    ids = torch.randint(
        0, loaded.facts.n_embeddings or 256, (rows, context), generator=torch.Generator().manual_seed(0)
    )
    token_s = _median(lambda: _run(loaded, ids)) / ids.numel()
    return _Timed(loaded.facts, load_s, token_s)


def _run(loaded: Loaded, ids: torch.Tensor) -> None:
    loaded.forward(ids)
    if loaded.device.type == "cuda":
        torch.cuda.synchronize()


def _median(call: Callable[[], None]) -> float:
    """Of a few calls, the first of which is not counted."""
    call()
    found: list[float] = []
    for _ in range(_PASSES):
        begun = time.perf_counter()
        call()
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


def seconds(part: Part, timed: Sequence[_Timed]) -> float:
    """What a run is expected to take."""
    each = tokens(part) * _FACTORS[part.name]
    return sum(each * model.token_s + model.load_s for model in timed)


def _times(parts: Sequence[Part], timed: Sequence[_Timed], models: int) -> list[str]:
    found = {part.name: seconds(part, timed) for part in parts}
    told = {name: told_time(each) if timed else "?" for name, each in found.items()}
    lines = [f"  {part.name:12s}{tokens(part) * models / 1e6:8.2f} M tokens{told[part.name]:>9s}" for part in parts]
    whole = told_time(sum(found.values())) if timed else "?"
    left = models - len(timed)
    return [
        *lines,
        f"  {'in all':12s}{'':17s}{whole:>9s}" + (f", without {left} model{'s' * (left > 1)}" if left else ""),
    ]


def _room(parts: Sequence[Part], timed: Sequence[_Timed]) -> list[str]:
    """Memory of the largest model and what runs beside it; disk for features and tables."""
    if not timed:
        return ["memory, disk: not known, no model is here"]
    weights = max(model.facts.n_parameters * _BYTES_A_NUMBER.get(model.facts.dtype, 4) for model in timed)
    probes = [part for part in parts if part.study == "probe"]
    features = max((_features(part, timed) for part in probes), default=0.0)
    free = shutil.disk_usage(Path.cwd()).free
    return [
        f"memory: {(weights + _BESIDE) / _MIB:,.0f} MiB (the largest of {len(timed)} models {weights / _MIB:,.1f})",
        f"disk: {(features + _TABLES * len(timed)) / _MIB:,.0f} MiB while probes are trained, {free / _MIB:,.0f} free",
    ]


_BESIDE = 700 * _MIB
"""Python, torch, transformers and the metrics' own."""
_TABLES = 3 * _MIB


def _features(part: Part, timed: Sequence[_Timed]) -> float:
    """Bytes of the states of one model that a probe run keeps while it trains."""
    task, places = part.settings.task, part.settings.probing.places
    rows = task.examples * task.positions * len(places)
    return max(rows * (model.facts.n_blocks + 2) * model.facts.width * 4.0 for model in timed)


def _download(spec: SubjectSpec) -> str:
    """What a hub model would bring, where the hub says."""
    try:
        from huggingface_hub import HfApi

        info = HfApi().model_info(spec.source, revision=spec.revision, files_metadata=True, timeout=10)
    except Exception:
        return "size not known, the hub cannot be reached"
    weights = [each.size or 0 for each in info.siblings or () if each.rfilename.endswith((".safetensors", ".bin"))]
    return f"up to {sum(weights) / _MIB:,.0f} MiB"
