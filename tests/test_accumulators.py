"""What accumulators hold after many batches, in one process and in two."""

import ast
import copy
import functools
import math
import multiprocessing
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from pnpfuse_analysis import (
    Buffered,
    Estimate,
    RunningCKA,
    RunningGap,
    RunningMean,
    RunningRank,
    RunningUniformity,
    alignment,
    as_torchmetric,
    cka,
    effective_rank,
    mmd2,
    modality_gap,
    mutual_information,
    uniformity,
)

CUTS = (40, 25, 3, 1, 31)  # sizes of uneven batches


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


X = noise(100, 5) + 2
Y = X[:, [1, 0, 3, 2, 4]] + noise(100, 5, seed=1)
BATCHES = list(zip(X.split(CUTS), Y.split(CUTS), strict=True))


def spread(x, y):
    """Mean squared difference: a mean over samples."""
    return (x - y).square().mean()


def kinds():
    """Accumulators by name, each with how much of a batch it takes."""
    return {
        "cka": (RunningCKA(), 2),
        "biased": (RunningCKA(unbiased=False), 2),
        "rbf": (RunningCKA(kernel="rbf", bandwidth=3.0), 2),
        "rank": (RunningRank(), 1),
        "centred": (RunningRank(centre=True), 1),
        "uniformity": (RunningUniformity(), 1),
        "gap": (RunningGap(), 2),
        "alignment": (RunningMean(alignment), 2),
        "mmd": (RunningMean(mmd2, bandwidth=2.0, least=2), 2),
        "all": (Buffered(spread, cap=1000), 2),
        "some": (Buffered(spread, cap=30), 2),
    }


def fed(name, batches=BATCHES):
    accumulator, parts = kinds()[name]
    for batch in batches:
        accumulator.update(*batch[:parts])
    return accumulator


@pytest.mark.parametrize(
    "name, expected",
    [
        ("rank", lambda: effective_rank(X)),
        ("centred", lambda: effective_rank(X, centre=True)),
        ("gap", lambda: modality_gap(X, Y)),
        ("alignment", lambda: alignment(X, Y)),
        ("all", lambda: spread(X, Y)),
    ],
)
def test_batches_add_up_to_the_whole(name, expected):
    found = fed(name).compute()
    assert found.shape == () and found.dtype == torch.float64
    assert float(found) == pytest.approx(float(expected()), rel=1e-12)
    assert float(fed(name, [(X, Y)]).compute()) == pytest.approx(float(expected()), rel=1e-12)


def test_one_batch_is_the_function():
    for name, expected in {
        "cka": cka(X, Y),
        "biased": cka(X, Y, unbiased=False),
        "rbf": cka(X, Y, kernel="rbf", bandwidth=3.0),
        "uniformity": uniformity(X),
        "mmd": mmd2(X, Y, 2.0),
    }.items():
        assert float(fed(name, [(X, Y)]).compute()) == pytest.approx(float(expected), rel=1e-12)


def test_minibatch_cka_is_that_of_all_samples_on_average():
    """Batches of 8 of 4000: unbiased the mean is right, biased it is not."""
    x = noise(4000, 12, dtype=torch.float32)
    y = x[:, :6] + 1.5 * noise(4000, 6, seed=1, dtype=torch.float32)
    whole = float(cka(x, y))
    running, biased = RunningCKA(), RunningCKA(unbiased=False)
    for a, b in zip(x.split(8), y.split(8), strict=True):
        running.update(a, b)
        biased.update(a, b)
    assert float(running.compute()) == pytest.approx(whole, abs=0.02)
    assert float(biased.compute()) > whole + 0.2


def test_batches_too_small_are_left_out_and_counted():
    running = fed("cka")
    assert running.left_out == 3 + 1
    assert float(running.compute()) == float(fed("cka", [BATCHES[i] for i in (0, 1, 4)]).compute())
    assert fed("uniformity").left_out == 1
    running.update(X[:0], Y[:0])
    assert running.left_out == 4
    empty = RunningRank()
    empty.update(X[:0])
    assert empty.state is None


