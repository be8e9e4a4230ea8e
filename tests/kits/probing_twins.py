"""The protocols written the plain way: a loop over sites, splits and tasks."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional


def adam_loop(
    site: np.ndarray, labels: np.ndarray, train: np.ndarray, classes: int, *, leak: bool = False
) -> np.ndarray:
    """Classes [n] by one probe; `leak` fits the scaler on all rows, as it should not."""
    return adam_logits(site, labels, train, classes, leak=leak).argmax(1).numpy()


def adam_logits(
    site: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    classes: int,
    *,
    leak: bool = False,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Logits [n, c] of one probe, trained in `dtype`."""
    scored = torch.from_numpy(z_scores(site, train | leak)).to(dtype)
    x, y = scored[torch.from_numpy(train)], torch.from_numpy(labels[train])
    probe = nn.Linear(site.shape[1], classes, dtype=dtype)
    nn.init.zeros_(probe.weight)
    nn.init.zeros_(probe.bias)
    adam = torch.optim.Adam(probe.parameters(), lr=5e-3, weight_decay=1e-3)
    for _ in range(150):
        adam.zero_grad()
        functional.cross_entropy(probe(x), y).backward()
        adam.step()
    with torch.no_grad():
        return probe(scored)


def logistic(site: np.ndarray, labels: np.ndarray, train: np.ndarray, strength: float) -> LogisticRegression:
    """scikit-learn's fit, on z-scores of the training rows."""
    return regression(strength, len(np.unique(labels))).fit(z_scores(site, train)[train], labels[train])


def regression(strength: float, classes: int) -> LogisticRegression:
    """Of two classes scikit-learn penalises one vector, not two opposite halves of it."""
    return LogisticRegression(C=(2 if classes == 2 else 1) / strength, tol=1e-8, max_iter=10_000)


def z_scores(site: np.ndarray, train: np.ndarray) -> np.ndarray:
    return StandardScaler().fit(site[train].astype(np.float64)).transform(site.astype(np.float64))
