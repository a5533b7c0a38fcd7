import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_analysis import distances
from sklearn.neighbors import NearestNeighbors

from pnpfuse_analysis.neighbours import choose_engine, count_within, nearest

ENGINES = ["kdtree", "brute"]


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
    full = distances(x.numpy(), np.inf)
    expected = (full < radius.numpy()[:, None]).sum(1)
    np.testing.assert_array_equal(count_within(x, radius, engine=engine), expected)
    whole = torch.arange(7.0, dtype=torch.float64)[:, None]
    count = count_within(whole, torch.full((7,), 2.0, dtype=torch.float64), engine=engine)
    assert count.tolist() == [1, 2, 2, 2, 2, 2, 1]


@given(
    seed=st.integers(0, 10**6), d=st.integers(1, 4), k=st.integers(1, 5), levels=st.integers(1, 9)
)
@settings(max_examples=60, deadline=None)
def test_engines_agree_with_and_without_copies(seed, d, k, levels):
    x = (samples(40, d, seed) * levels).round() / levels
    trees, brute = (nearest(x, k, metric="max", engine=engine) for engine in ENGINES)
    assert torch.equal(trees.distances, brute.distances)
    for found in (trees, brute):
        own = torch.arange(40)[:, None]
        assert not (found.indices == own).any()
        gap = (x[found.indices] - x[:, None]).abs().amax(2)
        assert torch.equal(gap, found.distances)
    radius = brute.distances[:, -1]
    counts = [count_within(x, radius, engine=engine) for engine in ENGINES]
    assert torch.equal(counts[0], counts[1])
    assert torch.equal(
        counts[0], torch.from_numpy((distances(x, np.inf) < radius.numpy()[:, None]).sum(1))
    )


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


def test_auto_goes_by_device_and_dimensions():
    assert choose_engine("auto", torch.zeros(3, 8)) == "kdtree"
    assert choose_engine("auto", torch.zeros(3, 9)) == "brute"
    assert choose_engine("auto", torch.zeros(3, 1, device="meta")) == "brute"
    assert choose_engine("kdtree", torch.zeros(3, 99)) == "kdtree"


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