def test_nothing_seen_is_nan_and_so_is_a_spoilt_batch():
    for name, (accumulator, parts) in kinds().items():
        assert math.isnan(float(accumulator.compute())), name
        bad = X.clone()
        bad[3, 2] = math.nan
        accumulator.update(*(bad, Y)[:parts])
        accumulator.update(*(X, Y)[:parts])
        if name != "some":  # it may not have drawn that row
            assert math.isnan(float(accumulator.compute())), name
        accumulator.reset()
        accumulator.update(*(X, Y)[:parts])
        assert math.isfinite(float(accumulator.compute())), name


@pytest.mark.parametrize("name", kinds())
def test_merging_is_the_same_as_going_on(name):
    whole, one, other = fed(name), fed(name, BATCHES[:2]), fed(name, BATCHES[2:])
    empty = fed(name, [])
    one.merge(empty)
    empty.merge(other)
    one.merge(empty)
    assert one.left_out == whole.left_out
    if name == "some":  # other keys, another draw
        assert (one.kept, one.seen) == (whole.kept, whole.seen) == (30, 100)
    else:
        assert float(one.compute()) == pytest.approx(float(whole.compute()), rel=1e-12)
    assert "nan" not in repr(one)


@pytest.mark.parametrize("name", kinds())
def test_copies_go_their_own_way(name):
    first = fed(name, BATCHES[:2])
    value = float(first.compute())
    for twin in (copy.deepcopy(first), pickle.loads(pickle.dumps(first)), first.sync()):
        assert float(twin.compute()) == value
        parts = kinds()[name][1]
        twin.update(*(X * 3, Y)[:parts])
        assert float(first.compute()) == value


@pytest.mark.parametrize("name", kinds())
def test_any_dtype_without_gradient(name):
    accumulator, parts = kinds()[name]
    x, y = X.bfloat16().requires_grad_(), Y.bfloat16()
    accumulator.update(*(x, y)[:parts])
    found = accumulator.compute()
    assert not found.requires_grad and torch.isfinite(found)
    assert all(not part.requires_grad for part in accumulator.state)
    accumulator.reset()
    accumulator.update(*(X.numpy()[::-1], Y.numpy()[::-1])[:parts])
    assert math.isfinite(float(accumulator.compute()))
    assert accumulator.to("cpu") is accumulator


@pytest.mark.parametrize("name", kinds())
def test_in_inference_mode_and_out_of_it(name):
    accumulator, parts = kinds()[name]
    for place, batch in enumerate(BATCHES):
        with torch.inference_mode(place % 2 == 0):
            accumulator.update(*(part * 1 for part in batch[:parts]))
    if name != "some":  # nor does "all" keep the rows in their order
        assert float(accumulator.compute()) == pytest.approx(float(fed(name).compute()), rel=1e-12)


def test_rank_far_from_the_origin_in_many_batches():
    """Merged scatters do not cancel: an offset of 1e6 costs the covariance no digits."""
    x = noise(2000, 6) * torch.tensor([1, 0.5, 0.2, 0.1, 0.05, 0.02]) + 1e6
    running = RunningRank(centre=True)
    for batch in x.split(16):
        running.update(batch)
    assert float(running.compute()) == pytest.approx(
        float(effective_rank(x, centre=True)), rel=1e-7
    )
    flat = RunningRank()
    flat.update(noise(40, 2) @ noise(2, 9, seed=1))
    assert 1 < float(flat.compute()) < 2


def test_reservoir_draws_every_sample_alike():
    """Kept counts over 400 runs against the binomial, first and last rows alike."""
    rows = torch.arange(60.0)
    counts = torch.zeros(60)
    for seed in range(400):
        buffer = Buffered(lambda r: r, cap=15, generator=torch.Generator().manual_seed(seed))
        for batch in rows.split(17):
            buffer.update(batch)
        kept = buffer.compute()
        assert len(kept) == 15 and len(kept.unique()) == 15
        counts[kept.long()] += 1
    assert (buffer.kept, buffer.seen) == (15, 60)
    spread = math.sqrt(400 * 0.25 * 0.75)
    assert (counts - 100).abs().max() < 4.5 * spread
    assert abs(float((counts * (rows - 29.5)).sum())) < 4 * spread * 134  # no trend with age


