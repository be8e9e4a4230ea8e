"""The tables of an attribution run, from the rows of its flow and the replicates behind them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repflow.store import usable_units
from repflow.studies.attribute.rows import SchemeRow, ShareRow
from repflow.studies.attribute.settings import METRIC
from repflow.studies.attribute.share import Case, Share, share_of
from repflow.studies.kit.record import Tables
from repflow.studies.kit.thirds import third_means

if TYPE_CHECKING:
    import pandas as pd

_CELL = ["task", "context", "variant", "tokens"]


@dataclass(frozen=True)
class Group:
    """A trained subject, or several trainings of one architecture, and their draws."""

    label: str
    family: str
    trained: Sequence[str]
    """Labels of the trainings."""
    draws: Mapping[str, Sequence[str]]
    """Scheme -> the labels of its draws."""


@dataclass(frozen=True)
class Lines:
    """Lines of one table with their replicates, found by what they are about."""

    frame: "pd.DataFrame"
    replicates: np.ndarray
    """[lines, B]"""
    places: Mapping[tuple[Any, ...], int]
    units: np.ndarray
    """[lines] resampling units that an interval may rest on."""

    @classmethod
    def of(cls, frame: "pd.DataFrame", replicates: np.ndarray, where: str) -> "Lines":
        """`where` is the column that says at which depth a line is: `third` or `site`."""
        keys = frame[["subject", *_CELL, where]].itertuples(index=False, name=None)
        places = {key: place for place, key in enumerate(keys)}
        return cls(frame.reset_index(drop=True), replicates, places, usable_units(frame))

    def of_labels(self, labels: Sequence[str], rest: tuple[Any, ...]) -> list[int]:
        """The lines of some subjects; those that were left out are not among them."""
        return [self.places[(label, *rest)] for label in labels if (label, *rest) in self.places]

    def line(self, trained: list[int], random: list[int]) -> "pd.Series":
        """The line of the first training, with the fewest examples of all."""
        found = self.frame.iloc[trained[0]].copy()
        found["n_examples"] = self.frame["n_examples"].iloc[[*trained, *random]].min()
        return found

    def case(self, trained: list[int], random: list[int]) -> Case:
        values = self.frame["value"].to_numpy(dtype=float)
        units = int(self.units[[*trained, *random]].min())
        return Case(values[trained], self.replicates[trained], values[random], self.replicates[random], units)


def share_rows(tables: Tables, groups: Sequence[Group]) -> list[ShareRow]:
    """A row for every third of depth, variant, policy, task and context of each group and scheme, by itself."""
    found = third_means(_frame(tables), {"layers": _replicates(tables)}, METRIC)
    assert found.replicates is not None
    lines = Lines.of(found.frame, found.replicates, "third")
    cases = ((*pair, lines.case(*pair[2:])) for pair in _pairs(lines, groups))
    return [
        _share_row(group, scheme, lines.line(trained, random), case, share_of(case))
        for group, scheme, trained, random, case in cases
    ]


def scheme_rows(tables: Tables, groups: Sequence[Group]) -> list[SchemeRow]:
    """A row for every site, variant, policy, task and context of each group and scheme: the mean over its draws."""
    lines = Lines.of(_frame(tables), _replicates(tables), "site")
    return [
        _scheme_row(group, scheme, lines.line(trained, random), lines.case(trained, random))
        for group, scheme, trained, random in _pairs(lines, groups)
    ]


def _frame(tables: Tables) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame([{name: getattr(row, name) for name in row.__slots__} for row in tables.layers])


def _replicates(tables: Tables) -> np.ndarray:
    return np.stack(tables.layer_replicates).astype(np.float64)


def _pairs(lines: Lines, groups: Sequence[Group]) -> Iterator[tuple[Group, str, list[int], list[int]]]:
    """Group, scheme, the lines of its trainings, those of the draws; schemes without a draw are left out."""
    for group in groups:
        first = group.trained[0]
        for rest in [key[1:] for key in lines.places if key[0] == first]:
            trained = lines.of_labels(group.trained, rest)
            for scheme, labels in group.draws.items():
                random = lines.of_labels(labels, rest)
                if random and len(trained) == len(group.trained):
                    yield group, scheme, trained, random


def _share_row(group: Group, scheme: str, line: "pd.Series", case: Case, found: Share) -> ShareRow:
    spans = {"trained": found.trained, "random": found.random, "difference": found.difference, "share": found.share}
    ends: dict[str, Any] = {
        f"{name}{end}": v for name, span in spans.items() for end, v in zip(_ENDS, span, strict=True)
    }
    return ShareRow(
        **_about(group, scheme, line),
        third=str(line["third"]),
        **ends,
        seeds=len(case.random),
        seed_spread=found.draw_spread,
        n_examples=int(line["n_examples"]),
        verdict=found.verdict.name,
        reason=found.verdict.reason,
        uncorrected=found.verdict.name,
        p=found.verdict.p,
        unit_error=found.unit_error,
        n_units=case.units,
        trainings=len(case.trained),
    )


_ENDS = ("", "_low", "_high")


def _scheme_row(group: Group, scheme: str, line: "pd.Series", case: Case) -> SchemeRow:
    value, low, high = case.mean_random.span
    return SchemeRow(
        **_about(group, scheme, line),
        site=str(line["site"]),
        site_index=int(line["site_index"]),
        depth=float(line["depth"]),
        value=value,
        ci_low=low,
        ci_high=high,
        seeds=len(case.random),
        n_examples=int(line["n_examples"]),
    )


def _about(group: Group, scheme: str, line: "pd.Series") -> dict[str, Any]:
    return {
        "subject": group.label,
        "family": group.family,
        "task": str(line["task"]),
        "context": int(line["context"]),
        "metric": METRIC,
        "variant": str(line["variant"]),
        "tokens": str(line["tokens"]),
        "scheme": scheme,
    }
