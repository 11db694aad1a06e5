"""What a closure says of every recorded instant, and how often it has to extrapolate."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from closura.core.closure import AbstractClosure, terms
from closura.core.learner import Pairs
from closura.core.pieces import pieces


def predict(closure: AbstractClosure | None, pairs: Pairs) -> dict[str, np.ndarray]:
    """Return what a closure says of every recorded instant, in the layout of the targets.

    Random terms are left out, and a closure with memory starts anew at each instant. None, and
    what is left of a closure that is all noise, predicts zero.

    Raises:
        ValueError: It predicts something, but not every target.
    """
    parts = () if closure is None else tuple(t for t in terms(closure) if not t.random)
    if not parts:
        return {name: np.zeros(np.shape(a)) for name, a in pairs.targets.items()}
    found = {name: np.empty(np.shape(a)) for name, a in pairs.targets.items()}
    for piece in pieces(pairs):
        answers = _answer(parts, piece.fields, piece.given)
        for name, whole in found.items():
            if name not in answers:
                raise ValueError(
                    f"the closure predicts {', '.join(answers) or 'nothing'} and the pairs "
                    f"hold the target {name!r}; score it on pairs with its own targets."
                )
            shape = (*piece.block.shape, *whole.shape[2:])
            whole[piece.block.series, piece.block.times] = np.reshape(answers[name], shape)
    return found


def extrapolated_share(closure: AbstractClosure | None, pairs: Pairs) -> float:
    """Return the share of inputs outside the training range; NaN if no range is known."""
    shares = []
    for term in () if closure is None else terms(closure):
        if not hasattr(term, "extrapolates") or getattr(term, "lower", 0) is None:
            continue
        counts = [np.asarray(_outside(term, p.fields, p.given)).ravel() for p in pieces(pairs)]
        shares.append(float(np.concatenate(counts).mean()))
    return max(shares, default=np.nan)


@eqx.filter_jit
def _answer(parts: tuple[AbstractClosure, ...], fields: Any, given: Any) -> dict[str, Array]:
    def instant(fields: dict[str, Array], inputs: Any) -> dict[str, Array]:
        total: dict[str, Array] = {}
        for part in parts:
            for name, rate in part(fields, inputs, part.init(fields), None)[0].items():
                total[name] = total[name] + rate if name in total else rate
        return total

    return jax.vmap(instant)(fields, given)


@eqx.filter_jit
def _outside(term: Any, fields: Any, given: Any) -> Array:
    return jax.vmap(term.extrapolates)(fields, given)
