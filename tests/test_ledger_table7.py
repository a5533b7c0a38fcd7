"""The claims of PMR's Table 7, and of its forms beside each other, notice what says otherwise."""

import pytest
from ledger_flips import flips, scored, small_bench, tried

from pnpfuse.fusion import create_model
from pnpfuse.ledger import CORRECTED, FAILS, HOLDS, Training
from pnpfuse.ledger.measures.several import against, parameters
from pnpfuse.ledger.measures.table7 import OURS, OURS_CMMP, matched, narrowest
from pnpfuse.ledger.pmr import (
    above_contrastive_concat,
    above_ffn_concat,
    above_no_reconfiguration,
    above_rows_cmmp,
)

BETTER, NOISY = [60.0, 61.0, 62.0], [60.0, 41.0, 62.0]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return small_bench(tmp_path_factory.mktemp("trained"), seeds=3)


def verdicts(bench, name, ours):
    """With ours better than every row (50 %), with one of ours noisy, with a row better."""
    scores = {training: BETTER for training in ours.values()}
    first, second = ours.values()
    yield tried(name, scored(bench, scores)).verdict
    yield tried(name, scored(bench, {first: BETTER, second: NOISY})).verdict
    yield tried(name, scored(bench, scores, rest=70.0)).verdict


@flips("pmr/above_ffn_concat", "measurement")
def test_above_ffn_concat(bench):
    assert list(verdicts(bench, "pmr/above_ffn_concat", OURS)) == [HOLDS, CORRECTED, FAILS]


@flips("pmr/above_contrastive_concat", "measurement")
def test_above_contrastive_concat(bench):
    assert list(verdicts(bench, "pmr/above_contrastive_concat", OURS)) == [HOLDS, CORRECTED, FAILS]


@flips("pmr/above_no_reconfiguration", "measurement")
def test_above_no_reconfiguration(bench):
    assert list(verdicts(bench, "pmr/above_no_reconfiguration", OURS)) == [HOLDS, CORRECTED, FAILS]


@flips("pmr/above_rows_cmmp", "measurement")
def test_above_rows_cmmp(bench):
    assert list(verdicts(bench, "pmr/above_rows_cmmp", OURS_CMMP)) == [HOLDS, CORRECTED, FAILS]


def test_one_row_that_is_level_is_enough(bench):
    scores = {training: BETTER for training in OURS.values()} | {Training("ffn-linear"): BETTER}
    entry = tried("pmr/above_ffn_concat", scored(bench, scores))
    assert entry.verdict == FAILS and "not above FFN without ReLU beyond" in entry.why


def test_the_matched_rows_have_as_many_parameters(bench):
    count = {name: parameters(bench, t) for name, t in above_ffn_concat.rows(bench).items()}
    pmr = parameters(bench, Training("rpmr"))
    assert count["FFN"] == pytest.approx(pmr, rel=1e-3)
    assert count["FFN without ReLU"] == count["FFN"]
    narrow = {m: narrowest(bench) for m in bench.views.names}
    block = create_model("ffn", narrow, 10, encoder=None, n=matched(bench)).block
    whole = create_model("rpmr", bench.views.dims, 10).block
    sizes = [sum(weight.numel() for weight in one.parameters()) for one in (block, whole)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)


def test_the_rows_can_be_made_and_read_what_the_table_says(bench):
    every = {
        **above_contrastive_concat.rows(bench),
        **above_no_reconfiguration.rows(bench),
        **above_rows_cmmp.rows(bench),
    }
    models = {
        name: create_model(t.model, bench.views.dims, bench.views.classes, **t.options)
        for name, t in every.items()
    }
    common = narrowest(bench)
    assert set(models["Linear"].block.dims.values()) == {64, 40, common}
    assert models["Linear"].head.linear.in_features == common
    for name in ("L_con+Linear", "L_con+Linear+FFN"):
        assert models[name].loss_weights["nce"] == 0.1
    assert models["L_con+Linear"].head.linear.in_features == common
    ours = create_model("rg-cmmp", bench.views.dims, bench.views.classes)
    assert ours.head.linear.in_features == common


def test_differences_are_paired(bench):
    drifting = {Training("rpmr"): [50.0, 60.0, 70.0], Training("concat"): [49.0, 59.0, 69.0]}
    ours, rows = {"PMR": Training("rpmr")}, {"Identity": Training("concat")}
    of = against(scored(bench, drifting), ours, rows)["differences"]["PMR"]["Identity"]
    assert of["mean"] == pytest.approx(1) and of["sd"] == pytest.approx(0)
    assert of["high"] - of["mean"] == pytest.approx(bench.step)  # a row of the test set at least
