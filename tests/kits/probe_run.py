"""A probe run made up from smooth curves and written through the store."""

import math
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
from synthetic import facts

from repflow.core import Site, sites_for
from repflow.core.places import parse_places
from repflow.report.run import Run
from repflow.store import RunWriter
from repflow.studies.probe.rows import ProbeRow, ProbeSummaryRow, TellingRow
from repflow.studies.probe.shown import PEAK
from repflow.studies.probe.verdicts import ABOVE, probe_verdict

PYTHIA, MAMBA = "zoo:pythia-tiny", "state-spaces/mamba_130m&co-hf"
THREE = (
    (PYTHIA, "gpt_neox", "TBM", 6, "trained", None),
    (f"{PYTHIA}@init=config:0", "gpt_neox", "TBM", 6, "config:0", PYTHIA),
    (MAMBA, "mamba", "SSM", 4, "trained", None),
)
SCENES = (("kvpr", 300), ("kvpr", 2000), ("mdqa", 2000))
PLACES = ("last", "gold", "mean", "even:3")
CLASSES = 5


def accuracy(kind: str, random: bool, position: str, site: Site, context: int) -> float:
    """Transformers peak at two thirds of depth and lose much, state-space models early; random ones are near chance."""
    if random or position.startswith("even"):
        return 0.2 + 0.03 * site.depth
    top = 0.95 if kind == "TBM" else 0.6
    best = 2 / 3 if kind == "TBM" else 0.25
    reach = 0.9 if position == "gold" else 1
    return (
        0.2
        + (top * reach - 0.2 - context / 20_000) * math.exp(-4 * (site.depth - best) ** 2)
        - 0.05 * site.is_final_norm
    )


def _limits(name: str, value: float, spread: float = 0.05) -> dict[str, float]:
    return {name: value, f"{name}_low": value - spread, f"{name}_high": value + spread}


def _site_rows(subject, scene, place) -> list[ProbeRow]:
    label, family, kind, blocks, init, baseline_of = subject
    rows = []
    for site in sites_for(blocks):
        value = accuracy(kind, baseline_of is not None, place.name, site, scene[1])
        rows.append(
            ProbeRow(
                label, family, init, *scene, place.name, place.share, site.name, site.index, site.depth,
                value, value - 0.05, value + 0.05, **_limits("control", 0.21), **_limits("selectivity", value - 0.21),
                **_limits("abs_error", 1.0), **_limits("capacity", 0.6),
                chance=0.2, majority=0.2, n_train=160, n_test=200, n_groups=40,
                classes=CLASSES, seeds=5, solver="adam", strength=math.nan, baseline_of=baseline_of,
            )
        )  # fmt: skip
    return rows


def _summary(subject, scene, place, rows: list[ProbeRow]) -> ProbeSummaryRow:
    """Judged as a run judges it; a peak that is not above chance is left out."""
    label, family, _, _, init, baseline_of = subject
    blocks = rows[:-1]
    peak = max(blocks, key=lambda row: row.accuracy)
    near = blocks[max(0, peak.site_index - 1)], peak
    gap, norm_gap = peak.accuracy - blocks[-1].accuracy, peak.accuracy - rows[-1].accuracy
    said = math.nan if baseline_of else 0.5
    found = ProbeSummaryRow(
        label, family, init, *scene, place.name, "adam", peak.site, peak.site_index,
        peak.depth, near[0].site, near[1].site, near[0].depth, near[1].depth, **_limits("peak", peak.accuracy),
        embed=blocks[0].accuracy,
        **_limits("last", blocks[-1].accuracy), **_limits("final_norm", rows[-1].accuracy), **_limits("gap", gap),
        **_limits("relative_gap", gap / peak.accuracy), **_limits("norm_gap", norm_gap),
        **_limits("relative_norm_gap", norm_gap / peak.accuracy), chance=0.2, majority=0.2, **_limits("length", 0.23),
        **_limits("answered", said), n_examples=200, n_groups=50, baseline_of=baseline_of,
        verdict=probe_verdict(peak.accuracy - 0.05, 0.2, 0.2), **_limits("highest", peak.accuracy),
        n_sites=len(blocks), n_units=40, **_limits("capacity", 0.61),
    )  # fmt: skip
    no_site = dict.fromkeys(("peak_site", "peak_site_index", "peak_from", "peak_to"))
    nothing = dict.fromkeys(PEAK, math.nan) | no_site
    return found if found.verdict == ABOVE else replace(found, **nothing)


def _telling(summary: ProbeSummaryRow) -> list[TellingRow]:
    rows = []
    for at, site, top in (("peak", summary.peak_site, summary.peak), ("last", "block.last", summary.last)):
        for gold in (None, *range(CLASSES)) if site is not None else ():
            dip = 0.0 if gold is None else 0.08 * (2 - abs(gold - 2))
            probe, said = top - dip, 0.65 - 3 * dip
            above = (probe - 0.2) / 0.8
            limits = {
                **_limits("probe", probe),
                **_limits("answered", said),
                **_limits("difference", above - said, 0.08),
                **_limits("probe_above", above),
            }
            key = (summary.subject, summary.task, summary.context, summary.position)
            rows.append(TellingRow(*key, site=site, at=at, gold_class=gold, **limits))
    return rows


def write_probe_run(directory: Path, subjects=THREE, scenes=SCENES, places=PLACES, asked: bool = True) -> Run:
    """The run, opened. Random baselines are asked for no answers; without `asked` nobody is."""
    probes, summaries, telling = [], [], []
    for subject in subjects:
        for scene in scenes:
            for place in parse_places(places):
                rows = _site_rows(subject, scene, place)
                probes += rows
                summaries.append(_summary(subject, scene, place, rows))
                if subject[5] is None:
                    telling += _telling(summaries[-1])
    info = {
        "subjects": [asdict(facts(*subject[:5])) | {"baseline_of": subject[5]} for subject in subjects],
        "tasks": [
            {
                "name": task,
                "context": context,
                "n_examples": 200,
                "n_tokens": 200 * context,
                "examples_sha256": "c" * 64,
            }
            for task, context in scenes
        ],
        "seed": 0,
        "timings": {s[0]: {"load_s": 1.0, "forward_s": 9.0, "answering_s": 12.5, "probing_s": 3.5} for s in subjects},
    }
    with RunWriter.create(directory, {"seed": 0}, "probe") as writer:
        writer.write_table("probes", probes, ProbeRow)
        writer.write_table("probe_summary", summaries, ProbeSummaryRow)
        if asked:
            writer.write_table("telling", telling, TellingRow)
        writer.finish([], [], [], info)
    return Run.load(directory)


def summary_of(run: Run) -> pd.DataFrame:
    """The summary table, whole numbers that may be missing as a CSV gives them back."""
    return run.table("probe_summary").astype({"peak_site_index": "float64"})
