"""Figures and tables for papers: every panel of the page, drawn by matplotlib, the same bytes every time."""

import io
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

from repflow.core import BadFile, BadSetting, unknown, visible
from repflow.drawing.labels import slug
from repflow.drawing.panel import Cell, Panel, Section, View
from repflow.drawing.paper import ONE_COLUMN, drawn, look
from repflow.drawing.plotly import Figure
from repflow.drawing.source import RunLike, Source
from repflow.report.reading import read_all, speaking
from repflow.store import FIGURE_LIST, told_units, write_file
from repflow.studies import catalogue
from repflow.studies.kit.study import Study

FORMATS = ("pdf", "png", "svg")
CAPTIONS = "captions.md"
_METADATA = {
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}
_NARROWEST, _WIDEST = 40.0, 400.0


@dataclass(frozen=True)
class Wanted:
    """Which figures are written, and how wide."""

    only: str | None = None
    """The name of one panel."""
    variant: str | None = None
    tokens: str | None = None
    width_mm: float = ONE_COLUMN

    def __post_init__(self) -> None:
        if not _NARROWEST <= self.width_mm <= _WIDEST:
            raise BadSetting(f"--width-mm must be {_NARROWEST:g} to {_WIDEST:g}, got {self.width_mm:g}")


@dataclass(frozen=True)
class Printed:
    """One figure of a panel."""

    section: Section
    panel: Panel
    view: View
    cell: Cell
    spec: Figure
    name: str
    """Of its file."""
    units: str
    """What its intervals rest on."""

    def caption(self) -> str:
        """What is seen, of which tokens, resting on what."""
        of = self.cell.full if len(self.panel.cells) > 1 else ""
        at = self.view.scene.title if self.section.by_scene and self.view.scene else ""
        where = ", ".join(filter(None, (self.section.title, at, of, self.view.choice, f"tokens: {self.view.tokens}")))
        told = " ".join(filter(None, (self.panel.texts.meaning, self.view.said)))
        return visible(f"**{self.name}.** {self.panel.title}: {where}. {told} 95% intervals. {self.units}".strip())


