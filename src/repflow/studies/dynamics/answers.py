"""How fast state-space blocks forget, what the bounds say, how far influence reaches: sentences for a page's top."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from repflow.drawing.labels import estimate, number
from repflow.drawing.source import Source, Subject, in_scene, where
from repflow.studies.dynamics.frames import Dynamics
from repflow.studies.kit.saying import Value, care, command, few, key, names, spread
from repflow.studies.kit.study import Answer

HALF = 0.5
_ABOUT = ("subject", "task", "context")


def answers(source: Source) -> list[Answer]:
    """Of the first task and context; none of a run without dynamics."""
    found: Dynamics | None = source.parts.get("dynamics")
    if found is None or not found.scenes:
        return []
    scene = found.scenes[0]
    known = {subject.label: subject for subject in source.subjects}
    tables = (found.transitions, found.bounds, found.influence, found.recency)
    transitions, bounds, influence, recency = (in_scene(table, scene) for table in tables)
    made = [*_forgetting(known, transitions), *_bounds(known, bounds), *_reach(source, known, influence, recency)]
    return [*made, care(_care(scene.title))]


def _forgetting(known: Mapping[str, Subject], transitions: pd.DataFrame) -> Iterator[Answer]:
    """The blocks of shortest and of longest half-life."""
    lives = where(transitions, quantity="half_life", statistic="q50")
    if lives.empty:
        yield Answer("No state-space block, so no forgetting", "No subject of this run has a state that transitions.")
        return
    ends: list[tuple[Subject, pd.Series, pd.Series]] = []
    for label, rows in lives.groupby("subject", sort=False):
        if str(label) in known and rows["value"].notna().any():
            order = rows.sort_values("value", kind="stable")
            ends.append((known[str(label)], order.iloc[0], order.iloc[-1]))
    if not ends:
        return
    shortest, low = spread([_tokens(subject, row) for subject, row, _ in ends])
    longest, high = spread([_tokens(subject, row) for subject, _, row in ends])
    evidence = f"Tokens until half of a state is left, in the fastest block: {shortest}; in the slowest: {longest}."
    limits = "; ".join(filter(None, (low and f"fastest, {low}", high and f"slowest, {high}")))
    none = [subject for label, subject in known.items() if label not in {each.label for each, _, _ in ends}]
    more = f" No state-space block in {names(none, len(known))}." if none else ""
    whole = [each["value"] for _, row, other in ends for each in (row, other)]
    headline = f"States halve in {number(min(whole), 2)} to {number(max(whole), 2)} tokens"
    small = f"{limits}. The extremes are of the estimates; medians over tokens, channels and states."
    keys = [_key(row, "transitions", "site", "quantity", "statistic") for _, a, b in ends for row in (a, b)]
    yield Answer(headline, f"{evidence}{more}", "", small.lstrip(". "), keys)


def _tokens(subject: Subject, row: pd.Series) -> Value:
    value, limits = estimate(row["value"], row["ci_low"], row["ci_high"])
    value = value if math.isfinite(row["value"]) else "∞"
    return Value(subject, float(row["value"]), value, limits, f"in {row['site']}")


def _bounds(known: Mapping[str, Subject], bounds: pd.DataFrame) -> Iterator[Answer]:
    """Where the bound on a state says nothing, and how loose it is elsewhere."""
    rho = where(bounds, name="rho")
    rho = rho[rho["subject"].isin(list(known))]
    if rho.empty:
        return
    states = where(bounds, name="state_norm_by_unit")
    states = states[states["subject"].isin(list(known))]
    vacuous = int(rho["vacuous"].astype(bool).sum())
    held = states[~states["vacuous"].astype(bool) & states["ratio"].map(math.isfinite)]
    keys = [_key(row, "bounds", "site", "name", "tokens") for _, row in rho.iterrows()]
    whose = [known[label] for label in dict.fromkeys(rho.loc[rho["vacuous"].astype(bool), "subject"])]
    if vacuous == len(rho):
        headline = "The contraction bound says nothing"
    elif vacuous:
        headline = f"The contraction bound is vacuous in {vacuous} of {len(rho)} blocks"
    else:
        headline = "The contraction bound says something in every block"
    evidence = f"The largest transition is above 1 − 10⁻⁶ in {vacuous} of {len(rho)} blocks"
    evidence += f" ({names(whose, len(known))})." if vacuous else "."
    loosest = _loosest(known, held)
    if loosest:
        evidence += f" In its tightest block it allows a state this many times the largest measured: {loosest}."
    least = rho.assign(left=1 - rho["measured"]).sort_values("left", kind="stable").iloc[0]
    small = (
        f"Least 1 − rho: {number(float(least['left']), 2)} in {least['site']} of {known[least['subject']].short}. "
        "Largest values over all tokens read: no interval. A bound on the state, not on the block."
    )
    yield Answer(headline, evidence, "", small, keys)


def _loosest(known: Mapping[str, Subject], held: pd.DataFrame) -> str:
    """Of each subject the block whose bound is the closest."""
    if held.empty:
        return ""
    rows = held.sort_values("ratio", kind="stable").drop_duplicates("subject")
    return spread(
        [
            Value(known[row["subject"]], row["ratio"], f"{number(row['ratio'], 2)}×", "", f"in {row['site']}")
            for row in rows.to_dict("records")
        ]
    )[0]


def _reach(
    source: Source, known: Mapping[str, Subject], influence: pd.DataFrame, recency: pd.DataFrame
) -> Iterator[Answer]:
    """Within how many tokens half of the influence lies, and how fast it falls with distance."""
    influence, recency = (frame[frame["subject"].isin(list(known))] for frame in (influence, recency))
    if influence.empty or influence["distance"].max() < 1:
        evidence = "This run measured no influence; gradients from the last block to the embeddings tell."
        told = command(source, "dynamics", few(source.subjects))
        yield Answer("How far influence reaches is not measured", evidence, told)
        return
    groups = [(known[str(label)], rows) for label, rows in influence.groupby("subject", sort=False) if len(rows) > 1]
    halves = [_half(subject, rows) for subject, rows in groups]
    told, _ = spread(halves)
    own = [_own(subject, rows) for subject, rows in groups]
    itself, _ = spread([each for each in own if each is not None])
    slopes = [
        Value.of(known[row["subject"]], row["slope"], row["ci_low"], row["ci_high"])
        for row in recency.to_dict("records")
        if math.isfinite(row["ci_low"])
    ]
    falling, limits = spread(slopes) if slopes else ("", "")
    evidence = f"Of the influence that earlier tokens have on a token's last state, half comes from within: {told}."
    evidence += f" Share of all influence that is the token's own: {itself}." if itself else ""
    if falling:
        evidence += f" Slope of log influence against log distance (−1: twice as far, half as much): {falling}."
    else:
        evidence += " No slope is told: too few units make an interval."
    reach = int(recency["reach"].max()) if len(recency) else int(influence["distance_to"].max())
    farthest, nearest = max(halves, key=lambda v: v.value), min(halves, key=lambda v: v.value)
    same = farthest.text == nearest.text
    within = nearest.text if same else f"{nearest.text} to {farthest.text}"
    headline = f"Half of earlier tokens' influence is within {within}"
    small = f"Distances up to {reach} tokens; squared gradients at sampled tokens. Slopes: {limits}".strip()
    keys = [_key(row, "recency") for _, row in recency.iterrows()]
    yield Answer(headline, evidence, "", small, keys)


def _half(subject: Subject, rows: pd.DataFrame) -> Value:
    """The end of the first bin of distances by which half of the influence of earlier tokens has come."""
    order = rows[rows["distance"] > 0].sort_values("distance", kind="stable")
    past = order[order["share"].cumsum() >= HALF * order["share"].sum()]
    end = int((past if len(past) else order.iloc[-1:])["distance_to"].iloc[0])
    return Value(subject, float(end), str(end))


def _own(subject: Subject, rows: pd.DataFrame) -> Value | None:
    """The share of distance 0."""
    here = rows[rows["distance"] == 0]
    if here.empty or len(rows) == 1:
        return None
    row = here.iloc[0]
    return Value.of(subject, row["share"], row["share_low"], row["share_high"])


def _key(row: "pd.Series", table: str, *more: str) -> dict[str, Any]:
    return key(table, dict(row), (*_ABOUT, *more))


def _care(title: str) -> str:
    return (
        f"Dynamics: {title}, one training a model. Forgetting of a state is not forgetting of the block: the skip, the "
        "gate, the convolution and the residual stream carry tokens around it."
    )