def test_reservoir_keeps_rows_together_in_their_dtypes():
    buffer = Buffered(lambda *parts: parts, cap=8)
    state = torch.get_rng_state()
    for start in range(0, 100, 20):
        rows = torch.arange(start, start + 20)
        buffer.update(rows, rows.half() / 2, torch.stack((rows, -rows), 1).numpy())
    assert torch.equal(torch.get_rng_state(), state)  # a training loop's draws are left alone
    index, half, pair = buffer.compute()
    assert (index.dtype, half.dtype, pair.dtype) == (torch.int64, torch.float16, torch.int64)
    assert torch.equal(half, index.half() / 2)
    assert torch.equal(pair, torch.stack((index, -index), 1))
    assert repr(buffer) == "Buffered(<lambda> on 8 of 100 samples)"
    small = Buffered(lambda x: x, cap=50)
    small.update(torch.arange(3.0))
    assert sorted(small.compute().tolist()) == [0, 1, 2]


def test_reservoir_says_what_it_left_out():
    buffer = Buffered(mutual_information, cap=200, k=4)
    for x, y in zip(X.repeat(5, 1).split(90), Y.repeat(5, 1).split(90), strict=True):
        buffer.update(x[:, :1] + 1e-3 * noise(len(x), 1), y[:, :1])
    found = buffer.compute()
    assert isinstance(found, Estimate) and found.n == 200
    assert found.warnings[-1] == "Computed on 200 of 500 samples, drawn at random."
    whole = Buffered(mutual_information, cap=500)
    whole.update(X, Y)
    assert whole.compute().warnings == mutual_information(X, Y).warnings


