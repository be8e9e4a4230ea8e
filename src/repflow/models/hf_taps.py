"""Hugging Face's own `output_hidden_states` list, expressed as taps (METHODS 1: `--sites hf`)."""

from typing import Any

from torch import Tensor

from repflow.core import Site, Tap
from repflow.models._recording import recorded
from repflow.models.probing import same_state


def find_hf_taps(trunk: Any, prefix: str, taps: tuple[Tap, ...], input_ids: Tensor) -> tuple[tuple[Tap, ...], str]:
    """The sites `hf.0` .. `hf.n` of depth l/n, and why there are none where there are none.

    Runs the trunk once and looks, for each entry of its list in turn, for the site that holds the same bits.
    """
    names = {tap.module: tap.module.removeprefix(f"{prefix}.") if prefix else tap.module for tap in taps}
    listed: list[Tensor] = []

    def run() -> None:
        output = trunk(input_ids=input_ids, use_cache=False, output_hidden_states=True)
        listed.extend(getattr(output, "hidden_states", None) or ())

    calls = {call.name: call for call in recorded(trunk, names.values(), run)}
    if len(listed) < 2:
        return (), "the model returns no list of hidden states"
    found: list[Tap] = []
    position = 0
    for entry, state in enumerate(listed):
        for i in range(position, len(taps)):
            call = calls[names[taps[i].module]]
            if same_state(call.given if taps[i].where == "input" else call.made, state):
                break
        else:
            return (), f"entry {entry} of the model's list of hidden states equals none of its sites"
        site = Site(f"hf.{entry}", entry, entry / (len(listed) - 1))
        found.append(Tap(site, taps[i].module, taps[i].where))
        position = i + 1
    return tuple(found), ""
