"""What reading long prompts for probes takes in memory, beside bare forward passes over them one after another."""

import argparse
from collections.abc import Callable

import torch
from common import SUBJECT, extra_mib, in_own_process

from repflow.core.places import parse_places
from repflow.engines.features import read_states
from repflow.models import load
from repflow.studies.probe.reading import probe_assignments, probe_reader, read_examples, speaker
from repflow.studies.probe.settings import probe_settings


def main() -> None:
    args = arguments()
    if args.only:
        print(extra_mib(work(args)))
        return
    more = ("--subject", args.subject, "--context", str(args.context))
    print(f"{args.subject}, prompts of {args.context} tokens: peak memory over the loaded model")
    for n in args.prompts:
        rise = {v: in_own_process(__file__, v, *more, "--prompts", str(n)) for v in ("bare", "states", "answers")}
        print(f"{n:3d} prompts   " + ", ".join(f"{variant} {mib:.0f} MiB" for variant, mib in rise.items()))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subject", default=SUBJECT)
    parser.add_argument("--context", type=int, default=4000)
    parser.add_argument("--prompts", type=int, nargs="+", default=[5, 15])
    parser.add_argument("--only", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def work(args: argparse.Namespace) -> Callable[[], None]:
    """What one variant does, its model loaded and its prompts made."""
    settings = probe_settings(
        (args.subject,),
        {"task": "kvpr", "context": args.context, "examples": 50, "generate": args.only == "answers", "new_tokens": 8},
    )
    subject = load(args.subject)
    reader, places = probe_reader(subject, settings), parse_places(settings.probing.places)
    reading = read_examples(0, probe_assignments(settings)[0], subject, settings, places, print)
    prompts = reading.examples[: args.prompts[0]]

    def bare() -> None:
        for prompt in prompts:
            subject.forward(torch.tensor([prompt.ids]))

    def states() -> None:
        read_states(reader, prompts, places, subject.facts.width)

    def answers() -> None:
        speak = speaker(subject, reading, settings.probing.new_tokens, print)
        read_states(reader, prompts, places, subject.facts.width, speak)

    return {"bare": bare, "states": states, "answers": answers}[args.only]


if __name__ == "__main__":
    main()
