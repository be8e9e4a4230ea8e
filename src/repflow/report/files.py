"""Figures for papers, by matplotlib: the report's colours, vector or 300 dpi, the same bytes every time."""

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from repflow.core import BadFile, BadSetting
from repflow.drawing.source import RunLike, Source
from repflow.drawing.style import GRID, INK
from repflow.report.reading import read
from repflow.store import write_file
from repflow.studies.catalogue import STUDIES

FORMATS = ("pdf", "png", "svg")
_METADATA = {
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}
_LOOK: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.edgecolor": "#777777",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "grid.color": GRID,
    "pdf.fonttype": 42,
    "svg.hashsalt": "repflow",
    "savefig.dpi": 300,
    "text.usetex": False,
}


def write(run: RunLike, formats: tuple[str, ...], directory: Path | None) -> list[Path]:
    """Draw and save every figure, and the tables of probe and attribution runs; the paths written, in order."""
    if not formats or set(formats) - set(FORMATS):
        raise BadSetting(f"figure formats {', '.join(formats) or 'none'} given; choose from {', '.join(FORMATS)}")
    source = read(run)
    folder = directory or _own_folder(source.directory)
    written: list[Path] = []
    with mpl.rc_context(_LOOK), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        for name, fig in figures_of(source):
            for extension in dict.fromkeys(formats):
                path = folder / f"{name}.{extension}"
                drawn = io.BytesIO()
                fig.savefig(drawn, format=extension, bbox_inches="tight", metadata=_METADATA[extension])
                write_file(path, drawn.getvalue())
                written.append(path)
    tables = {name: text for study in STUDIES for name, text in study.files(source).items()}
    for name, text in tables.items():
        write_file(folder / name, text.encode())
        written.append(folder / name)
    return written


def _own_folder(run: Path) -> Path:
    """The folder in the run directory. Raises BadFile for a link, behind which other files would be replaced."""
    folder = run / "figures"
    if folder.is_symlink():
        raise BadFile(
            f"{folder} is a link, needed a folder of the run; put one in its place, or give another with --out"
        )
    return folder


def figures_of(source: Source) -> Iterator[tuple[str, Figure]]:
    """Every figure of a run, with the name of its file."""
    for study in STUDIES:
        yield from study.figures(source)
