"""SciPy's solve_bvp, in the best formulation found for each problem.

With ``exact_slopes`` it is handed analytic Jacobians, without it takes differences by itself, which
is how most people call it.
"""

import numpy as np
from exact import gouy_chapman
from scipy.integrate import solve_bvp


def closed(ratio, voltage, tol, exact_slopes=False):
    """u'' = k^2 sinh(u)/A, A = <cosh u>; unknown ln A, the mean as a third component."""

    def rhs(x, y, p):
        share = np.exp(-p[0])
        return np.array([y[1], ratio**2 * share * np.sinh(y[0]), np.cosh(y[0]) * share])

    def jacobian(x, y, p):
        sinh, cosh, share = np.sinh(y[0]), np.cosh(y[0]), np.exp(-p[0])
        by_y, by_p = np.zeros((3, 3, x.size)), np.zeros((3, 1, x.size))
        by_y[0, 1] = 1.0
        by_y[1, 0] = ratio**2 * share * cosh
        by_y[2, 0] = share * sinh
        by_p[1, 0], by_p[2, 0] = -(ratio**2) * share * sinh, -share * cosh
        return by_y, by_p

    def ends(a, b, p):
        return np.array([a[0] - voltage, b[0] + voltage, a[2], b[2] - 1.0])

    x = np.linspace(0, 1, 33)
    line = voltage * (1 - 2 * x)
    start = np.array([line, np.full_like(x, -2.0 * voltage), x])
    guess = [np.log(np.trapezoid(np.cosh(line), x))]
    slopes = jacobian if exact_slopes else None
    return solve_bvp(rhs, ends, x, start, p=guess, tol=tol, max_nodes=20000, fun_jac=slopes)


def reservoir(ratio, voltage, tol, x, exact_slopes=False):
    """u'' = k^2 sinh(u) from Gouy-Chapman's layers on the nodes x."""
    u = gouy_chapman(ratio, voltage, x)
    slope = -2 * ratio * np.sinh(np.abs(u) / 2)  # the first integral, both layers falling

    def jacobian(x, y):
        out = np.zeros((2, 2, x.size))
        out[0, 1], out[1, 0] = 1.0, ratio**2 * np.cosh(y[0])
        return out

    return solve_bvp(
        lambda x, y: np.array([y[1], ratio**2 * np.sinh(y[0])]),
        lambda a, b: np.array([a[0] - voltage, b[0] + voltage]),
        x, np.array([u, slope]), tol=tol, max_nodes=50000,
        fun_jac=jacobian if exact_slopes else None,
    )  # fmt: skip


def steady(membrane, tol, nodes=12, exact_slopes=False):
    """P3 folded at the membrane's faces, so that the jumps of the charge cost no order.

    Components (u, u', c_1 .. c_S) of each third stand side by side over s in [0, 1], x = (k + s)/3;
    the fluxes are the unknown parameters.
    """
    z, d = np.array(membrane.z, float), np.array(membrane.d, float)
    species, width = z.size, 2 + z.size
    charge = np.array([0.0, membrane.charge, 0.0])

    def rhs(s, y, flux):
        y = y.reshape(3, width, -1)
        out = np.empty_like(y)
        out[:, 0] = y[:, 1]
        space = np.einsum("s,ksn->kn", z, y[:, 2:]) + charge[:, None]
        out[:, 1] = -space / membrane.lam2
        out[:, 2:] = -z[:, None] * y[:, 2:] * y[:, 1:2] - (flux / d)[:, None]
        return out.reshape(3 * width, -1) / 3

    def jacobian(s, y, flux):
        y = y.reshape(3, width, -1)
        by_y = np.zeros((3, width, 3, width, s.size))
        by_flux = np.zeros((3, width, species, s.size))
        for k in range(3):
            by_y[k, 0, k, 1] = 1.0
            for i in range(species):
                by_y[k, 1, k, 2 + i] = -z[i] / membrane.lam2
                by_y[k, 2 + i, k, 1] = -z[i] * y[k, 2 + i]
                by_y[k, 2 + i, k, 2 + i] = -z[i] * y[k, 1]
                by_flux[k, 2 + i, i] = -1.0 / d[i]
        shape = (3 * width, 3 * width, s.size)
        return by_y.reshape(shape) / 3, by_flux.reshape(3 * width, species, s.size) / 3

    def ends(a, b, flux):
        a, b = a.reshape(3, width), b.reshape(3, width)
        return np.concatenate([
            a[1] - b[0], a[2] - b[1],
            [a[0, 0] - membrane.voltage, b[2, 0]],
            a[0, 2:] - membrane.left, b[2, 2:] - membrane.right,
        ])  # fmt: skip

    s = np.linspace(0, 1, nodes)
    x = (np.arange(3)[:, None] + s) / 3
    start = np.empty((3, width, nodes))
    start[:, 0], start[:, 1] = membrane.voltage * (1 - x), -membrane.voltage
    left, right = np.array(membrane.left, float), np.array(membrane.right, float)
    for i in range(species):
        start[:, 2 + i] = left[i] ** (1 - x) * right[i] ** x
    guess = d * (left - right)
    return solve_bvp(
        rhs, ends, s, start.reshape(3 * width, -1), p=guess, tol=tol, max_nodes=100000,
        fun_jac=jacobian if exact_slopes else None,
    )  # fmt: skip
