"""How many pairs or documents a context holds."""

from collections.abc import Callable

GALLOPS = 12
"""Steps by interpolation before plain bisection takes over."""


def largest_fit(tokens: Callable[[int], int], limit: int, *, low: int, high: int, guess: int) -> int:
    """The largest k in [low, high] with tokens(k) <= limit, given that tokens grow with k; low - 1 when there is none.

    `tokens` is costly, so the search starts at `guess` and moves by the tokens an item takes: two or three calls when
    the guess comes from a like prompt.
    """
    fits, fails = low - 1, high + 1
    k = min(max(guess, low), high)
    steps = 0
    while fails - fits > 1:
        used = tokens(k)
        if used <= limit:
            fits = k
        else:
            fails = k
        steps += 1
        k = _next(k, used, limit, fits, fails, bisect=steps > GALLOPS and fails <= high)
    return fits


def _next(k: int, used: int, limit: int, fits: int, fails: int, *, bisect: bool) -> int:
    if bisect:
        return (fits + fails) // 2
    each = max(used / (k + 1), 1.0)
    step = int((limit - used) // each)
    aim = min(k + max(step, 1), 4 * k + 4) if used <= limit else k + min(step, -1)
    return min(max(aim, fits + 1), fails - 1)