def test_arguments_that_do_not_fit():
    buffer = fed("some")
    for call, match in [
        (lambda: RunningCKA(kernel="rbf"), "bandwidth must be given for kernel='rbf'"),
        (lambda: RunningCKA(bandwidth=1.0), "and for no other, found 1.0 for 'linear'"),
        (lambda: RunningCKA().update(X.reshape(4, 25, 5), Y), r"x .*\(N,\) or \(N, d\)"),
        (lambda: RunningCKA().update(X, Y[:50]), "same samples"),
        (lambda: RunningGap().update(X, Y[:0]), "y must have shape"),
        (lambda: RunningRank().update(X.tolist()), "must be a torch tensor or a NumPy array"),
        (lambda: Buffered(cka, cap=0), "cap must be a whole number >= 1, found 0"),
        (lambda: buffer.merge(buffer), "must be another accumulator, found this one"),
        (lambda: RunningCKA().update(noise(2, 3), noise(50, 3)), "same samples"),
        (lambda: RunningCKA().update(), "batch must have 2 parts, found 0"),
        (lambda: RunningRank().update(X, Y), "batch must have 1 parts, found 2"),
        (lambda: RunningMean(spread).update(), "batch must have some parts, found 0"),
        (lambda: RunningMean(spread).update(X[0, 0]), r"batch\[0\] must have samples on its first"),
        (lambda: RunningMean(spread).update(X.to_sparse()), r"batch\[0\] must be dense"),
        (lambda: RunningRank().update(np.array(["a"])), r"in batch\[0\]\.astype\(float\)"),
        (lambda: RunningMean(3), "function must be a callable of a batch, found 3"),
        (lambda: Buffered(3), "function must be a callable of a batch, found 3"),
        (lambda: RunningMean(spread, least="a"), "least must be a whole number >= 1, found 'a'"),
        (lambda: Buffered(spread, generator=3), "generator must be a torch.Generator or None"),
        (lambda: RunningUniformity(-1), "t must be a number > 0, found -1"),
        (lambda: RunningUniformity(math.nan), "t must be a number > 0, found nan"),
        (lambda: RunningUniformity("a"), "t must be a number > 0, found 'a'"),
        (lambda: RunningCKA(kernel="rbf", bandwidth=-1.0), "bandwidth must be a number > 0"),
        (lambda: RunningCKA(kernel="rbf", bandwidth=(1.0,) * 3), "one width, or a pair for x and"),
        (lambda: RunningMean(mutual_information).update(X, Y), "found Estimate; Buffered"),
        (lambda: as_torchmetric(3), "accumulator must be one of pnpfuse_analysis, found 3"),
        (lambda: buffer.update(X, Y[:50]), "must hold the same samples on one device"),
        (lambda: buffer.update(X, Y[:, :2]), r"shape of the first one, found .*\(2,\)"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=match):
            call()


@pytest.mark.parametrize(
    "dtype, rows, expected",
    [
        (torch.bool, [True, False, False, False], 0.25),
        (torch.uint8, [255, 255, 255, 250], 253.75),
        (torch.float16, [60000, 60000, 60000, 50000], 57500),
        (torch.bfloat16, [1, 0, 0, 1], 0.5),
    ],
)
def test_means_are_added_up_in_float64(dtype, rows, expected):
    batch = torch.tensor(rows).to(dtype)
    running = RunningMean(lambda x: x[0])
    for _ in range(1500):
        for one in batch.split(1):
            running.update(one)
    assert running.compute().dtype == torch.float64
    expected = float(batch.double().mean())
    assert float(running.compute()) == pytest.approx(expected, rel=1e-13)


def test_means_of_numbers_that_are_no_tensors():
    for function in (
        lambda x: float(x.mean()),
        lambda x: np.float32(x.mean()),
        lambda x: x.mean().numpy(),
        lambda x: int(x.sum() > 0) / 1,
    ):
        running = RunningMean(function)
        for batch in X.split(CUTS):
            running.update(batch)
        whole = sum(float(function(b)) * len(b) for b in X.split(CUTS)) / 100
        assert float(running.compute()) == pytest.approx(whole, rel=1e-12)


def test_only_the_like_are_merged():
    """Each of these differs in kind, options or function from all others."""

    def make():
        return [
            RunningCKA(),
            RunningCKA(unbiased=False),
            RunningCKA(kernel="rbf", bandwidth=1.0),
            RunningCKA(kernel="rbf", bandwidth=torch.tensor(2.0)),
            RunningRank(),
            RunningRank(centre=True),
            RunningUniformity(),
            RunningUniformity(3.0),
            RunningGap(),
            RunningMean(alignment),
            RunningMean(modality_gap),
            RunningMean(modality_gap, least=2),
            RunningMean(alignment, alpha=3),
            RunningMean(functools.partial(alignment, alpha=3)),
            RunningMean(torch.nn.MSELoss()),
            RunningMean(torch.nn.MSELoss(reduction="sum").forward),
            Buffered(spread),
            Buffered(spread, cap=9),
            Buffered(alignment),
        ]

    for i, one in enumerate(make()):
        for j, other in enumerate(make()):
            if i == j:
                one.merge(pickle.loads(pickle.dumps(other)))
                continue
            with pytest.raises(ValueError, match="of the kind and options of this one"):
                one.merge(other)
    local = [RunningMean(f) for f in (lambda x: x.mean(), lambda x: x.amax())]
    local[0].merge(copy.deepcopy(local[0]))
    for wrong in (local[1], 3):
        with pytest.raises(ValueError, match="of the kind and options of this one"):
            local[0].merge(wrong)


@pytest.mark.parametrize("name", ["cka", "rbf", "rank", "uniformity", "gap", "alignment", "some"])
def test_widths_stay_as_they_were(name):
    """A batch or an accumulator of other widths is refused, and nothing is lost by it."""
    accumulator, parts = kinds()[name]
    if name == "alignment":  # a function of anything: what counts is the shape of its values
        accumulator = RunningMean(lambda x, y: (x - y).mean(0))
    accumulator.update(*(X, Y)[:parts])
    before = accumulator.compute()
    narrow = [part[:, :1] for part in (X, Y)[:parts]]
    other = copy.deepcopy(accumulator)
    other.reset()
    other.update(*narrow)
    for wrong in (lambda: accumulator.update(*narrow), lambda: accumulator.merge(other)):
        with pytest.raises(ValueError, match="batches must have the (width|shape) of the first"):
            wrong()
        assert torch.equal(accumulator.compute(), before)


@pytest.mark.parametrize("centre", [False, True])
def test_rank_at_any_scale(centre):
    expected = float(effective_rank(X, centre=centre))
    for scale in (1e-300, 1e-200, 1e200, 1e300):
        running = RunningRank(centre=centre)
        running.update(torch.zeros(0, 5))
        for batch in (X * scale).split(CUTS):
            running.update(batch)
        assert float(running.compute()) == pytest.approx(expected, rel=1e-12)
    apart = RunningRank(centre=centre)
    for scale in (0, 1e-200, 1, 1e-200):
        apart.update(X * scale)
    expected = effective_rank(torch.cat((X, torch.zeros(300, 5))), centre=centre)
    assert float(apart.compute()) == pytest.approx(float(expected), rel=1e-12)


def test_copies_of_a_buffer_draw_for_themselves():
    """Keys of the next batch: all different between copies, whatever way they were made."""
    for generator in (None, torch.Generator().manual_seed(3)):
        first = Buffered(spread, cap=30, generator=generator)
        first.update(X, Y)
        copies = [copy.copy(first), copy.deepcopy(first), pickle.loads(pickle.dumps(first))]
        copies.append(copy.deepcopy(copies[1]))
        slots = [part.clone() for part in first.state]
        keys = []
        for one in copies:
            one.update(X, Y)
            assert all(torch.equal(*pair) for pair in zip(first.state, slots, strict=True))
        for one in [first, *copies]:
            one.reset()
            one.update(X[:30], Y[:30])
            keys.append(one.state[1])
        assert len(torch.cat(keys).unique()) == 5 * 30
    # A given seed is what decides, not how many buffers there were before.
    same = [Buffered(spread, cap=9, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    for one in same:
        one.update(X, Y)
    assert torch.equal(same[0].state[1], same[1].state[1])


def draw(buffer):
    """The keys of a buffer's next batch, as plain numbers."""
    buffer.update(X[:10], Y[:10])
    return buffer.state[1].tolist()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_workers_draw_for_themselves():
    buffer = Buffered(spread, cap=10)
    start = torch.set_num_threads, (1,)  # threads do not survive a fork
    with multiprocessing.get_context("fork").Pool(1, *start) as pool:
        keys = pool.apply(draw, (buffer,))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        os.write(write, repr(draw(buffer)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    keys += ast.literal_eval(os.read(read, 10000).decode()) + draw(buffer)
    assert len(set(keys)) == 30


def test_reservoir_widens_to_what_comes():
    """The wider dtype of two, float64 where whole numbers meet real ones."""
    for first, then, dtype in [
        (torch.tensor([0, 1]), torch.tensor([0.5, 0.9]), torch.float64),
        (torch.tensor([0.5, 1]).half(), torch.tensor([1e6, 2.0]), torch.float32),
        (torch.tensor([1e6, 2.0]), torch.tensor([0.5, 1]).half(), torch.float32),
        (torch.tensor([100003, 1]), torch.tensor([0.5, 1]).half(), torch.float64),
        (torch.tensor([0.5]).half(), torch.tensor([0.25]).bfloat16(), torch.float32),
        (torch.tensor([True]), torch.tensor([300]), torch.int64),
        (torch.tensor([0.5]), torch.tensor([1 + 2j]), torch.complex64),
    ]:
        buffer, other = (Buffered(lambda x: x, cap=9) for _ in range(2))
        buffer.update(first)
        merged = copy.deepcopy(buffer)
        buffer.update(then)
        other.function = merged.function
        other.update(then)
        merged.merge(other)
        expected = torch.cat((first.to(dtype), then.to(dtype)))
        for found in (buffer.compute(), merged.compute()):
            assert found.dtype == dtype
            key = (lambda z: z.real) if dtype.is_complex else None
            assert sorted(found.tolist(), key=key) == sorted(expected.tolist(), key=key)
    means = Buffered(lambda x: x.mean(), cap=9)
    means.update(torch.tensor([0, 1]))
    means.update(torch.tensor([0.5, 0.9], dtype=torch.float64))
    assert float(means.compute()) == pytest.approx(0.6, rel=1e-15)


@pytest.mark.parametrize("name", kinds())
def test_whatever_the_default_device(name):
    with torch.device("meta"):
        found = fed(name)
        assert found.state[0].device.type == "cpu"
        assert math.isfinite(float(found.compute()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", kinds())
def test_updates_do_not_wait_for_cuda(name):
    accumulator, parts = kinds()[name]
    batches = [[part.cuda() for part in batch[:parts]] for batch in BATCHES]
    accumulator.update(*batches[0])
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches[1:]:
            accumulator.update(*batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(part.is_cuda for part in accumulator.state)
    if name != "some":
        torch.testing.assert_close(accumulator.compute().cpu(), fed(name).compute())


def as_metrics():
    return {name: as_torchmetric(kinds()[name][0]) for name in kinds() if kinds()[name][1] == 2}


def test_beside_torchmetrics():
    torchmetrics = pytest.importorskip("torchmetrics")
    metrics = torchmetrics.MetricCollection(as_metrics() | {"mse": torchmetrics.MeanSquaredError()})
    for x, y in BATCHES:
        metrics.update(x, y)
    found = metrics.compute()
    assert float(found["mse"]) == pytest.approx(float(spread(X, Y)))
    for name in set(as_metrics()) - {"some"}:  # which draws other rows
        assert float(found[name]) == pytest.approx(float(fed(name).compute()), rel=1e-12), name
    twin = pickle.loads(pickle.dumps(metrics))
    assert float(twin.compute()["gap"]) == float(found["gap"])
    metrics.reset()
    # Called, a metric returns the value of that batch, and keeps it as well.
    once = metrics(*BATCHES[0])
    assert float(once["cka"]) == pytest.approx(float(cka(*BATCHES[0])), rel=1e-12)
    for batch in BATCHES[1:]:
        once = metrics(*batch)
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert math.isnan(float(as_torchmetric(RunningCKA()).compute()))
    again = metrics.compute()
    for name in set(as_metrics()) - {"some"}:
        assert float(again[name]) == pytest.approx(float(fed(name).compute()), rel=1e-12), name


def work(place, rank):
    """What each of two processes does: one has the first batches, the other the rest, or none."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{place}", rank=rank, world_size=2
    )
    mine = BATCHES[:2] if rank == 0 else BATCHES[2:]
    for name in kinds():
        local = fed(name, mine)
        before = float(local.compute())
        whole = local.sync()
        assert whole.left_out == fed(name).left_out
        agree(whole.compute())
        if name == "some":
            assert (whole.kept, whole.seen) == (30, 100)
        else:
            assert float(whole.compute()) == pytest.approx(float(fed(name).compute()), rel=1e-12)
        assert float(local.compute()) == before
        # One process without any batch.
        lonely = fed(name, BATCHES if rank == 1 else []).sync().compute()
        agree(lonely)
        assert math.isfinite(float(lonely))
    keys = fed("all", BATCHES[:1]).state[1]
    others = [torch.zeros_like(keys) for _ in range(2)]
    torch.distributed.all_gather(others, keys)
    assert not torch.equal(*others)  # each process draws for itself
    try:
        metrics = as_metrics()
    except ImportError:
        metrics = {}
    for name, metric in metrics.items():
        for batch in mine:
            metric(*batch)
        found = metric.compute()
        agree(found)
        if name != "some":
            assert float(found) == pytest.approx(float(fed(name).compute()), rel=1e-12), name
        metric.reset()
        if rank == 0:
            metric.update(*BATCHES[0])
        assert math.isfinite(float(metric.compute())), name
    torch.distributed.destroy_process_group()


def agree(value):
    found = [torch.zeros_like(value) for _ in range(2)]
    torch.distributed.all_gather(found, value)
    assert torch.equal(*found)


def test_two_processes_compute_as_one(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen(
            [sys.executable, __file__, str(tmp_path / "meet"), str(rank)],
            env=environment, stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    errors = [process.communicate(timeout=240)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], "".join(errors)[-4000:]


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
