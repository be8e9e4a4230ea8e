"""The claims table as files: every column as CSV, and for a paper as LaTeX."""

from typing import TYPE_CHECKING

from repflow.drawing.latex import latex
from repflow.drawing.source import Source
from repflow.store import csv_text
from repflow.studies.paper.frames import ALTERNATIVES, lines
from repflow.studies.paper.texts import PAPER

if TYPE_CHECKING:
    import pandas as pd


def claims_files(source: Source) -> dict[str, str]:
    """The table by file name, beside the figures for papers."""
    claims: pd.DataFrame | None = source.parts.get("paper")
    if claims is None:
        return {}
    return {"claims.csv": csv_text(claims), "claims.tex": latex_table(claims)}


def latex_table(claims: "pd.DataFrame") -> str:
    """The table for a paper, with booktabs: a line a statistic."""
    titles = ("Claim", "Statistic", "Must be", "Of", "Task", "Verdict", "Models", *(title for _, title in ALTERNATIVES))
    body = [
        [
            line.claim,
            line.about["statistic"],
            line.about["rule"],
            line.kind,
            line.where,
            line.about["verdict"],
            line.about["models"],
            *(line.about[name] or "--" for name, _ in ALTERNATIVES),
        ]
        for line in lines(claims)
    ]
    head = [
        f"% Claims of {PAPER}: holds or fails in every model over its whole 95% interval, else undecided;",
        "% then the same with Hugging Face's list of hidden states, with all tokens, with centred states.",
        rf"\begin{{tabular}}{{l p{{6cm}} l l l l r {'l' * len(ALTERNATIVES)}}}",
        r"\toprule",
        " & ".join(map(latex, titles)) + r" \\",
        r"\midrule",
    ]
    rows = [" & ".join(cell if cell == "--" else latex(cell) for cell in map(str, row)) + r" \\" for row in body]
    return "\n".join([*head, *rows, r"\bottomrule", r"\end{tabular}", ""])
