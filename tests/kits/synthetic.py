"""A run made up from smooth curves: three subjects of 12 to 24 blocks, or whatever is asked for."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from repflow.core import LayerRow, PairRow, PathRow, SubjectFacts, sites_for

TRIO = (
    ("EleutherAI/pythia-160m", "gpt_neox", "TBM", 12, "trained"),
    ("state-spaces/mamba-130m-hf", "mamba", "SSM", 24, "trained"),
    (
        "config:falcon_h1,width=768,layers=16,tokenizer=zoo:smollm2-135m@init=normal:0",
        "falcon_h1",
        "hybrid",
        16,
        "normal:0",
    ),
)


@dataclass
class FakeRun:
    """What the report asks of a run."""

    layers: pd.DataFrame
    pairs: pd.DataFrame
    paths: pd.DataFrame
    info: dict
    findings: list
    directory: Path


def facts(label, family, kind, blocks, init, **more):
    return SubjectFacts(
        label=label, family=family, kind=kind, init=init, n_parameters=134_515_008, n_blocks=blocks, width=768,
        max_positions=2048, dtype="float32", weights_sha256="a" * 64, tokenizer_sha256="b" * 64, **more,
    )  # fmt: skip


def interval(value, spread=0.015):
    return {"value": value, "ci_low": value - spread, "ci_high": value + spread}


CURVES = {
    "inter_token_cosine": ("raw", "standardised"),
    "adjacent_cosine": ("raw",),
    "update_ratio": ("raw",),
    "update_cosine": ("raw",),
    "norm": ("mean", "median", "max"),
    "participation_ratio": ("uncentred", "centred"),
    "renyi2_entropy": ("uncentred", "centred"),
    "sequence_curvature": ("raw",),
    "dropped_share": ("raw",),
    "offset_cosine": tuple(f"k={2**i}" for i in range(8)),
}


def curve(metric, variant, kind, depth, final, tokens):
    rise = {
        "TBM": 0.75 * np.exp(-3 * depth) + 0.12,
        "SSM": 0.2 + 0.55 * depth**2,
        "hybrid": 0.4 + 0.1 * np.sin(5 * depth),
    }
    base = (
        float(rise.get(kind, rise["hybrid"]))
        - (0.25 if variant == "standardised" else 0)
        - (0.08 if tokens == "no_sink" else 0)
    )
    values = {
        "inter_token_cosine": base + 0.1 * final,
        "adjacent_cosine": 0.97 - 0.3 * base * depth - 0.3 * abs(depth - 0.5) ** 1.5 - 0.45 * final,
        "update_ratio": 0.15 + 0.3 * base + 0.5 * (1 - depth) ** 3 + 0.7 * final,
        "update_cosine": 0.2 - 0.5 * depth,
        "norm": {"mean": 12.0, "median": 10.0, "max": 400.0}.get(variant, 1.0)
        * 10 ** (1.4 * depth + base)
        / (30 if final else 1),
        "participation_ratio": 3 + 40 * (1 - base),
        "renyi2_entropy": float(np.log(3 + 40 * (1 - base))),
        "sequence_curvature": 1.6 + 0.3 * base,
        "dropped_share": 0.004 + 0.01 * depth,
        "offset_cosine": base * 0.9 ** np.log2(int(variant[2:])) if variant.startswith("k=") else 0,
    }
    return float(values[metric])


def layer_rows(subjects, scenes, policies):
    for label, family, kind, blocks, init in subjects:
        for task, context in scenes:
            for site in sites_for(blocks):
                for metric, variants in CURVES.items():
                    if site.name == "embed" and metric in ("adjacent_cosine", "update_ratio", "update_cosine"):
                        continue
                    for variant in variants:
                        for tokens in policies:
                            if metric == "dropped_share" and tokens == "all":
                                continue
                            value = curve(metric, variant, kind, site.depth, site.is_final_norm, tokens)
                            yield LayerRow(
                                subject=label, family=family, init=init, task=task, context=context, site=site.name,
                                site_index=site.index, depth=site.depth, metric=metric, variant=variant, tokens=tokens,
                                n_examples=16, n_tokens=16 * context, **interval(value, 0.02 * abs(value)),
                            )  # fmt: skip


def pair_rows(subjects, scenes, policies):
    for place, (a, _, _, blocks_a, _) in enumerate(subjects):
        for b, _, _, blocks_b, _ in subjects[place:]:
            for metric in ("cka",) if a == b else ("cka", "cka_calibrated", "cka_null_threshold"):
                for variant in ("token", "example") if a == b else ("example",):
                    for task, context in scenes:
                        for tokens in policies:
                            yield from _pairs(a, blocks_a, b, blocks_b, metric, variant, task, context, tokens)


def _pairs(a, blocks_a, b, blocks_b, metric, variant, task, context, tokens):
    for s in sites_for(blocks_a):
        for t in sites_for(blocks_b):
            if a == b and s.index > t.index:
                continue
            near = np.exp(-5 * abs(s.depth - t.depth)) - 0.3 * (s.is_final_norm != t.is_final_norm)
            value = float(near if a == b else 0.6 * near - 0.1)
            yield PairRow(
                subject_a=a, site_a=s.name, depth_a=s.depth, subject_b=b, site_b=t.name, depth_b=t.depth, task=task,
                context=context, metric=metric, variant=variant, tokens=tokens, n_examples=16, **interval(value),
            )  # fmt: skip


def path_rows(subjects, scenes, policies):
    scales = {"raw": 100.0, "rms": 1.0, "unit": 0.7}
    metrics = ("v_loc", "v_glob", "path_energy", "path_length", "tortuosity", "depth_curvature")
    for place, (label, *_) in enumerate(subjects):
        for task, context in scenes:
            for tokens in policies:
                base = {"subject": label, "task": task, "context": context, "tokens": tokens, "n_examples": 16}
                for at, metric in enumerate(metrics):
                    free = metric in ("tortuosity", "depth_curvature")
                    for variant, scale in {"raw": 1.0}.items() if free else scales.items():
                        value = scale * (0.31 * (place + 1)) * (1 + at)
                        yield PathRow(metric=metric, variant=variant, **base, **interval(value, 0.04 * value))
                for metric in ("smoothness", "stability"):
                    for variant in ("cka", "adjacent_cosine"):
                        yield PathRow(metric=metric, variant=variant, **base, **interval(0.0004 * (place + 1), 0.00006))


def make_run(directory, subjects=TRIO, scenes=(("text", 512),), policies=("all", "no_sink"), pairs=True):
    frames = [
        pd.DataFrame([asdict(row) for row in rows])
        for rows in (
            layer_rows(subjects, scenes, policies),
            pair_rows(subjects, scenes, policies) if pairs else (),
            path_rows(subjects, scenes, policies),
        )
    ]
    info = {
        "schema_version": 1,
        "command": "flow",
        "repflow_version": "0.1.0",
        "settings": {"task": "text", "examples": 16},
        "subjects": [asdict(facts(*subject)) for subject in subjects],
        "tasks": [
            {"name": t, "context": c, "n_examples": 16, "n_tokens": 16 * c, "examples_sha256": "c" * 64}
            for t, c in scenes
        ],
        "versions": {"torch": "2.13.0", "transformers": "5.23.0"},
        "seed": 0,
        "timings": {
            s[0]: {"load_s": 1.2, "forward_s": 9.31, "metrics_s": 0.41, "total_s": 11.0, "tokens_per_s": 911.2}
            for s in subjects
        },
        "warnings": ["mamba runs without its CUDA kernels: the slow scan is used"],
        "status": "done",
    }
    return FakeRun(*frames, info, [], Path(directory))
