"""The two-scale Lorenz-96 as a good hand writes it in numba: explicit loops and ghost cells.

Ghost cells spare the inner loop every question about the ring's end; with such questions the same
loop takes a fifth longer. Members are computed one after the other, so each stays in the fastest
cache. No fast-math, no parallel loops; `nogil` lets two threads share members.
"""

import numpy as np
from numba import njit


@njit(nogil=True)
def tendency(X, Y, slow, fast, K, J, F, h, b, c):
    """Write the tendencies; X has 2 ghosts before and 1 after, Y 1 before and 2 after."""
    strength = h * c / b
    n = K * J
    X[0], X[1], X[K + 2] = X[K], X[K + 1], X[2]
    Y[0], Y[n + 1], Y[n + 2] = Y[n], Y[1], Y[2]
    for k in range(K):
        total = 0.0
        for j in range(J):
            i = k * J + j + 1
            total += Y[i]
            fast[i] = -c * b * Y[i + 1] * (Y[i + 2] - Y[i - 1]) - c * Y[i] + strength * X[k + 2]
        slow[k + 2] = X[k + 1] * (X[k + 3] - X[k]) - X[k + 2] + F - strength * total


@njit(nogil=True)
def run(members_X, members_Y, steps, dt, K, J, F, h, b, c):
    """Advance every member by so many Runge-Kutta steps, in place; arrays are (member, k)."""
    n = K * J
    X, Y = np.zeros(K + 3), np.zeros(n + 3)
    stage_X, stage_Y = np.zeros(K + 3), np.zeros(n + 3)
    slow, fast = np.zeros((4, K + 3)), np.zeros((4, n + 3))
    ahead = np.array([dt / 2, dt / 2, dt])
    for member in range(members_X.shape[0]):
        X[2 : K + 2], Y[1 : n + 1] = members_X[member], members_Y[member]
        for _ in range(steps):
            tendency(X, Y, slow[0], fast[0], K, J, F, h, b, c)
            for s in range(3):
                for i in range(2, K + 2):
                    stage_X[i] = X[i] + ahead[s] * slow[s, i]
                for i in range(1, n + 1):
                    stage_Y[i] = Y[i] + ahead[s] * fast[s, i]
                tendency(stage_X, stage_Y, slow[s + 1], fast[s + 1], K, J, F, h, b, c)
            for i in range(2, K + 2):
                mean = slow[0, i] + 2 * slow[1, i] + 2 * slow[2, i] + slow[3, i]
                X[i] += dt / 6 * mean
            for i in range(1, n + 1):
                mean = fast[0, i] + 2 * fast[1, i] + 2 * fast[2, i] + fast[3, i]
                Y[i] += dt / 6 * mean
        members_X[member], members_Y[member] = X[2 : K + 2], Y[1 : n + 1]
