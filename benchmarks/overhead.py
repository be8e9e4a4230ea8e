"""What all streaming metrics, at all sites, with intervals, add to the bare forward pass."""

import time
from collections.abc import Callable

import torch
from common import METRICS, OPTIONS, arguments, extra_mib, in_own_process, spread, subject, synchronise

from repflow.engines.shard import make_batch, measure

MEMORY_EXAMPLES = (1, 8)


def main() -> None:
    args = arguments(__doc__ or "", rounds=15)
    reader, examples, calibration = subject(args)
    ids = [make_batch(reader, [example], OPTIONS)[0] for example in examples]

    def bare() -> None:
        with torch.inference_mode():
            for row in ids:
                reader.forward(row)

    def full() -> None:
        measure(reader, examples, METRICS, OPTIONS, calibration)

    if args.only:
        print(extra_mib({"bare": bare, "full": full}[args.only]))
        return

    def seconds(work: Callable[[], None]) -> float:
        synchronise(reader)
        start = time.perf_counter()
        work()
        synchronise(reader)
        return time.perf_counter() - start

    seconds(bare), seconds(full)
    pairs = [(seconds(bare), seconds(full)) for _ in range(args.rounds)]
    print(
        f"{args.subject}, {args.tokens} tokens, {reader.device}, {torch.get_num_threads()} threads, {args.rounds} pairs"
    )
    print(f"bare forward (no logits)   {spread([bare for bare, _ in pairs])} s")
    print(f"with all metrics           {spread([full for _, full in pairs])} s")
    print(f"ratio of each pair         {spread([full / bare for bare, full in pairs])}")
    site = args.tokens * reader.model.config.hidden_size * 4 / 2**20
    for n in MEMORY_EXAMPLES:
        extra = ("--subject", args.subject, "--tokens", str(args.tokens), "--examples", str(n), "--dtype", args.dtype)
        rise = {only: in_own_process(__file__, only, *extra) for only in ("bare", "full")}
        more = rise["full"] - rise["bare"]
        print(
            f"peak memory over the loaded model, {n} example(s)   bare {rise['bare']:.0f} MiB, with metrics "
            f"{rise['full']:.0f} MiB: {more:+.0f} MiB = {more / site:.1f} sites of float32 states"
        )


if __name__ == "__main__":
    main()