def write(run: RunLike, formats: tuple[str, ...], directory: Path | None, wanted: Wanted) -> list[Path]:
    """Draw and save the figures, their captions and the tables; the paths written, in order."""
    if not formats or set(formats) - set(FORMATS):
        raise BadSetting(f"figure formats {', '.join(formats) or 'none'} given; choose from {', '.join(FORMATS)}")
    parts = read_all(run)
    folder = directory or _own_folder(parts[0][1].directory)
    files: dict[str, bytes] = {}
    captions: list[str] = []
    with look(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        for printed in _printed(parts, wanted):
            title = printed.cell.caption if len(printed.panel.cells) > 1 else ""
            fig = drawn(printed.spec, wanted.width_mm, title)
            captions.append(printed.caption())
            for extension in dict.fromkeys(formats):
                stream = io.BytesIO()
                fig.savefig(stream, format=extension, metadata=_METADATA[extension])
                files[f"{printed.name}.{extension}"] = stream.getvalue()
    if captions:
        files[CAPTIONS] = "\n\n".join([*captions, ""]).encode("utf-8", "backslashreplace")
    if wanted.only is None:
        files |= {
            f"{_before(name)}{file}": text.encode()
            for name, source in parts
            for study in catalogue.STUDIES
            for file, text in study.files(source).items()
        }
    for name, data in files.items():
        write_file(folder / name, data)
    if directory is None:
        write_file(folder / FIGURE_LIST, json.dumps(sorted(files)).encode())
    return [folder / name for name in files]


def _before(part: str) -> str:
    """What stands before the names of a part's files."""
    return f"{slug(part)}_" if part else ""


def _printed(parts: Sequence[tuple[str, Source]], wanted: Wanted) -> Iterator[Printed]:
    """The figures of a run and of the runs inside it. Raises as `figures_of`, for what none of them has."""
    if len(parts) == 1:
        yield from figures_of(parts[0][1], wanted)
        return
    held = [(name, source, speaking(parts, source)) for name, source in parts]
    found = [panel for _, source, studies in held for panel in _drawn_panels(source, studies)]
    _check_panel(found, wanted)
    _check([pair for pair in found if wanted.only in (None, pair[1].key)], wanted)
    for name, source, studies in held:
        for printed in _figures(source, _drawn_panels(source, studies), wanted):
            yield replace(printed, name=f"{_before(name)}{printed.name}")


def _own_folder(run: Path) -> Path:
    """The folder in the run directory. Raises BadFile for a link, behind which other files would be replaced."""
    folder = run / "figures"
    if folder.is_symlink():
        raise BadFile(
            f"{folder} is a link, needed a folder of the run; put one in its place, or give another with --out"
        )
    return folder


def figures_of(source: Source, wanted: Wanted) -> Iterator[Printed]:
    """The figures of a run in the order of the page. Raises UnknownName for a panel, variant or policy it has not."""
    found = _drawn_panels(source, catalogue.STUDIES)
    _check_panel(found, wanted)
    _check([(section, panel) for section, panel in found if wanted.only in (None, panel.key)], wanted)
    yield from _figures(source, found, wanted)


def _check_panel(found: Sequence[tuple[Section, Panel]], wanted: Wanted) -> None:
    if wanted.only is not None and wanted.only not in {panel.key for _, panel in found}:
        raise unknown("figure", wanted.only, {panel.key for _, panel in found})


def _figures(source: Source, found: Sequence[tuple[Section, Panel]], wanted: Wanted) -> Iterator[Printed]:
    units = " ".join(f"{line}." for line in told_units(source.info))
    taken: set[str] = set()
    for section, panel in found:
        if wanted.only not in (None, panel.key):
            continue
        for view in _views(section, panel, wanted):
            for place, cell in enumerate(panel.cells):
                if spec := view.figures[place] if view.figures else None:
                    name = _name(section, panel, view, cell, wanted)
                    name = next(each for each in chain([name], (f"{name}-{n}" for n in count(2))) if each not in taken)
                    taken.add(name)
                    yield Printed(section, panel, view, cell, spec, name, units)


def _drawn_panels(source: Source, studies: Sequence[Study]) -> list[tuple[Section, Panel]]:
    return [
        (section, panel)
        for study in sorted(studies, key=lambda each: each.common)
        for section in study.sections(source)
        for panel in section.panels
        if any(any(view.figures) for view in panel.views)
    ]


def panel_names(source: Source) -> list[str]:
    """The panels with figures, in the order of the page."""
    return list(dict.fromkeys(panel.key for _, panel in _drawn_panels(source, catalogue.STUDIES)))


def _check(kept: Sequence[tuple[Section, Panel]], wanted: Wanted) -> None:
    views = [view for _, panel in kept for view in panel.views]
    for kind, given, known in (
        ("token policy", wanted.tokens, {view.tokens for view in views}),
        ("variant", wanted.variant, {view.choice for view in views if view.choice}),
    ):
        if given is not None and given not in known:
            raise unknown(kind, given, known)


def _views(section: Section, panel: Panel, wanted: Wanted) -> list[View]:
    """The first of a panel at each task and context, or those asked for; elsewhere every choice."""
    tokens = wanted.tokens if wanted.tokens in {view.tokens for view in panel.views} else panel.views[0].tokens
    here = [view for view in panel.views if view.tokens == tokens]
    asked = [view for view in here if view.choice == wanted.variant]
    firsts = {view.scene: view for view in reversed(here)}
    return asked or (list(firsts.values())[::-1] if section.by_scene else here)


def _name(section: Section, panel: Panel, view: View, cell: Cell, wanted: Wanted) -> str:
    parts = [panel.key]
    if len(panel.cells) > 1:
        parts.append(slug(f"{cell.caption} {cell.note}".strip()))
    if view.choice and (not section.by_scene or wanted.variant is not None):
        parts.append(slug(view.choice))
    if wanted.tokens is not None:
        parts.append(slug(view.tokens))
    at = view.scene if section.by_scene else None
    return "_".join([*parts, *([f"{slug(at.task)}-{at.context}"] if at else [])])
