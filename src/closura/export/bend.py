"""Activations in float64, as the shipped runtimes compute them."""

import numpy as np


def bend(activation: str, values: np.ndarray) -> np.ndarray:
    """Return an activation of values, by its name in a `.closura` file."""
    half = 0.5 * (1 + np.tanh(0.5 * values))  # the logistic function, without overflow
    cubic = values + 0.044715 * values**3  # constant of jax.nn.gelu(approximate=True)
    match activation:
        case "relu":
            return np.maximum(values, 0)
        case "leaky_relu":
            return np.where(values >= 0, values, 0.01 * values)
        case "elu":
            return np.where(values > 0, values, np.expm1(np.minimum(values, 0)))
        case "gelu":
            return 0.5 * values * (1 + np.tanh(np.sqrt(2 / np.pi) * cubic))
        case "silu":
            return values * half
        case "softplus":
            return np.logaddexp(values, 0)
        case "sigmoid":
            return half
        case "tanh":
            return np.tanh(values)
    return values
