"""The two-scale Lorenz-96 ensemble as most people write it in NumPy: members last, np.roll."""

import numpy as np


def tendency(X, Y, K, J, F, h, b, c):
    """Return dX/dt (K, member) and dY/dt (K J, member)."""
    strength = h * c / b
    slow = np.roll(X, 1, 0) * (np.roll(X, -1, 0) - np.roll(X, 2, 0)) - X + F
    slow -= strength * Y.reshape(K, J, -1).sum(axis=1)
    fast = -c * b * np.roll(Y, -1, 0) * (np.roll(Y, -2, 0) - np.roll(Y, 1, 0)) - c * Y
    fast += strength * np.repeat(X, J, axis=0)
    return slow, fast


def run(X, Y, steps, dt, K, J, F, h, b, c):
    """Return the states after so many Runge-Kutta steps of every member at once."""
    law = (K, J, F, h, b, c)
    for _ in range(steps):
        X1, Y1 = tendency(X, Y, *law)
        X2, Y2 = tendency(X + dt / 2 * X1, Y + dt / 2 * Y1, *law)
        X3, Y3 = tendency(X + dt / 2 * X2, Y + dt / 2 * Y2, *law)
        X4, Y4 = tendency(X + dt * X3, Y + dt * Y3, *law)
        X = X + dt / 6 * (X1 + 2 * X2 + 2 * X3 + X4)
        Y = Y + dt / 6 * (Y1 + 2 * Y2 + 2 * Y3 + Y4)
    return X, Y
