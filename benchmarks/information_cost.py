"""Time, value, growth and memory of the nearest-neighbour estimates, beside their peers.

One thread, warm, called in turn, medians of processor time; calls that take seconds are made once.
Peers that are not installed are left out: npeet_plus, ennemi, infomeasure. Data: d independent
pairs of correlation 1/2, so that I = d/2 log(4/3); k = 3; all estimates are given the same samples,
and those that standardise by themselves (scikit-learn) get standard ones anyway.
"""

import importlib.util
import math

import fresh  # isort: skip
import timing  # isort: skip  # before numpy: it sets the number of threads
import numpy as np
import torch
from costs import row
from scipy.spatial import cKDTree
from scipy.special import digamma

from pnpfuse_analysis.information.kraskov import (
    kl_entropy,
    ksg_conditional,
    ksg_information,
    mixed_information,
    ross_information,
)

K, RHO = 3, 0.5
SLOW = 2.0  # s; a call that takes longer is made once
PATIENCE = 100.0  # s; a peer that may take longer is left out


def pair(n, d, seed=0):
    """Arrays (n, d) of correlation RHO in each column."""
    rng = np.random.default_rng(seed)
    x, e = rng.standard_normal((2, n, d))
    return x, RHO * x + math.sqrt(1 - RHO**2) * e


def kdtree(x, y):
    """KSG written plainly on SciPy's KD-tree."""
    joint = np.hstack((x, y))
    radius = np.nextafter(cKDTree(joint).query(joint, K + 1, p=np.inf)[0][:, -1], 0)
    inside = [
        cKDTree(part).query_ball_point(part, radius, p=np.inf, return_length=True)
        for part in (x, y)
    ]
    return float(digamma(K) + digamma(len(x)) - sum(digamma(n) for n in inside).mean())


def here(x, y, engine="auto"):
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    return float(ksg_information(a, b, K, engine).mean())


def _npeet(x, y):
    from npeet_plus import mi

    return float(mi(x, y, k=K, base=math.e))


def _infomeasure(x, y):
    from infomeasure import mutual_information

    return float(mutual_information(x, y, approach="ksg", k=K, noise_level=0))


def _ennemi(x, y):
    from ennemi import estimate_mi

    return float(np.squeeze(estimate_mi(y[:, 0], x[:, 0], k=K, max_threads=1)))


def _sklearn(x, y):
    from sklearn.feature_selection import mutual_info_regression

    return float(mutual_info_regression(x, y[:, 0], n_neighbors=K, random_state=0)[0])


# name: (call, most dimensions, seconds at N = 10000 and d = 1, 4, 16, to tell what would take long)
PEERS = {
    "SciPy KD-tree": (kdtree, 64, (0.06, 1.5, 32)),
    "npeet_plus": (_npeet, 64, (0.1, 1.5, 40)),
    "infomeasure": (_infomeasure, 64, (0.1, 2, 50)),
    "sklearn": (_sklearn, 1, (0.1, 0, 0)),
    "ennemi": (_ennemi, 1, (0.1, 0, 0)),
}


def peers(n, d):
    """The peers that are installed and done within PATIENCE."""
    found = {}
    for name, (call, most, known) in PEERS.items():
        cost = np.interp(math.log(d), np.log([1, 4, 16]), known) * (n / 1e4) ** 2 * max(1, d / 16)
        package = name if name != "SciPy KD-tree" else "scipy"
        if d <= most and cost < PATIENCE and importlib.util.find_spec(package):
            found[name] = call
    return found


def timed(calls, rounds):
    """{name: (processor seconds, result)}: in turn if they are quick, else once."""
    once = {name: timing.clock(call)[1:] for name, call in calls.items()}
    quick = {name: call for name, call in calls.items() if once[name][0] < SLOW}
    turns = timing.in_turn(quick, rounds)
    return {**once, **{name: (t.busy, t.result) for name, t in turns.items()}}


def costs(sizes, rounds):
    """KSG in all sizes beside each peer: seconds, value and the value's error."""
    for n, d in sizes:
        x, y = pair(n, d)
        calls = {"here": lambda x=x, y=y: here(x, y)}
        calls |= {name: lambda c=c, x=x, y=y: c(x, y) for name, c in peers(n, d).items()}
        found = timed(calls, rounds)
        truth = -d / 2 * math.log(1 - RHO**2)
        seconds, value = found.pop("here")
        yield row(f"KSG, N={n}, d={d}+{d}", seconds, n=n, d=d, value=value, error=value - truth)
        for name, (other, theirs) in found.items():
            goal = None
            if name == "SciPy KD-tree" and n == 10000:
                goal = {1: 1.0, 16: 0.25}.get(d)
            yield row(
                f"KSG, N={n}, d={d}+{d}, beside {name}",
                seconds,
                against=("peer", name, other),
                goal=goal,
                n=n,
                d=d,
                apart=abs(value - theirs),
            )


