"""Hugging Face's own `output_hidden_states` list, expressed as taps (METHODS 1: `--sites hf`)."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from repflow.core import Site, Tap
from repflow.models.finding import same_state


def match_hf_taps(
    listed: Sequence[Tensor], states: Mapping[str, Tensor], taps: tuple[Tap, ...]
) -> tuple[tuple[Tap, ...], str]:
    """The sites `hf.0` .. `hf.n` of depth l/n, and why there are none where there are none.

    `listed` is the model's list, `states` what its sites held in the same run. Each entry in turn is looked for among
    the sites after the one before it, and must hold the same values.
    """
    if len(listed) < 2:
        return (), "the model returns no list of hidden states"
    found: list[Tap] = []
    rest = iter(taps)
    for entry, state in enumerate(listed):
        tap = next((tap for tap in rest if same_state(states.get(tap.site.name), state)), None)
        if tap is None:
            return (), f"entry {entry} of the model's list of hidden states equals none of its sites"
        site = Site(f"hf.{entry}", entry, entry / (len(listed) - 1), tap.site.is_final_norm)
        found.append(Tap(site, tap.module, tap.where))
    return tuple(found), ""
