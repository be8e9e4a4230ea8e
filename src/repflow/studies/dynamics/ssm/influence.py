"""influence: how much a token's last state depends on the embedding of the token k places before it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from repflow.core import Example, ModelProblem, Tap, block_taps
from repflow.metrics import pad
from repflow.metrics.batch import sampled_rows
from repflow.models import Loaded
from repflow.models.kernels import parallel_scan
from repflow.models.recording import input_state, output_state

_TRIED = 8
_PROBE_STREAM = 0x696E666C  # keeps the probes' signs apart from the bootstrap's streams


@dataclass(frozen=True)
class Probing:
    """What is sampled of every example."""

    tokens: int
    """Tokens whose last state is asked."""
    probes: int
    """Random directions a token: each costs one backward pass."""
    reach: int
    """The longest distance asked for."""
    seed: int = 0


def influence_squares(
    subject: Loaded, examples: Sequence[Example], probing: Probing
) -> Float[np.ndarray, "n distances"]:
    """||d h_t(last block) / d h_{t-k}(embed)||_F^2 for k = 0 .. reach: an estimate, the mean over sampled tokens t.

    A probe v of random signs has E||v'J||^2 = ||J||_F^2, and one backward pass gives v'J for every k at once. The
    derivative is total: also what reaches later blocks past the residual stream counts. Tokens t are drawn, by a
    generator keyed by the example's id, from those with `reach` tokens before them, so that every distance is measured
    on the same tokens; in an example too short for it, from its second half, and distances beyond its start are NaN.
    Weights, mode and gradient flags of the model stay as they are. Cost: one forward pass with its activations kept,
    and tokens * probes backward passes, all examples at once.
    Raises ModelProblem where the model runs on kernels without a backward pass.
    """
    if not examples:
        return np.empty((0, probing.reach + 1))
    ids = pad([example.ids for example in examples])[0].to(subject.device)
    tokens = [sampled_tokens(example, probing) for example in examples]
    total = np.zeros((len(examples), probing.reach + 1))
    count = np.zeros_like(total)
    with parallel_scan(subject.model), _differentiable(subject, ids) as (embed, last):
        for turn in range(max(map(len, tokens))):
            asked = [(row, int(own[turn])) for row, own in enumerate(tokens) if turn < len(own)]
            for probe in range(probing.probes):
                squares = _pulled_back(subject, embed, last, _directions(last, examples, asked, probe, probing.seed))
                for row, token in asked:
                    near = squares[row, max(0, token - probing.reach) : token + 1][::-1]
                    total[row, : len(near)] += near
                    count[row, : len(near)] += 1
    with np.errstate(invalid="ignore"):
        return total / count


def check_gradient(subject: Loaded, example: Example) -> None:
    """Try the gradient on the first tokens of an example. Raises ModelProblem where none passes."""
    influence_squares(subject, [Example(example.id, example.ids[:_TRIED])], Probing(1, 1, 1))


def sampled_tokens(example: Example, probing: Probing) -> Int64[np.ndarray, " tokens"]:
    """Positions whose last state is asked, ascending: as many as wanted, or as there are."""
    n = len(example.ids)
    first = probing.reach if probing.reach < n else n // 2
    return first + sampled_rows(example.id, n - first, probing.tokens)


@contextmanager
def _differentiable(subject: Loaded, ids: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The states at `embed` and after the last block of one pass over token ids [n, t], joined by a graph."""
    model, taps = subject.model, subject.taps
    kept: dict[str, Tensor] = {}

    def begin(_m: Any, _a: Any, output: Tensor) -> Tensor:
        return output.detach().requires_grad_(True)

    def embed(_m: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kept["embed"] = _found(input_state(args, kwargs))

    def last(_m: Any, _a: Any, output: Any) -> None:
        kept["last"] = _found(output_state(output))

    with ExitStack() as hooks, torch.inference_mode(False), torch.enable_grad():
        for handle in (
            model.get_input_embeddings().register_forward_hook(begin),
            _module(model, taps[0]).register_forward_pre_hook(embed, with_kwargs=True),
            _module(model, block_taps(taps)[-1]).register_forward_hook(last),
        ):
            hooks.callback(handle.remove)
        with _explained(subject), subject.as_loaded():
            model.base_model(input_ids=ids, use_cache=False)
            if not kept["last"].requires_grad:
                raise RuntimeError("its last state hangs on no gradient")
        yield kept["embed"], kept["last"]


def _pulled_back(subject: Loaded, embed: Tensor, last: Tensor, directions: Tensor) -> Float[np.ndarray, "n t"]:
    """Squared norm of each token's row of v'J."""
    with _explained(subject):
        (pulled,) = torch.autograd.grad(last, embed, directions, retain_graph=True)
    return pulled.double().square().sum(-1).cpu().numpy()


def _directions(
    last: Tensor, examples: Sequence[Example], asked: Sequence[tuple[int, int]], probe: int, seed: int
) -> Tensor:
    """Random signs at one token of each example, zero elsewhere."""
    directions = torch.zeros_like(last)
    for row, token in asked:
        signs = _signs((seed, examples[row].id, token, probe), last.shape[-1])
        directions[row, token] = torch.from_numpy(signs).to(directions)
    return directions


def _signs(key: tuple[int, int, int, int], width: int) -> Float[np.ndarray, " width"]:
    """-1 or 1, from a counter-based generator: the same whatever the batch."""
    seed, example, token, probe = key
    keys = np.array([seed ^ _PROBE_STREAM, example], dtype=np.int64).view(np.uint64)
    counter = np.array([0, 0, token, probe], dtype=np.uint64)
    words = np.random.Philox(key=keys, counter=counter).random_raw(-(-width // 64))
    return np.unpackbits(words.view(np.uint8))[:width] * 2.0 - 1.0


@contextmanager
def _explained(subject: Loaded) -> Iterator[None]:
    """One line for kernels that cannot be differentiated, and for a lack of memory."""
    label = subject.facts.label
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelProblem(
            f"{label}: out of memory on gradients; lower --batch-tokens, --context or the model's dtype"
        ) from error
    except (RuntimeError, NotImplementedError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelProblem(
            f"{label}: no gradient passes through its kernels ({reason}); run it where they are torch's own, "
            "with --device cpu, or leave influence out with --influence-tokens 0"
        ) from error


def _module(model: Any, tap: Tap) -> Any:
    return model.get_submodule(tap.module)


def _found(state: Tensor | None) -> Tensor:
    assert state is not None, "the sites were checked at load"
    return state
