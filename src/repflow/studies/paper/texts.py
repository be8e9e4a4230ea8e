"""The paper's claims in words."""

from collections.abc import Mapping

PAPER = "arXiv 2510.06640"
CLAIMS: Mapping[str, str] = {
    "A1": "Transformers: adjacent layers are nearly alike from early on, and turn near the end",
    "A2": "State-space models: adjacent cosine varies early and settles with depth",
    "B1": "Transformers homogenise early, and less near the end",
    "B2": "State-space models keep tokens distinct, and homogenise deep",
    "C1": "Transformers with random weights are homogenised already",
    "C2": "State-space models with random weights are not: training does it",
    "C3": "Without norms, or with local attention, Transformers homogenise less",
    "D1": "State-space models are more stable: lower local and global variance",
    "D2": "Path energy is higher in Transformers; the bound's advantage is cubic in depth",
    "D3": "State-space blocks contract, so that what they remember is bounded",
    "E1": "A middle layer tells more than the last one",
    "E2": "Where the best layer lies",
    "F1": "Signatures: Transformers above 0.80 early, state-space models above 0.70 late, probes fall by 15 points",
}
"""By their ids in the claims table."""

UNTESTED = (
    (
        "D2",
        "advantage of the stability bound, against depth",
        "TBM and SSM",
        "how the bound grows with depth is arithmetic, not measured; what models use of it stands in the dynamics run",
    ),
)
"""Claim, statistic, kind and reason of what no run decides."""