def engines(sizes, rounds):
    """Engines beside each other: what "auto" should take."""
    for n, d in sizes:
        x, y = pair(n, d)
        names = [e for e in ("kdtree", "compiled", "brute") if e != "kdtree" or d <= 4]
        calls = {e: lambda e=e, x=x, y=y: here(x, y, e) for e in ("auto", *names)}
        found = timed(calls, rounds)
        best = min(names, key=lambda e: found[e][0])
        yield row(
            f'KSG, N={n}, d={d}+{d}, "auto" beside the quickest engine',
            found["auto"][0],
            against=("peer", best, found[best][0]),
            n=n,
            d=d,
            seconds={e: found[e][0] for e in names},
        )


def floor(n, d):
    """A call that takes max |a - b| over all pairs and coordinates, in blocks that fit a cache."""
    from numba import njit

    @njit
    def passes(blocks, gap):
        total = 0
        for a in range(blocks.shape[0]):
            for b in range(blocks.shape[0]):
                for lane in range(64):
                    gap[:] = 0.0
                    for t in range(0, blocks.shape[1], 4):
                        p, q = blocks[a, t, lane], blocks[a, t + 1, lane]
                        r, s = blocks[a, t + 2, lane], blocks[a, t + 3, lane]
                        for j in range(64):
                            far = gap[j]
                            one = abs(p - blocks[b, t, j])
                            far = one if one > far else far
                            one = abs(q - blocks[b, t + 1, j])
                            far = one if one > far else far
                            one = abs(r - blocks[b, t + 2, j])
                            far = one if one > far else far
                            one = abs(s - blocks[b, t + 3, j])
                            gap[j] = one if one > far else far
                    total += gap[lane] > 1.0
        return total

    blocks = np.random.default_rng(0).standard_normal((-(-n // 64), -(-d // 4) * 4, 64))
    return lambda: passes(blocks, np.empty(64))


def floors(sizes, rounds):
    """KSG beside two passes over all pairs, one for the neighbours and one for the counts."""
    for n, d in sizes:
        x, y = pair(n, d)
        found = timed({"here": lambda x=x, y=y: here(x, y), "floor": floor(n, 2 * d)}, rounds)
        two = 2 * found["floor"][0]
        name = "two passes over all pairs and coordinates"
        yield row(
            f"KSG, N={n}, d={d}+{d}, beside all pairs",
            found["here"][0],
            against=("floor", name, two),
            n=n,
            d=d,
        )


def others(n, rounds):
    """The other estimates beside theirs."""
    x, y = pair(n, 2)
    z = np.random.default_rng(1).standard_normal((n, 1))
    label = (x[:, 0] + np.random.default_rng(2).standard_normal(n) > 0).astype(int)
    a, b, c, names = (torch.from_numpy(part) for part in (x, y, z, label))
    work = {
        "KL entropy, d=4": lambda: kl_entropy(torch.cat((a, b), 1), K, "max"),
        "conditional KSG, d=2+2|1": lambda: ksg_conditional(a, b, c, K),
        "Ross, 2 labels, d=1": lambda: ross_information(names, a[:, :1], K),
        "mixtures, d=2+2": lambda: mixed_information(a, b, K),
    }
    beside = {}
    if importlib.util.find_spec("npeet_plus"):
        import npeet_plus

        beside["KL entropy, d=4"] = (
            "npeet_plus",
            lambda: npeet_plus.entropy(np.hstack((x, y)), k=K, base=math.e),
        )
        beside["conditional KSG, d=2+2|1"] = (
            "npeet_plus",
            lambda: npeet_plus.mi(x, y, z, k=K, base=math.e),
        )
    if importlib.util.find_spec("sklearn"):
        from sklearn.feature_selection import mutual_info_classif

        beside["Ross, 2 labels, d=1"] = (
            "sklearn",
            lambda: mutual_info_classif(x[:, :1], label, n_neighbors=K, random_state=0)[0],
        )
    for line, call in work.items():
        calls = {"here": lambda call=call: float(call().mean())}
        if line in beside:
            calls["peer"] = beside[line][1]
        found = timed(calls, rounds)
        seconds, value = found["here"]
        against = more = None
        if "peer" in found:
            against = ("peer", beside[line][0], found["peer"][0])
            more = {"apart": abs(value - float(found["peer"][1]))}
        yield row(f"{line}, N={n}", seconds, against=against, n=n, value=value, **(more or {}))


def growth(rounds, quick):
    """Exponents of N and of d in the seconds of KSG."""
    for d in (1, 16):
        sizes = (2500, 10000) if quick else (10000, 40000)
        samples = {n: pair(n, d) for n in sizes}
        found = timed({n: lambda n=n, s=samples: here(*s[n], "compiled") for n in sizes}, rounds)
        power = math.log(found[sizes[1]][0] / found[sizes[0]][0], sizes[1] / sizes[0])
        yield row(f"KSG, d={d}+{d}: power of N", found[sizes[1]][0], n=sizes[1], d=d, power=power)
    samples = {d: pair(4000, d) for d in (16, 128)}
    found = timed({d: lambda d=d, s=samples: here(*s[d], "compiled") for d in samples}, rounds)
    power = math.log(found[128][0] / found[16][0], 8)
    yield row("KSG, N=4000: power of d", found[128][0], n=4000, d=128, power=power)


MEMORY = """
import torch
from pnpfuse_analysis.information.kraskov import ksg_information
torch.set_num_threads(1)
def work(n, engine):
    x, y = torch.randn(2, n, {d}, dtype=torch.float64)
    return ksg_information(x, y, 3, engine)
for engine in ("{engine}", "compiled"):  # so that no code is loaded later
    work(300, engine.replace("auto", "brute"))
before, start = settle(), time.process_time()
work({n}, "{engine}")
print(json.dumps([peak() - before, time.process_time() - start]))
"""


def memory(sizes):
    """Extra memory of KSG in a process of its own, samples among it."""
    for n, d, engine in sizes:
        mib, seconds = fresh.run(MEMORY.format(n=n, d=d, engine=engine))
        line = f"KSG, N={n}, d={d}+{d}, {engine}: extra memory"
        met = {"goal": "<= 1024 MiB", "met": mib <= 1024}
        yield row(line, seconds, n=n, d=d, mib=mib, **met)


def cuda(sizes, rounds):
    """All pairs on CUDA beside the CPU's engine, copies there and back included."""
    for n, d in sizes:
        x, y = pair(n, d)

        def there(x=x, y=y):
            a, b = torch.from_numpy(x).cuda(), torch.from_numpy(y).cuda()
            return float(ksg_information(a, b, K).mean())

        # Seconds of a clock: the processor is idle while the device works.
        found = timing.in_turn({"cpu": lambda x=x, y=y: here(x, y), "cuda": there}, rounds)
        yield row(
            f"KSG on {torch.cuda.get_device_name()}, N={n}, d={d}+{d}, beside one CPU thread",
            found["cuda"].seconds,
            against=("peer", "CPU", found["cpu"].seconds),
            n=n,
            d=d,
            apart=abs(found["cuda"].result - found["cpu"].result),
        )


def measure(quick=False):
    """Return the rows of the report: list of dict, see `row`."""
    torch.set_num_threads(1)
    rounds = 3 if quick else 5
    sizes = [(n, d) for n in (500, 2000, 10000) for d in (1, 2, 4, 8, 16, 64)]
    large = [(50000, 1), (50000, 4), (50000, 16)]
    if quick:
        sizes, large = [(500, 1), (2000, 1), (2000, 4), (2000, 16), (10000, 1)], []
    found = [*costs(sizes + large, rounds)]
    found += engines([(n, d) for n, d in sizes if n * n * d <= 4e8], rounds)
    found += floors([(4000, 16)] if quick else [(10000, 16), (10000, 64)], rounds)
    found += others(2000 if quick else 10000, rounds)
    found += growth(rounds, quick)
    found += memory([(20000, 1, "auto"), (5000, 16, "brute")])
    if not quick:
        found += memory([(100000, 1, "auto"), (100000, 16, "auto")])
    if torch.cuda.is_available():
        found += cuda([(n, d) for n in (500, 2000, 10000, 50000) for d in (1, 4, 16)], rounds)
    return found
