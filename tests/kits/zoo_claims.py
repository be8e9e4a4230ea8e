"""The numbers of the paper's claims, over trainings: what the last table of docs/results.md names."""

from collections.abc import Callable

from zoo_results import RETRIEVE, THIRDS, TRANSFORMERS, number, over_trainings, summary, third, trainings
from zoo_tables import EARLY, LAST, LATE, MIDDLE, adjacent, depth_slope, frame, path, shares

SIX = [subject for name in TRANSFORMERS for subject in trainings(name)]
MAMBA2 = trainings("mamba2-tiny")
TWELVE = [subject for name in RETRIEVE for subject in trainings(name)]


def over(subjects: list[str], value: Callable[[str], float], scale: float = 1, decimals: int = 2) -> str:
    return over_trainings([value(subject) for subject in subjects], scale, decimals)


def falls(subject: str) -> float:
    return adjacent(subject, MIDDLE) - adjacent(subject, LAST)


def settles(subject: str) -> float:
    return adjacent(subject, LATE) - adjacent(subject, EARLY)


def span(names: tuple[str, ...], scheme: str = "config") -> str:
    """The lowest and highest raw likeness of random weights over thirds."""
    found = [value for name in names for value in shares(name, "raw", scheme)["random"]]
    low, high = number(min(found), 2), number(max(found), 2)
    return low if low == high else f"{low} to {high}"


def rise(subject: str) -> float:
    return third(subject, "late", "raw") - third(subject, "early", "raw")


def drops(subjects: list[str]) -> int:
    """Of the probes for the place at the end of the gold, those whose fall has its whole interval past 15 points."""
    return sum(summary(subject, "gold")["gap_low"] > 0.15 for subject in subjects)


def most_alike(subjects: list[str], part: str) -> float:
    """The highest raw likeness of any block of a third."""
    low, high = THIRDS[part]
    rows = frame("flow", "layers")
    rows = rows[(rows["metric"] == "inter_token_cosine") & (rows["variant"] == "raw") & (rows["tokens"] == "no_sink")]
    rows = rows[rows["subject"].isin(subjects) & rows["site"].str.startswith("block.")]
    return float(rows[(rows["depth"] > low + 1e-9) & (rows["depth"] <= high + 1e-9)]["value"].max())


NAMED = {
    "A1": "steps_six falls_six steps_mamba2 falls_mamba2",
    "A2": "settles_mamba2 settles_six",
    "B1": "early_six late_six",
    "B2": "early_mamba2 rise_mamba2",
    "C1": "random_six kaiming_llama",
    "C2": "random_mamba2 kaiming_mamba2",
    "C3": "",
    "D1": "energy_mamba2 energy_six v_glob_mamba2 v_glob_six",
    "D2": "grow_attention grow_ssm",
    "D3": "",
    "F1": "early_most late_most dropped",
}
"""The numbers that the row of each claim names."""


def facts() -> dict[str, str]:
    """The numbers of the claims, by name."""
    return {
        "steps_six": over(SIX, lambda s: adjacent(s, EARLY)),
        "steps_mamba2": over(MAMBA2, lambda s: adjacent(s, EARLY)),
        "falls_six": over(SIX, falls),
        "falls_mamba2": over(MAMBA2, falls),
        "settles_six": over(SIX, settles),
        "settles_mamba2": over(MAMBA2, settles),
        "early_six": over(SIX, lambda s: third(s, "early", "raw")),
        "late_six": over(SIX, lambda s: third(s, "late", "raw")),
        "early_mamba2": over(MAMBA2, lambda s: third(s, "early", "raw")),
        "rise_mamba2": over(MAMBA2, rise),
        "random_six": span(TRANSFORMERS),
        "random_mamba2": span(("mamba2-tiny",)),
        "kaiming_llama": span(("llama-tiny",), "kaiming"),
        "kaiming_mamba2": span(("mamba2-tiny",), "kaiming"),
        "energy_six": over(SIX, lambda s: path(s, "path_energy", "rms")),
        "energy_mamba2": over(MAMBA2, lambda s: path(s, "path_energy", "rms")),
        "v_glob_six": over(SIX, lambda s: path(s, "v_glob", "rms")),
        "v_glob_mamba2": over(MAMBA2, lambda s: path(s, "v_glob", "rms")),
        "grow_attention": depth_slope("attention", "v_glob", True),
        "grow_ssm": depth_slope("ssm", "v_glob", True),
        "early_most": number(most_alike(SIX, "early"), 2),
        "late_most": number(most_alike(MAMBA2, "late"), 2),
        "dropped": f"{drops([*SIX, *MAMBA2])} of 9",
    }
