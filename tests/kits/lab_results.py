"""The tables of docs/results/lab.md, made from the shipped runs: `python tests/kits/lab_results.py` prints them."""

from pathlib import Path
from typing import Any

from repflow.report.run import Run
from repflow.store import open_run
from repflow.studies.lab.findings import group_name

RUNS = Path(__file__).parents[2] / "studies" / "lab"
SHARES = {"kvpr 256": "kvpr, 256 (%)", "kvpr 512": "kvpr, 512 (%)"}
NUMBERS = {"text 256": "text (nats)"}
COSINES = {
    "early, raw": "early, raw",
    "late, raw": "late, raw",
    "early, centred": "early, centred",
    "late, centred": "late, centred",
}


def told(row: dict[str, Any] | None, scale: float, decimals: int) -> str:
    if row is None:
        return "–"
    value, low, high = (f"{scale * row[name]:.{decimals}f}" for name in ("mean", "ci_low", "ci_high"))
    return f"{value} [{low}, {high}]" if row["ci_low"] == row["ci_low"] else value


def table(name: str) -> list[str]:
    groups = Run.of(open_run(RUNS / name)).table("groups")
    present = set(groups["outcome"])
    kinds = [(SHARES, 100, 0), (NUMBERS, 1, 2), (COSINES, 1, 2)]
    shown = [(key, title, scale, dots) for kind, scale, dots in kinds for key, title in kind.items() if key in present]
    lines = [
        "| group | n | " + " | ".join(title for _, title, _, _ in shown) + " |",
        "|---|---|" + "---|" * len(shown),
    ]
    for (architecture, loss), rows in groups.groupby(["architecture", "loss"], sort=False):
        by = {str(row["outcome"]): row for row in rows.to_dict("records")}
        cells = [told(by.get(key), scale, dots) for key, _, scale, dots in shown]
        about = (group_name(str(architecture), str(loss)), str(rows["trainings"].max()))
        lines.append("| " + " | ".join([*about, *cells]) + " |")
    return lines


if __name__ == "__main__":
    for folder in sorted(RUNS.iterdir()):
        print(folder.name, *table(folder.name), sep="\n")
