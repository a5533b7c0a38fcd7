"""What accumulators hold after many batches, in one process and in two."""

import copy
import math
import os
import pickle
import subprocess
import sys

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
    if name != "some":
        assert float(accumulator.compute()) == float(fed(name).compute())


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
        (lambda: buffer.merge(Buffered(spread, cap=31)), "cap of this buffer.*found 31 and 30"),
        (lambda: buffer.update(X, Y[:50]), "must hold the same samples on one device"),
        (lambda: buffer.update(X, Y[:, :2]), r"shape of the first one, found .*\(2,\)"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=match):
            call()


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
