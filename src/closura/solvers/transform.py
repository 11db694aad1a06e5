"""What ensemble filters share: weights in ensemble space, spread, rotations."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def mean_and_anomalies(
    ensemble: Float[Array, "state member"],
) -> tuple[Float[Array, "state 1"], Float[Array, "state member"]]:
    """Return the mean (kept as a column) and the departures of the members from it."""
    mean = ensemble.mean(axis=-1, keepdims=True)
    return mean, ensemble - mean


def symmetric_transform(
    anomalies: Float[Array, "observation member"], departure: Float[Array, "observation"]
) -> Float[Array, "member member"]:
    """Return the matrix W with which analysis members are mean + anomalies W.

    With S the predicted anomalies and d the departure, both in units of the error, and
    G = S' S + (N - 1) I: W = G^{-1} S' d 1' + ((N - 1) G^{-1})^{1/2}, the symmetric square root.

    Reference:
        Hunt, Kostelich and Szunyogh (2007), Physica D 230, 112-126, eqs. 20-24.
    """
    degrees = anomalies.shape[-1] - 1
    values, vectors = jnp.linalg.eigh(anomalies.T @ anomalies)
    total = jnp.maximum(values, 0.0) + degrees
    shift = vectors @ ((vectors.T @ (anomalies.T @ departure)) / total)
    root = (vectors * jnp.sqrt(degrees / total)) @ vectors.T
    return shift[:, None] + root


def transform(
    own: Float[Array, "*point member"],
    anomalies: Float[Array, "observation member"],
    departure: Float[Array, "observation"],
) -> Float[Array, "*point member"]:
    """Return own anomalies times `symmetric_transform`, found in the smaller of the two spaces.

    With S S' = U L U' and n = N - 1, the root is 1 - S' U M U' S, where
    M = 1 / (L + n + sqrt(n (L + n))): nothing is divided by an eigenvalue that may vanish.
    """
    observations, members = anomalies.shape
    if observations >= members:
        return own @ symmetric_transform(anomalies, departure)
    degrees = members - 1
    values, vectors = jnp.linalg.eigh(anomalies @ anomalies.T)
    total = jnp.maximum(values, 0.0) + degrees
    seen = own @ anomalies.T @ vectors
    shift = (seen / total) @ (vectors.T @ departure)
    shrunk = (seen / (total + jnp.sqrt(degrees * total))) @ vectors.T @ anomalies
    return own - shrunk + shift[..., None]


def relax(
    before: Float[Array, "state member"],
    after: Float[Array, "state member"],
    *,
    rtpp: float | Array,
    rtps: float | Array,
) -> Float[Array, "state member"]:
    """Return anomalies after the analysis relaxed toward those before it.

    Args:
        before: Anomalies of the forecast.
        after: Anomalies of the analysis.
        rtpp: Share of the forecast's anomalies (relaxation to prior perturbations).
        rtps: Share of the lost spread that is given back (relaxation to prior spread).

    Reference:
        Zhang et al. (2004), doi:10.1175/1520-0493(2004)132<1238:IOIEAO>2.0.CO;2; Whitaker and
        Hamill (2012), doi:10.1175/MWR-D-11-00276.1.
    """
    if not is_neutral(rtpp, 0.0):
        after = (1 - rtpp) * after + rtpp * before
    if not is_neutral(rtps, 0.0):
        old = jnp.sqrt((before**2).sum(axis=-1, keepdims=True))
        new = jnp.sqrt((after**2).sum(axis=-1, keepdims=True))
        safe = jnp.where(new > 0, new, 1.0)
        after = after * jnp.where(new > 0, 1 + rtps * (old - new) / safe, 1.0)
    return after


def is_neutral(value: float | Array, neutral: float) -> bool:
    """Return whether a setting is known, when compiling, to change nothing."""
    return isinstance(value, int | float) and value == neutral


def random_rotation(key: Array, members: int) -> Float[Array, "member member"]:
    """Return a random orthogonal matrix that keeps the mean of the members.

    Uniform (Haar) on the space orthogonal to the mean: signs of the QR factors are fixed.

    Reference:
        Sakov and Oke (2008), Mon. Wea. Rev. 136, 1042-1053; Mezzadri (2007), Notices AMS 54, 592.
    """
    basis = jnp.asarray(_basis(members))
    normal = jax.random.normal(key, (members - 1, members - 1), basis.dtype)
    factor, triangle = jnp.linalg.qr(normal)
    factor = factor * jnp.sign(jnp.diagonal(triangle))
    return 1 / members + basis @ factor @ basis.T


def _basis(members: int) -> np.ndarray:
    """Return an orthonormal basis of the vectors whose entries sum to zero (Helmert)."""
    columns = np.triu(np.ones((members, members - 1)))
    columns[np.arange(1, members), np.arange(members - 1)] = -np.arange(1, members)
    return columns / np.linalg.norm(columns, axis=0)
