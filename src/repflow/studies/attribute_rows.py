"""The tables of an attribution run, from the rows of its flow and the replicates behind them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repflow.core.attribution_records import SchemeRow, ShareRow
from repflow.store import third_means, usable_units
from repflow.studies._rows import Tables
from repflow.studies.attribute_settings import METRIC
from repflow.studies.attribute_share import Case, Share, share_of

if TYPE_CHECKING:
    import pandas as pd

Draws = Mapping[str, Mapping[str, Sequence[str]]]
"""Trained subject -> scheme -> the labels of its draws."""

_CELL = ["task", "context", "variant", "tokens"]


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

    def drawn(self, labels: Sequence[str], rest: tuple[Any, ...]) -> list[int]:
        """The lines of a scheme's draws; those that were left out are not among them."""
        return [self.places[(label, *rest)] for label in labels if (label, *rest) in self.places]


def share_rows(tables: Tables, families: Mapping[str, str], draws: Draws) -> list[ShareRow]:
    """A row for every third of depth, variant, policy, task and context of each subject and scheme."""
    found = third_means(_frame(tables), {"layers": _replicates(tables)}, METRIC)
    assert found.replicates is not None
    lines = Lines.of(found.frame, found.replicates, "third")
    return [
        _share_row(families[subject], scheme, lines.frame.iloc[trained], share_of(_case(lines, trained, random)))
        for subject, scheme, trained, random in _pairs(lines, draws)
    ]


def scheme_rows(tables: Tables, families: Mapping[str, str], draws: Draws) -> list[SchemeRow]:
    """A row for every site, variant, policy, task and context of each subject and scheme: the mean over its seeds."""
    lines = Lines.of(_frame(tables), _replicates(tables), "site")
    return [
        _scheme_row(families[subject], scheme, lines.frame.iloc[trained], _case(lines, trained, random))
        for subject, scheme, trained, random in _pairs(lines, draws)
    ]


def _frame(tables: Tables) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame([{name: getattr(row, name) for name in row.__slots__} for row in tables.layers])


def _replicates(tables: Tables) -> np.ndarray:
    return np.stack(tables.layer_replicates).astype(np.float64)


def _pairs(lines: Lines, draws: Draws) -> Iterator[tuple[str, str, int, list[int]]]:
    """Subject, scheme, the line of the trained weights, those of the draws; schemes without a draw are left out."""
    for (label, *rest), trained in lines.places.items():
        for scheme, labels in draws.get(label, {}).items():
            random = lines.drawn(labels, tuple(rest))
            if random:
                yield label, scheme, trained, random


def _case(lines: Lines, trained: int, random: list[int]) -> Case:
    values = lines.frame["value"].to_numpy(dtype=float)
    n = int(lines.units[[trained, *random]].min())
    return Case(values[trained], lines.replicates[trained], values[random], lines.replicates[random], n)


def _share_row(family: str, scheme: str, line: "pd.Series", found: Share) -> ShareRow:
    spans = {"trained": found.trained, "random": found.random, "difference": found.difference, "share": found.share}
    ends: dict[str, Any] = {
        f"{name}{end}": v for name, span in spans.items() for end, v in zip(_ENDS, span, strict=True)
    }
    return ShareRow(
        **_about(family, scheme, line),
        third=str(line["third"]),
        **ends,
        seeds=found.seeds,
        seed_spread=found.seed_spread,
        n_examples=int(line["n_examples"]),
        verdict=found.verdict,
        reason=found.reason,
    )


_ENDS = ("", "_low", "_high")


def _scheme_row(family: str, scheme: str, line: "pd.Series", case: Case) -> SchemeRow:
    found = share_of(case)
    value, low, high = found.random
    return SchemeRow(
        **_about(family, scheme, line),
        site=str(line["site"]),
        site_index=int(line["site_index"]),
        depth=float(line["depth"]),
        value=value,
        ci_low=low,
        ci_high=high,
        seeds=found.seeds,
        n_examples=int(line["n_examples"]),
    )


def _about(family: str, scheme: str, line: "pd.Series") -> dict[str, Any]:
    return {
        "subject": str(line["subject"]),
        "family": family,
        "task": str(line["task"]),
        "context": int(line["context"]),
        "metric": METRIC,
        "variant": str(line["variant"]),
        "tokens": str(line["tokens"]),
        "scheme": scheme,
    }
