"""All probes of all sites at once, against a loop of the same protocol and against scikit-learn, site by site."""

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from common import spread
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional

from repflow.studies.probe.linear import Predictions, fit_probes


def main() -> None:
    args = arguments()
    data = made_up(args.sites, args.examples, args.width, args.classes)

    def repflow() -> np.ndarray:
        found = probed(data, args)
        assert found.control is not None
        return np.stack([found.predicted, found.control])

    design = probed(data.first_site(), args)
    variants: dict[str, Callable[[], np.ndarray]] = {
        "repflow": repflow,
        "adam loop": lambda: each_probe(data, design, lambda *probe: adam_loop(*probe, args.classes, args.device)),
        "scikit-learn": lambda: each_probe(data, design, scikit_learn),
    }
    print(
        f"{args.sites} sites, {args.examples} examples, width {args.width}, {args.classes} classes, "
        f"{args.seeds} splits with control tasks; {args.device}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    results = {name: run() for name, run in variants.items()}
    rounds = [{name: seconds(run) for name, run in variants.items()} for _ in range(args.rounds)]
    for name in variants:
        print(f"{name:12s} {spread([r[name] for r in rounds])} s")
    for name in ("adam loop", "scikit-learn"):
        print(f"{name} / repflow {spread([r[name] / r['repflow'] for r in rounds])}")
    report_accuracy(results, data, design)


@dataclass(frozen=True)
class Data:
    features: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def first_site(self) -> "Data":
        return Data(self.features[:1], self.labels, self.groups)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=32)
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--width", type=int, default=576)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--small", action="store_true", help="a check that it runs: 2 sites, 200 examples, width 64")
    args = parser.parse_args()
    if args.small:
        args.sites, args.examples, args.width, args.seeds, args.rounds = 2, 200, 64, 2, 2
    return args


def made_up(sites: int, examples: int, width: int, classes: int) -> Data:
    """Every group holds every class once. Classes come apart with depth; features go together as a model's do."""
    rng = np.random.default_rng(0)
    groups = np.arange(examples) // classes
    labels = np.arange(examples) % classes
    features = np.empty((sites, examples, width), dtype=np.float32)
    for s in range(sites):
        mix = np.linalg.qr(rng.normal(size=(width, width)))[0] * (1 / np.arange(1, width + 1) ** 0.5)[:, None]
        centres = rng.normal(size=(classes, width)) * 3 * s / sites / np.sqrt(width)
        features[s] = rng.normal(size=(examples, width)) @ mix + centres[labels] + rng.normal(size=width)
    return Data(features, labels, groups)


def probed(data: Data, args: argparse.Namespace) -> Predictions:
    options = {"classes": args.classes, "seeds": args.seeds, "device": args.device, "capacity": False}
    return fit_probes(data.features, data.labels, data.groups, **options)


def each_probe(data: Data, design: Predictions, fit: Callable[..., np.ndarray]) -> np.ndarray:
    """Classes [2, R, S, N], task and control, of one probe after another; -1 in training. Splits are given."""
    assert design.control_labels is not None
    predicted = np.full((2, len(design.train), *data.features.shape[:2]), -1)
    for r, train in enumerate(design.train):
        for t, labels in enumerate((data.labels, design.control_labels[r])):
            for s, site in enumerate(data.features):
                predicted[t, r, s, ~train] = fit(site[train], labels[train], site[~train])
    return predicted


def adam_loop(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, classes: int, device: str, epochs: int = 150
) -> np.ndarray:
    """The published protocol in plain torch."""
    x, unseen = torch.from_numpy(train).to(device), torch.from_numpy(test).to(device)
    y = torch.from_numpy(labels).to(device)
    mean, std = x.mean(0), x.std(0, correction=0)
    x, unseen = (x - mean) / std, (unseen - mean) / std
    probe = nn.Linear(x.shape[1], classes, device=device)
    nn.init.zeros_(probe.weight)
    nn.init.zeros_(probe.bias)
    adam = torch.optim.Adam(probe.parameters(), lr=5e-3, weight_decay=1e-3)
    for _ in range(epochs):
        adam.zero_grad()
        functional.cross_entropy(probe(x), y).backward()
        adam.step()
    with torch.no_grad():
        return probe(unseen).argmax(1).cpu().numpy()


def scikit_learn(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """LogisticRegression as it comes, its strength not chosen."""
    scaler = StandardScaler().fit(train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression().fit(scaler.transform(train), labels).predict(scaler.transform(test))


def seconds(run: Callable[[], np.ndarray]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def report_accuracy(results: dict[str, np.ndarray], data: Data, design: Predictions) -> None:
    """Mean over sites, and how far the loop's accuracy is from ours at any one of them."""
    assert design.control_labels is not None
    labels = np.stack([np.broadcast_to(data.labels, design.train.shape), design.control_labels])[:, :, None]
    tested = ~design.train[:, None]
    scores = {name: ((p == labels) & tested).sum((1, 3)) / tested.sum() for name, p in results.items()}
    for name, score in scores.items():
        print(f"{name:12s} accuracy {score[0].mean():.4f}, control {score[1].mean():.4f}")
    print(f"largest difference from the adam loop {np.abs(scores['repflow'] - scores['adam loop']).max():.4f}")


if __name__ == "__main__":
    main()
