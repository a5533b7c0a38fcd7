"""Slow, obvious versions of the solvers' kernels: dense matrices, loops, no cleverness."""

import numpy as np
import scipy.optimize


def functional(u, a, w, f, r, v, z, amount, closed):
    """J(u), written as it stands in the kernels' head."""
    total = sum(0.5 * a[i] * (u[i + 1] - u[i]) ** 2 for i in range(len(u) - 1))
    total -= sum(w[i] * f[i] * u[i] for i in range(len(u)))
    for end, at in ((0, u[0]), (1, u[-1])):
        total += 0.5 * r[end] * (at - v[end]) ** 2
    for zs, m in zip(z, amount, strict=True):
        mean = sum(w[i] * np.exp(-zs * u[i]) for i in range(len(u)))
        total += m * np.log(mean) if closed else m * mean
    return total


def concentrations(u, w, z, amount, closed):
    """Boltzmann concentrations (S, N)."""
    c = np.exp(-np.outer(z, u))
    if closed:
        c /= (c @ w)[:, None]
    return c * np.asarray(amount)[:, None]


def hessian(u, a, w, r, z, amount, closed):
    """Dense Hessian of J over all nodes, held ends included."""
    n = len(u)
    matrix = np.zeros((n, n))
    for i in range(n - 1):
        matrix[i : i + 2, i : i + 2] += a[i] * np.array([[1.0, -1.0], [-1.0, 1.0]])
    matrix[0, 0] += r[0]
    matrix[-1, -1] += r[1]
    for zs, m, c in zip(z, amount, concentrations(u, w, z, amount, closed), strict=True):
        q = w * c
        matrix += zs**2 * np.diag(q)
        if closed:
            matrix -= zs**2 * np.outer(q, q) / m
    return matrix


def newton_step(u, g, a, w, r, z, amount, closed):
    """H^-1 g on the nodes that are free, 0 on held ends."""
    free = np.ones(len(u), bool)
    free[0], free[-1] = r[0] > 0, r[1] > 0
    step = np.zeros(len(u))
    matrix = hessian(u, a, w, r, z, amount, closed)
    step[free] = np.linalg.solve(matrix[np.ix_(free, free)], g[free])
    return step


def equilibrium(u, a, w, f, r, v, z, amount, closed):
    """Minimise J with SciPy's quasi-Newton method from ``u``; ends are held where r = 0."""
    free = np.ones(len(u), bool)
    free[0], free[-1] = r[0] > 0, r[1] > 0
    full = np.array(u, float)

    def value(part):
        full[free] = part
        return functional(full, a, w, f, r, v, z, amount, closed)

    def gradient(part):
        full[free] = part
        charge = f + np.asarray(z) @ concentrations(full, w, z, amount, closed)
        out = -w * charge
        flow = a * np.diff(full)
        out[:-1] -= flow
        out[1:] += flow
        out[0] += r[0] * (full[0] - v[0])
        out[-1] += r[1] * (full[-1] - v[1])
        return out[free]

    found = scipy.optimize.minimize(
        value, full[free], jac=gradient, method="BFGS", options={"gtol": 1e-9, "maxiter": 5000}
    )
    full[free] = found.x
    return full
