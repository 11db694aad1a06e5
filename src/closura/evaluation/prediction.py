"""What a closure says of every recorded instant, and how often it has to extrapolate."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from closura.core.closure import AbstractClosure, terms
from closura.core.learner import Pairs
from closura.core.pieces import Piece, pieces


def predict(closure: AbstractClosure | None, pairs: Pairs) -> dict[str, np.ndarray]:
    """Return what a closure says of every recorded instant, in the layout of the targets.

    Random terms are left out, and a closure with memory starts anew at each instant. None, and
    what is left of a closure that is all noise, predicts zero.

    Raises:
        ValueError: It predicts something, but not every target.
    """
    found = {name: np.zeros(np.shape(a)) for name, a in pairs.targets.items()}
    for piece, answers in predicted_pieces(closure, pairs) if _spoken(closure) else ():
        for name, whole in found.items():
            shape = (*piece.block.shape, *whole.shape[2:])
            whole[piece.block.series, piece.block.times] = answers[name].reshape(shape)
    return found


def predicted_pieces(
    closure: AbstractClosure | None, pairs: Pairs
) -> Iterator[tuple[Piece, dict[str, np.ndarray]]]:
    """Yield the pairs piece by piece, each with what `predict` says there, (instant, *field).

    Raises:
        ValueError: The closure predicts something, but not every target.
    """
    parts = _spoken(closure)
    for piece in pieces(pairs):
        if not parts:
            yield piece, {name: np.zeros(np.shape(a)) for name, a in piece.targets.items()}
            continue
        answers = _answer(parts, piece.fields, piece.given)
        for name in piece.targets:
            if name not in answers:
                raise ValueError(
                    f"the closure predicts {', '.join(answers) or 'nothing'} and the pairs "
                    f"hold the target {name!r}; score it on pairs with its own targets."
                )
        yield piece, {name: np.asarray(answers[name]) for name in piece.targets}


def _spoken(closure: AbstractClosure | None) -> tuple[AbstractClosure, ...]:
    """Return the terms of a closure that are not drawn at random."""
    return () if closure is None else tuple(t for t in terms(closure) if not t.random)


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
