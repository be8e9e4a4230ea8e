"""A run as one self-contained HTML file: nothing is loaded from anywhere when it opens."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from repflow.drawing.labels import number
from repflow.drawing.marks import mark
from repflow.drawing.source import RunLike, Source
from repflow.drawing.style import BELOW_ZERO, CIVIDIS
from repflow.drawing.svg import text_colour
from repflow.report import lead
from repflow.report.answers import folded
from repflow.report.packing import packed, packed_library, script_json, shown
from repflow.report.page import Page
from repflow.report.reading import read_all
from repflow.store import write_file


def write(run: RunLike, path: Path | None) -> Path:
    """Write the report and return its path; the file appears whole or not at all."""
    parts = read_all(run)
    target = path or parts[0][1].directory / "report.html"
    write_file(target, render(parts).encode("utf-8", "backslashreplace"))
    return target


def render(parts: Sequence[tuple[str, Source]]) -> str:
    """The report's HTML: of one run, or of one and the runs inside it."""
    page = Page(parts)
    environment = Environment(
        loader=PackageLoader("repflow.report"), autoescape=True, undefined=StrictUndefined, finalize=shown
    )
    environment.filters["number"] = number
    environment.filters["mark"] = lambda style: Markup(mark(style))
    environment.filters["text_colour"] = text_colour
    environment.filters["folded"] = folded
    main, more = page.answers
    return environment.get_template("report.html.j2").render(
        page=page,
        title=parts[0][1].directory.resolve().name,
        heading=lead.heading(parts, page.subjects),
        summary=lead.summary(parts, page.subjects),
        warned=lead.warned(parts),
        answers=main,
        more=more,
        gradient=", ".join(CIVIDIS),
        cividis=Markup(script_json(CIVIDIS)),
        below_zero=BELOW_ZERO,
        head=Markup(script_json(page.head)),
        overview=packed(script_json(page.overview_data)),
        data={section.id: packed(script_json(section.data)) for section in page.sections},
        plotly=packed_library(get_plotlyjs()),
    )
