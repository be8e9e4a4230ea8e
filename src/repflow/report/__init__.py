"""A run directory -> one self-contained HTML report, figures for papers, and plotly figures for notebooks."""

from repflow.report.plots import Plots
from repflow.report.write import write_figures, write_report

__all__ = ["Plots", "write_figures", "write_report"]
