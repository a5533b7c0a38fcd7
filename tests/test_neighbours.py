import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_neighbours import gaps, kth, within
from sklearn.neighbors import NearestNeighbors

from pnpfuse_analysis.neighbours import choose_engine, count_within, nearest

ENGINES = ["kdtree", "compiled", "brute"]


def samples(n, d, seed=0):
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("metric", "name"), [("l2", "euclidean"), ("max", "chebyshev")])
@pytest.mark.parametrize("d", [1, 3, 12])
def test_nearest_agrees_with_scikit_learn(engine, metric, name, d):
    x = samples(150, d)
    found = nearest(x, 4, metric=metric, engine=engine, chunk=37)
    distance, index = NearestNeighbors(n_neighbors=4, metric=name).fit(x.numpy()).kneighbors()
    np.testing.assert_allclose(found.distances, distance, rtol=1e-13)
    np.testing.assert_array_equal(found.indices, index)


@pytest.mark.parametrize("engine", ENGINES)
def test_count_is_strict_to_the_last_bit(engine):
    # On a lattice many distances equal the radius: none of them may count.
    x = torch.arange(7.0, dtype=torch.float64)[:, None] * 0.1
    radius = nearest(x, 2, metric="max", engine=engine).distances[:, -1]
    np.testing.assert_array_equal(count_within(x, radius, engine=engine), within(x, radius))
    twice = torch.cat((x, x.flip(0) * 3), 1)
    radius = nearest(twice, 2, metric="max", engine=engine).distances[:, -1]
    np.testing.assert_array_equal(count_within(twice, radius, engine=engine), within(twice, radius))
    whole = torch.arange(7.0, dtype=torch.float64)[:, None]
    count = count_within(whole, torch.full((7,), 2.0, dtype=torch.float64), engine=engine)
    assert count.tolist() == [1, 2, 2, 2, 2, 2, 1]


@given(
    seed=st.integers(0, 10**6), d=st.integers(1, 5), k=st.integers(1, 5), levels=st.integers(1, 9)
)
@settings(max_examples=40, deadline=None)
def test_engines_agree_with_and_without_copies(seed, d, k, levels):
    x = (samples(150, d, seed) * levels).round() / levels
    found = {engine: nearest(x, k, metric="max", engine=engine) for engine in ENGINES}
    radius = torch.from_numpy(kth(x, k))
    for engine, (distances, indices) in found.items():
        assert torch.equal(distances[:, -1], radius)
        assert torch.equal(distances, found["brute"].distances)
        assert not (indices == torch.arange(150)[:, None]).any()
        assert all(len(set(row)) == k for row in indices.tolist())
        assert torch.equal((x[indices] - x[:, None]).abs().amax(2), distances)
        np.testing.assert_array_equal(count_within(x, radius, engine=engine), within(x, radius))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n", [2, 63, 64, 65, 129, 700])
def test_any_number_of_samples_and_any_radius(engine, n):
    x = samples(n, 3, seed=n)
    k = min(4, n - 1)
    np.testing.assert_array_equal(
        nearest(x, k, metric="max", engine=engine).distances, np.sort(gaps(x), 1)[:, :k]
    )
    for size in (0.1, 1.0, 4.0):  # a few, half, and nearly all others within
        radius = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
        count = count_within(x, size * (1 + radius), engine=engine)
        np.testing.assert_array_equal(count, within(x, size * (1 + radius)))


@pytest.mark.parametrize("engine", ENGINES)
def test_all_others_are_the_most_neighbours_there_can_be(engine):
    x = samples(6, 2)
    found = nearest(x, 5, engine=engine)
    assert found.indices.sort(1).values.tolist() == [
        [j for j in range(6) if j != i] for i in range(6)
    ]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("metric", ["l2", "max"])
def test_samples_in_clusters_and_on_lines(engine, metric):
    # Boxes that are apart, flat or inside each other; 40 dimensions of which 2 vary freely.
    base = samples(500, 2)
    base[:200] = base[:200] * 1e-3 + 5
    base[200:260] = base[200]
    x = torch.cat((base @ samples(2, 40, seed=1), torch.ones(500, 2)), 1)
    name = {"l2": "euclidean", "max": "chebyshev"}[metric]
    distance, _ = (
        NearestNeighbors(n_neighbors=3, metric=name, algorithm="kd_tree").fit(x).kneighbors()
    )
    found = nearest(x, 3, metric=metric, engine=engine)
    np.testing.assert_allclose(found.distances, distance, rtol=1e-12, atol=1e-300)


