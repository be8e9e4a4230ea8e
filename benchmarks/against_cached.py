"""repflow against the same metrics from cached hidden states: torch-cka for CKA, plain torch for the rest."""

import time

import torch
from cached import cache_states, path_metrics, site_metrics, token_cka
from common import METRICS, OPTIONS, arguments, extra_mib, in_own_process, spread, subject, synchronise

from repflow.engines.shard import make_batch, measure


def main() -> None:
    args = arguments(__doc__ or "", rounds=7)
    reader, examples, calibration = subject(args)
    ids = make_batch(reader, examples[:1], OPTIONS)[0]
    taps = [(reader.model.get_submodule(tap.module), tap.where) for tap in reader.taps]
    moments = list(zip(calibration.means, calibration.inverses, strict=True))

    def bare() -> None:
        with torch.inference_mode():
            reader.forward(ids)

    def streamed() -> None:
        measure(reader, examples[:1], METRICS, OPTIONS, calibration)

    def from_cache() -> None:
        states = cache_states(reader.model.base_model, ids, taps)
        with torch.inference_mode():
            for keeps in policies(states):
                site_metrics(states, keeps, moments)
                every = torch.stack(keeps).all(0)
                path_metrics(states, every)
                token_cka(states, every)

    variants = {"bare": bare, "streamed": streamed, "cached": from_cache}
    if args.only:
        print(extra_mib(variants[args.only]))
        return

    def seconds(name: str) -> float:
        synchronise(reader)
        start = time.perf_counter()
        variants[name]()
        synchronise(reader)
        return time.perf_counter() - start

    for name in variants:
        seconds(name)
    rounds = [{name: seconds(name) for name in variants} for _ in range(args.rounds)]
    print(
        f"{args.subject}, {args.tokens} tokens, {reader.device}, {torch.get_num_threads()} threads, {args.rounds} times"
    )
    for name in variants:
        print(f"{name:10s} {spread([r[name] for r in rounds])} s")
    cost = {name: [r[name] - r["bare"] for r in rounds] for name in ("streamed", "cached")}
    print(f"beyond the forward: streamed {spread(cost['streamed'])} s, cached {spread(cost['cached'])} s")
    print(f"cached / streamed, whole    {spread([r['cached'] / r['streamed'] for r in rounds])}")
    times = [c / s for c, s in zip(cost["cached"], cost["streamed"], strict=True) if s > 0]
    print(f"cached / streamed, beyond the forward {spread(times)}")
    extra = ("--subject", args.subject, "--tokens", str(args.tokens))
    peaks = {name: in_own_process(__file__, name, *extra) for name in variants}
    more = {name: peaks[name] - peaks["bare"] for name in ("streamed", "cached")}
    print(f"peak memory beyond the bare forward: streamed {more['streamed']:.0f} MiB, cached {more['cached']:.0f} MiB")


def policies(states: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Tokens that count at every site: all, and those of a norm within ten medians."""
    everything = [torch.ones(len(h), dtype=torch.bool) for h in states]
    norms = [h.norm(dim=-1) for h in states]
    return [everything, [n <= 10 * n.median() for n in norms]]


if __name__ == "__main__":
    main()
