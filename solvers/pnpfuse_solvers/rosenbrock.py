"""Coefficients of Rodas5P, a Rosenbrock method of order 5 for differential-algebraic equations.

G. Steinebach, Construction of Rosenbrock-Wanner method Rodas5P and numerical benchmarks within the
Julia Differential Equations package, BIT Numer. Math. 63 (2023) 27: eight stages, L-stable,
stiffly accurate, an embedded method of order 4 and dense output of order 4. For ``M y' = F(t, y)``
and a step tau,

    (M / (GAMMA tau) - dF/dy) k_i = F(t + NODES_i tau, y + sum_j ALPHA_ij k_j)
                                    + M / tau sum_j MIXED_ij k_j + tau SHIFT_i dF/dt

with the new state ``y + sum_j ALPHA_8j k_j + k_8``, its error ``k_8`` and, at a share s of the
step, ``(1 - s) y + s (y_new + (1 - s) (K_1 + s (K_2 + s K_3)))``, ``K_i = sum_j DENSE_ij k_j``.
"""

import numpy as np

ORDER = 5
GAMMA = 0.21193756319429014
NODES = np.array([
    0.0, 0.6358126895828704, 0.4095798393397535, 0.9769306725060716, 0.4288403609558664, 1, 1, 1,
])  # fmt: skip
SHIFT = np.array([
    0.21193756319429014, -0.42387512638858027, -0.3384627126235924, 1.8046452872882734,
    2.325825639765069, 0.0, 0.0, 0.0,
])  # fmt: skip
_LAST = [
    -7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256,
    0.030198172008377946,
]  # fmt: skip
_ALPHA = [
    [],
    [3.0],
    [2.849394379747939, 0.45842242204463923],
    [-6.954028509809101, 2.489845061869568, -10.358996098473584],
    [2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641],
    _LAST,
    [*_LAST, 1.0],
    [*_LAST, 1.0, 1.0],
]
_MIXED = [
    [],
    [-14.155112264123755],
    [-17.97296035885952, -2.859693295451294],
    [147.12150275711716, -1.41221402718213, 71.68940251302358],
    [165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306],
    [24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125,
     -0.6610691825249471],
    [30.91273214028599, -3.1208243349937974, 77.79954646070892, 34.28646028294783,
     -19.097331116725623, -28.087943162872662],
    [37.80277123390563, -3.2571969029072276, 112.26918849496327, 66.9347231244047,
     -40.06618937091002, -54.66780262877968, -9.48861652309627],
]  # fmt: skip
DENSE = np.array([
    [25.948786856663858, -2.5579724845846235, 10.433815404888879, -2.3679251022685204,
     0.524948541321073, 1.1241088310450404, 0.4272876194431874, -0.17202221070155493],
    [-9.91568850695171, -0.9689944594115154, 3.0438037242978453, -24.495224566215796,
     20.176138334709044, 15.98066361424651, -6.789040303419874, -6.710236069923372],
    [11.419903575922262, 2.8879645146136994, 72.92137995996029, 80.12511834622643,
     -52.072871366152654, -59.78993625266729, -0.15582684282751913, 4.883087185713722],
])  # fmt: skip


def _square(rows: list[list[float]]) -> np.ndarray:
    return np.array([row + [0.0] * (len(rows) - len(row)) for row in rows])


ALPHA, MIXED = _square(_ALPHA), _square(_MIXED)


def _slope_weights(shares: np.ndarray) -> np.ndarray:
    """Weights (len(shares), 8) that turn values at the nodes into derivatives by the step's share.

    The polynomial through the six different nodes is differentiated: a function of time enters with
    its values inside the step alone, and no difference reaches across a jump at its ends.
    """
    powers = np.arange(6)
    vandermonde = NODES[:6, None] ** powers
    slopes = powers * shares[:, None] ** np.maximum(powers - 1, 0)
    return np.hstack([slopes @ np.linalg.inv(vandermonde), np.zeros((len(shares), 2))])


# At the start, the middle and the end of a step.
SLOPES = _slope_weights(np.array([0.0, 0.5, 1.0]))
