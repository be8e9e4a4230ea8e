"""An attribution run made up from smooth curves and written through the store."""

import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from synthetic import facts

from repflow.core import LayerRow, sites_for
from repflow.report.run import Run
from repflow.store import RunWriter
from repflow.studies.attribute.rows import SchemeRow, ShareRow

SCHEMES = ("config", "normal", "normal+matched", "xavier", "kaiming", "orthogonal", "permuted")
TRAINED = (("zoo:pythia-tiny", "gpt_neox", "TBM", 6), ("state-spaces/mamba_130m&co-hf", "mamba", "SSM", 9))
THIRDS = (("early", 1 / 6), ("middle", 1 / 2), ("late", 5 / 6))
VARIANTS, POLICIES = ("raw", "centred"), ("all", "no_sink")
LEVELS = {"config": 0.95, "normal": 0.9, "normal+matched": 0.92, "xavier": 1.0, "kaiming": 1.4, "orthogonal": 0.9}
LEVELS["permuted"] = 0.4
POOL = "all 2 trainings"
POWER = "Power with 5 draws and 32 units, draws 2.0% of the trained value apart: nothing of note."


def value(kind: str, depth: float, variant: str) -> float:
    """Transformers are homogenised early, state-space models late; less so when centred."""
    shape = 0.8 * (1 - math.exp(-5 * depth)) if kind == "TBM" else 0.1 + 0.6 * depth**3
    return shape * (0.5 if variant == "centred" else 1)


def share(kind: str, scheme: str, depth: float) -> float:
    """The Transformer's is the architecture's; the state-space model's is training's, the later the more."""
    return LEVELS[scheme] if kind == "TBM" else 0.6 * LEVELS[scheme] * (1 - depth)


def _layer_rows(label: str, family: str, kind: str, blocks: int, init: str) -> list[LayerRow]:
    scheme = init.partition(":")[0]
    rows = []
    for site in sites_for(blocks):
        for variant in VARIANTS:
            for tokens in POLICIES:
                x = value(kind, site.depth, variant) * (1 if init == "trained" else share(kind, scheme, site.depth))
                rows.append(
                    LayerRow(
                        label, family, init, "text", 512, site.name, site.index, site.depth, "inter_token_cosine",
                        variant, tokens, x, x - 0.02, x + 0.02, 64, 32768,
                    )
                )  # fmt: skip
    return rows


def _scheme_rows(label: str, family: str, kind: str, blocks: int, scheme: str) -> list[SchemeRow]:
    return [
        SchemeRow(
            label, family, "text", 512, "inter_token_cosine", row.variant, row.tokens, scheme, row.site, row.site_index,
            row.depth, row.value, row.value - 0.05, row.value + 0.05, 3, 64,
        )
        for row in _layer_rows(label, family, kind, blocks, f"{scheme}:0")
    ]  # fmt: skip


def _share_row(
    label: str, family: str, kind: str, cell: tuple[str, str], scheme: str, third: str, depth: float
) -> ShareRow:
    trained, part = value(kind, depth, cell[0]), share(kind, scheme, depth)
    verdict = "architecture" if part > 0.85 else "training" if part < 0.15 else "undecided"
    verdict = "reduced by training" if part > 1.25 else verdict
    ends = {"trained": trained, "random": trained * part, "difference": trained * (part - 1), "share": part}
    spans = {f"{n}{end}": v + off for n, v in ends.items() for end, off in (("", 0), ("_low", -0.05), ("_high", 0.05))}
    return ShareRow(
        label, family, "text", 512, "inter_token_cosine", *cell, scheme, third, **spans, seeds=3, seed_spread=0.01,
        n_examples=64, verdict=verdict, reason="" if verdict != "undecided" else "the interval is too wide",
        uncorrected=verdict, p=0.004, p_holm=0.024, family_size=6, n_units=32,
    )  # fmt: skip


def _finding(label: str, kind: str, cell: tuple[str, str], third: str, depth: float) -> dict[str, object]:
    verdict = "architecture" if kind == "TBM" else "training" if depth > 0.8 else "undecided"
    reason = "shuffled trained weights lose it" if kind == "TBM" else ""
    return {
        "id": "attribution", "subject": label, "task": "text", "context": 512, "metric": "inter_token_cosine",
        "variant": cell[0], "tokens": cell[1], "third": third, "claim": "a claim", "value": 0.5, "interval": [0.4, 0.6],
        "threshold": [0.2, 0.8, 1.2], "verdict": verdict, "reason": reason, "evidence": [],
    }  # fmt: skip


def attribution_run(directory: Path) -> Run:
    """Two trained subjects and two draws of each of six schemes."""
    layers, schemes, shares, findings, subjects = [], [], [], [], []
    for subject in TRAINED:
        label, family, kind, blocks = subject
        subjects.append(asdict(facts(label, family, kind, blocks, "trained")) | {"variant_of": None})
        layers += _layer_rows(*subject, "trained")
        for scheme in SCHEMES:
            schemes += _scheme_rows(*subject, scheme)
            for seed in (0, 1):
                init = f"{scheme.partition('+')[0]}:{seed}{'+matched' * ('+' in scheme)}"
                name = f"{label}@init={init}"
                subjects.append(asdict(facts(name, family, kind, blocks, init)) | {"variant_of": label})
                layers += _layer_rows(name, family, kind, blocks, init)
        for cell in ((v, p) for v in VARIANTS for p in POLICIES):
            for third, depth in THIRDS:
                shares += [_share_row(label, family, kind, cell, scheme, third, depth) for scheme in SCHEMES]
                findings.append(_finding(label, kind, cell, third, depth))
    raw = ("raw", "all")
    shares.append(replace(shares[0], subject=POOL, variant="raw", tokens="all", trainings=2, share_high=math.inf))
    findings.append(_finding(POOL, "TBM", raw, "early", 0.1) | {"verdict": "reduced by training"})
    tasks = [{"name": "text", "context": 512, "n_examples": 64, "n_tokens": 32768, "examples_sha256": "c" * 64}]
    info = {"subjects": subjects, "tasks": tasks, "seed": 0, "timings": {"total_s": 60.0}, "warnings": []}
    info |= {"power": {"raw": POWER}}
    with RunWriter.create(directory, {"schemes": list(SCHEMES)}, "attribute") as writer:
        writer.write_table("shares", shares, ShareRow)
        writer.write_table("schemes", schemes, SchemeRow)
        replicates = {"layers": np.zeros((len(layers), 20), dtype=np.float32)}
        writer.finish(layers, [], [], info, findings, replicates=replicates)
    return Run.load(directory)