values = st.one_of(
    st.integers(-3, 3).map(float),
    st.integers(-20, 20).map(lambda i: i * 0.1),
    st.floats(-1e300, 1e300),
    st.floats(-1e-300, 1e-300),
)


@given(x=st.lists(values, min_size=2, max_size=40), data=st.data())
@settings(max_examples=150, deadline=None)
def test_counts_on_a_line_are_those_of_the_rounded_differences(x, data):
    x = torch.tensor(x, dtype=torch.float64)
    n = len(x)
    others = data.draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n))
    radius = (x - x[others]).abs()  # equal to one of the differences, or 0
    step = data.draw(st.sampled_from([-math.inf, 0.0, math.inf]))
    if step:
        radius = torch.nextafter(radius, torch.tensor(step, dtype=torch.float64)).clamp(min=0)
    expected = within(x, radius)
    np.testing.assert_array_equal(count_within(x[:, None], radius), expected)
    flat = torch.stack((x, torch.zeros(n, dtype=torch.float64)), 1)
    for engine in ENGINES:
        np.testing.assert_array_equal(count_within(flat, radius, engine=engine), expected)


@given(seed=st.integers(0, 10**6), power=st.sampled_from([-660, 0, 660]))
@settings(max_examples=20, deadline=None)
def test_order_and_scale_of_samples_do_not_matter(seed, power):
    x, order = samples(90, 3, seed), torch.randperm(90, generator=torch.Generator().manual_seed(1))
    radius = torch.from_numpy(kth(x, 2))
    expected = torch.from_numpy(within(x, radius))
    for engine in ENGINES:
        moved = torch.from_numpy(np.ldexp(x[order].numpy(), power))
        found = nearest(moved, 2, metric="max", engine=engine).distances[:, -1]
        assert torch.equal(found, torch.from_numpy(np.ldexp(radius[order].numpy(), power)))
        assert torch.equal(count_within(moved, found, engine=engine), expected[order])


@pytest.mark.parametrize("engine", ENGINES)
def test_an_open_ball_of_radius_zero_is_empty(engine):
    x = torch.ones(6, 2, dtype=torch.float64)
    assert count_within(x, torch.zeros(6, dtype=torch.float64), engine=engine).tolist() == [0] * 6


@pytest.mark.parametrize("engine", ENGINES)
def test_near_neighbours_far_from_the_origin_keep_their_digits(engine):
    # |x|^2 - 2xy + |y|^2 would lose all of them: 1e8 against 1e-6 squared.
    x = 1e4 + 1e-6 * torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    found = nearest(x, 1, engine=engine).distances[:, 0]
    exact = torch.stack((x[1] - x[0], x[1] - x[0], x[2] - x[1]))[:, 0]
    assert torch.equal(found, exact)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("metric", ["l2", "max"])
@pytest.mark.parametrize("power", [-1060, -900, -565, 531, 900, 1010])
def test_units_do_not_change_the_neighbours(engine, metric, power):
    # Whole numbers, so that 2^-1060 does not round them where floats have few digits left.
    x = (1e3 * samples(60, 3)).round()
    plain = nearest(x, 4, metric=metric, engine=engine)
    found = nearest(torch.from_numpy(np.ldexp(x.numpy(), power)), 4, metric=metric, engine=engine)
    assert torch.equal(found.indices, plain.indices)
    expected = [[math.ldexp(one, power) for one in row] for row in plain.distances.tolist()]
    # Below 2^-1022 a distance has no more digits than its place: half a step of 2^-1074.
    np.testing.assert_allclose(found.distances, expected, rtol=1e-15, atol=5e-324)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_constant_column_does_not_hide_small_differences(engine):
    x = 1e-170 * samples(50, 2)
    plain = nearest(x, 3, engine=engine)
    found = nearest(torch.cat((torch.full_like(x, 1e300), x), 1), 3, engine=engine)
    assert torch.equal(found.indices, plain.indices)
    assert torch.equal(found.distances, plain.distances)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("metric", ["l2", "max"])
def test_a_spread_beyond_the_largest_float_is_no_matter(engine, metric):
    x = torch.tensor([[-1.5e308], [-1.4e308], [1.5e308]], dtype=torch.float64)
    found = nearest(x, 1, metric=metric, engine=engine)
    assert found.indices[:, 0].tolist() == [1, 0, 1]
    np.testing.assert_allclose(found.distances[:, 0], [1e307, 1e307, np.inf], rtol=1e-14)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_near_neighbour_beside_a_far_sample_keeps_its_distance(engine):
    x = torch.tensor([[0.0, 0], [3e-200, 4e-200], [1, 1]], dtype=torch.float64)
    found = nearest(x, 1, engine=engine)
    assert found.indices[:2, 0].tolist() == [1, 0]
    np.testing.assert_allclose(found.distances[:2, 0], 5e-200, rtol=1e-15)


