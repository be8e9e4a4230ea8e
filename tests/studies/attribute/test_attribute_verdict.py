"""Verdicts corrected for being many, what decides over schemes, and what a finding holds."""

from dataclasses import replace
from typing import Any

import pytest

from repflow.studies.attribute.rows import ShareRow
from repflow.studies.attribute.verdict import CLAIMS, corrected, decided, findings_of

SCHEMES = ("config", "normal", "xavier", "kaiming", "orthogonal", "permuted")


def row(scheme: str = "config", verdict: str = "architecture", p: float = 0.001, **more: Any) -> ShareRow:
    spans = {
        f"{name}{end}": 1.0 for name in ("trained", "random", "difference", "share") for end in ("", "_low", "_high")
    }
    about: dict[str, Any] = {"subject": "a", "third": "late", "variant": "raw", "tokens": "all", "reason": ""}
    about |= more
    return ShareRow(
        family="gpt2", task="text", context=512, metric="inter_token_cosine", scheme=scheme, **spans, seeds=5,
        seed_spread=0.01, n_examples=30, verdict=verdict, uncorrected=verdict, p=p, **about,
    )  # fmt: skip


def test_many_verdicts_are_corrected_by_table() -> None:
    """Three thirds of two subjects are one family; another scheme, variant, policy or pool is one of its own."""
    rows = [row(subject=s, third=t, p=0.012) for s in "ab" for t in ("early", "middle", "late")]
    rows += [row("normal", p=0.012), row(variant="centred", p=0.012), row(tokens="no_sink", p=0.012)]
    rows += [row(subject="all 3 trainings", p=0.012, trainings=3)]
    found = corrected(rows)
    assert [r.family_size for r in found] == [6] * 6 + [1] * 4
    assert [r.verdict for r in found] == ["undecided"] * 6 + ["architecture"] * 4
    assert all(r.uncorrected == "architecture" for r in found)
    assert found[0].p_holm == pytest.approx(0.072)
    assert found[0].reason == "architecture by itself (p 0.012), not as one of 6 (Holm: 0.072)"
    clear = corrected([row(third=t, p=p) for t, p in (("early", 0.001), ("middle", 0.02), ("late", 0.4))])
    assert [r.verdict for r in clear] == ["architecture", "architecture", "undecided"]


ALL = dict.fromkeys(SCHEMES, "architecture")


@pytest.mark.parametrize(
    ("verdicts", "wanted", "said"),
    [
        (ALL, "architecture", ""),
        ({"config": "reduced by training"}, "reduced by training", ""),
        (dict.fromkeys(SCHEMES, "training"), "training", ""),
        (ALL | {"kaiming": "training"}, "architecture", "training under kaiming"),
        (
            ALL | {"kaiming": "training", "normal": "training", "kaiming+matched": "architecture"},
            "architecture",
            "training under normal, kaiming",
        ),
        (ALL | {"kaiming": "undecided"}, "architecture", ""),
        (ALL | {"config": "undecided"}, "undecided", "architecture under normal, xavier, kaiming, orthogonal"),
        (ALL | {"permuted": "training"}, "architecture", "shuffled trained weights lose it"),
        ({"normal": "architecture", "permuted": "architecture"}, "undecided", "config was not run"),
        ({"permuted": "architecture"}, "undecided", "config was not run"),
        (dict.fromkeys(SCHEMES, "training") | {"permuted": "architecture"}, "training", "values training left suffice"),
        ({"config": "undecided", "permuted": "architecture"}, "undecided", "values training left"),
    ],
)
def test_the_familys_own_initialisation_decides(verdicts: dict[str, str], wanted: str, said: str) -> None:
    found, reason = decided(verdicts, {})
    assert found == wanted
    assert said in reason
    assert bool(said) == bool(reason)
    assert found in CLAIMS


def test_a_finding_has_the_difference_first_then_the_share() -> None:
    rows = [row(), row("normal"), row("permuted", "training")]
    rows = [replace(r, difference=-0.1, difference_low=-0.2, difference_high=0.05, share=0.9) for r in rows]
    (finding,) = findings_of(corrected(rows))
    assert (finding["value"], finding["interval"]) == (-0.1, [-0.2, 0.05])
    assert (finding["share"], finding["threshold"]) == (0.9, [0.2, 0.8, 1.2])
    assert (finding["verdict"], finding["uncorrected"]) == ("architecture", "architecture")
    assert finding["reason"] == "shuffled trained weights lose it"
    assert [e["scheme"] for e in finding["evidence"]] == ["config", "normal", "permuted"]