def test_blocks_do_not_change_the_result():
    x = samples(60, 3)
    whole, rows = nearest(x, 3, engine="brute"), nearest(x, 3, engine="brute", chunk=1)
    assert torch.equal(whole.distances, rows.distances)
    assert torch.equal(whole.indices, rows.indices)


def test_auto_goes_by_device_work_and_dimensions():
    assert choose_engine("auto", torch.zeros(3, 4)) == "kdtree"
    assert choose_engine("auto", torch.zeros(3, 5)) == "brute"
    assert choose_engine("auto", torch.zeros(2500, 2)) == "compiled"
    assert choose_engine("auto", torch.zeros(2000, 2)) == "kdtree"
    assert choose_engine("auto", torch.zeros(600, 32)) == "compiled"
    assert choose_engine("auto", torch.zeros(500, 32)) == "brute"
    assert choose_engine("auto", torch.zeros(600, 32), k=100) == "brute"
    assert choose_engine("auto", torch.zeros(10000, 2, device="meta")) == "brute"
    assert choose_engine("kdtree", torch.zeros(3, 99)) == "kdtree"


def test_threads_and_callers_do_not_change_the_result():
    x = samples(1000, 5)
    plain = nearest(x, 3, engine="compiled")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        shared = nearest(x, 3, engine="compiled")
        counts = count_within(x, plain.distances[:, -1], engine="compiled")
        with ThreadPoolExecutor(4) as pool:
            calls = list(pool.map(lambda _: nearest(x, 3, engine="compiled"), range(8)))
    finally:
        torch.set_num_threads(before)
    for found in (shared, *calls):
        assert torch.equal(found.distances, plain.distances)
        assert torch.equal(found.indices, plain.indices)
    np.testing.assert_array_equal(counts, within(x, plain.distances[:, -1]))


@pytest.mark.parametrize("engine", ENGINES)
def test_tensors_that_learn_and_views_are_fine(engine):
    x = samples(40, 6).requires_grad_()
    found = nearest(x[::2, ::3], 2, metric="max", engine=engine)
    assert not found.distances.requires_grad
    dense = x.detach()[::2, ::3].clone()
    np.testing.assert_array_equal(found.distances[:, -1], kth(dense, 2))
    single = nearest(dense.float(), 2, engine=engine).distances
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), nearest(dense, 2).distances, rtol=1e-5, atol=0)


COST = """
import sys, torch
from pnpfuse_analysis.neighbours import count_within, nearest

def memory(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))

def work(n, engine):
    x = torch.randn(n, 8, dtype=torch.float64)
    radius = nearest(x, 3, metric="max", engine=engine).distances[:, -1]
    count_within(x, radius, engine=engine)

work(200, "auto")
assert "numba" not in sys.modules
for engine in ("brute", "compiled"):
    work(200, engine)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts anew
    before = memory("VmRSS")
    work(5000, engine)
    print(memory("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells memory on Linux alone")
def test_memory_is_that_of_a_block_and_numba_waits_until_it_pays():
    run = subprocess.run([sys.executable, "-c", COST], capture_output=True, text=True, check=True)
    all_pairs = 5000**2 * 8 / 1024  # 190 MiB
    assert max(map(int, run.stdout.split())) < all_pairs / 8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("d", [1, 3, 12])
def test_cuda_finds_what_the_cpu_finds(d):
    x = (samples(700, d) * 8).round() / 8
    radius = nearest(x, 3, metric="max").distances[:, -1]
    found = nearest(x.cuda(), 3, metric="max")
    assert found.distances.is_cuda
    assert torch.equal(found.distances[:, -1].cpu(), radius)
    assert torch.equal(count_within(x.cuda(), radius.cuda()).cpu(), count_within(x, radius))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"k": 5}, "k must be below"),
        ({"k": 0}, "k must be a whole"),
        ({"k": 1, "metric": "l1"}, "metric"),
        ({"k": 1, "engine": "gpu"}, "engine"),
        ({"k": 1, "engine": "brute", "chunk": 0}, "chunk"),
    ],
)
def test_wrong_options_are_named(options, name):
    with pytest.raises(ValueError, match=name):
        nearest(samples(5, 2), **options)


def test_a_radius_for_each_sample():
    with pytest.raises(ValueError, match=r"radius must have shape \(5,\)"):
        count_within(samples(5, 2), torch.ones(4, dtype=torch.float64))
