"""PMR's tables: the claims notice planted scores, a leak, a mask ignored, another print."""

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr
from ledger_flips import flips, scored, small_bench, tried

from pnpfuse import retrieval
from pnpfuse.evaluation import accuracies
from pnpfuse.fusion.exchange import Exchange
from pnpfuse.fusion.model import FusionModel
from pnpfuse.ledger import CORRECTED, FAILS, HOLDS, UNTRIED, Bench, Training
from pnpfuse.ledger.bench import CannotTry
from pnpfuse.ledger.measures.missing_input import unaware
from pnpfuse.ledger.measures.table7 import OURS, OURS_CMMP, aligned
from pnpfuse.ledger.pmr import (
    experts_gain,
    imbalanced_accuracy,
    leads_in_print,
    printed_baselines,
    probes_gain,
    relaxed_above_strict,
    retrieval_leak,
    srht_above_learned,
    subsets_average,
    unequal_widths,
)

SCORES = ("accuracy", "balanced_accuracy")
LOW, HIGH, BETTER = [50.0, 50.5, 51.0], [59.0, 60.0, 61.0], [69.0, 70.0, 71.0]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return small_bench(tmp_path_factory.mktemp("trained"), seeds=3)


class Conditioned(Bench):
    """A bench with planted scores by condition: {training: {condition: percent}}; 0 elsewhere."""

    def scores(self, training: Training) -> xr.Dataset:
        names = list(training.only or self.views.names)
        conditions = ["none", "each", *(f"{k}:{m}" for k in ("missing", "only") for m in names)]
        shift = np.linspace(-0.5, 0.5, len(self.seeds))[:, None]  # a spread over the seeds
        planted = self.planted.get(training.key, {})
        table = np.array([planted.get(c, planted.get("", 0.0)) for c in conditions]) + shift
        return xr.Dataset(
            {self.score: (("seed", "condition"), table / 100)},
            {"seed": list(self.seeds), "condition": conditions},
        )


def conditioned(bench, planted):
    new = Conditioned(bench.views, bench.folder, bench.seeds, bench.epochs, bench.quick)
    object.__setattr__(new, "planted", {t.key: of for t, of in planted.items()})
    return new


@flips("pmr/all_present", "measurement")
def test_all_present(bench):
    ours = {training: HIGH for training in (*OURS.values(), *OURS_CMMP.values())}
    assert tried("pmr/all_present", scored(bench, ours)).verdict == HOLDS
    entry = tried("pmr/all_present", scored(bench, ours | {aligned(bench): BETTER}))
    assert entry.verdict == CORRECTED and "rG-CMMP is below CMMP" in entry.why
    strict = {OURS["sPMR"]: HIGH, OURS_CMMP["sG-CMMP"]: HIGH}
    entry = tried("pmr/all_present", scored(bench, strict))
    assert entry.verdict == CORRECTED and "for the strict form only" in entry.why
    entry = tried("pmr/all_present", scored(bench, {OURS["sPMR"]: HIGH}))
    assert entry.verdict == FAILS and entry.why.startswith("only sG-Concat is above")


@flips("pmr/above_best_modality", "measurement")
def test_above_best_modality(bench):
    name, ours = "pmr/above_best_modality", {training: HIGH for training in OURS.values()}
    below = {Training("concat"): [39.0, 40.0, 41.0]}
    assert tried(name, scored(bench, ours | below)).verdict == HOLDS
    entry = tried(name, scored(bench, ours))  # Concat is level with the best
    assert entry.verdict == CORRECTED and "plain concatenation is not below" in entry.why
    alone = {Training("concat", only=("fourier",)): BETTER}
    assert tried(name, scored(bench, ours | alone)).verdict == FAILS


@flips("pmr/perceiver_front", "measurement")
def test_perceiver_front(bench):
    ours, plain = Training("g-perceiver"), Training("perceiver")
    whole, gone = {"none": 90.0, "each": 60.0}, {"none": 80.0, "each": 70.0}
    both = conditioned(bench, {ours: whole, plain: {"": 50.0}})
    assert tried("pmr/perceiver_front", both).verdict == HOLDS
    entry = tried("pmr/perceiver_front", conditioned(bench, {ours: whole, plain: gone}))
    assert entry.verdict == CORRECTED and "with all modalities only" in entry.why
    assert tried("pmr/perceiver_front", scored(bench, {plain: HIGH})).verdict == FAILS


@flips("pmr/srht_competitive", "measurement")
def test_srht_competitive(bench):
    name = "pmr/srht_competitive"
    level = {training: HIGH for training in (Training("rg-srht"), *OURS.values())}
    assert tried(name, scored(bench, level)).verdict == HOLDS
    entry = tried(name, scored(bench, level | {Training("spmr"): BETTER}))
    assert entry.verdict == FAILS and "lower beyond the spread: rG-SRHT than sPMR" in entry.why


@flips("pmr/seven_subsets", "measurement")
def test_seven_subsets(bench):
    ours, ffn = Training("rg-cmmp", {"experts": "moe"}), Training("ffn")
    found = tried("pmr/seven_subsets", conditioned(bench, {ours: {"": 70.0}, ffn: {"": 60.0}}))
    assert found.verdict == HOLDS and len(found.found["differences"]["FFN"]) == 8
    weak = {"": 70.0, "only:fourier": 50.0}
    entry = tried("pmr/seven_subsets", conditioned(bench, {ours: weak, ffn: {"": 60.0}}))
    assert entry.verdict == CORRECTED and "below with fourier" in entry.why
    assert tried("pmr/seven_subsets", scored(bench, {ffn: HIGH})).verdict == FAILS


@flips("pmr/subsets_best", "measurement")
def test_subsets_best(bench):
    ours, others = Training("rg-cmmp", {"experts": "moe"}), ("concat", "late", "misa")
    level = {Training(name): {"": 60.0} for name in others}
    best = conditioned(bench, {**level, ours: {"": 62.0}})
    assert tried("pmr/subsets_best", best).verdict == HOLDS
    level[Training("late")] = {"": 60.0, "missing:pixels": 80.0}
    entry = tried("pmr/subsets_best", conditioned(bench, {**level, ours: {"": 62.0}}))
    assert entry.verdict == FAILS and entry.why.startswith("below late fusion in 1 of the seven")


@flips("pmr/robust_missing", "measurement")
def test_robust_missing(bench, monkeypatch):
    from pnpfuse.ledger.pmr import robust_missing

    monkeypatch.setattr(robust_missing, "unaware", lambda bench, t: bench.accuracy(t, "each"))
    ours = {training: HIGH for training in OURS.values()}
    assert tried("pmr/robust_missing", scored(bench, ours)).verdict == HOLDS
    assert tried("pmr/robust_missing", scored(bench, ours, rest=70.0)).verdict == FAILS
    monkeypatch.setattr(robust_missing, "unaware", lambda bench, t: np.array(LOW))
    entry = tried("pmr/robust_missing", scored(bench, ours))
    assert entry.verdict == CORRECTED and entry.why.startswith("with the features set to 0 only")


def test_unaware_sets_the_input_to_the_training_mean(bench):
    training = Training("concat")
    model, test = bench.model(training, 0), bench.views.test
    one = unaware(small_bench(bench.folder, seeds=2), training)[0]
    means = {m: X.mean(0) for m, X in bench.views.train.features.items()}
    right = []
    for gone in model.dims:
        X = {m: torch.from_numpy(x) for m, x in test.features.items()}
        X[gone] = torch.from_numpy(means[gone]).expand(len(test), -1)
        with torch.no_grad():
            named = model(X).logits.argmax(1).numpy()  # (rows,)
        right.append(dict(zip(SCORES, accuracies(test.labels, named), strict=True))[bench.score])
    assert one == pytest.approx(100 * np.mean(right))


@flips("pmr/graceful_missing", "implementation")
def test_graceful_missing(bench, tmp_path, monkeypatch):
    lossy = {training: {"none": 90.0, "each": 60.0} for training in OURS.values()}
    plain = {Training("concat"): {"none": 90.0, "each": 80.0}}
    assert tried("pmr/graceful_missing", conditioned(bench, lossy | plain)).verdict == FAILS
    lossy[Training("spmr")] = {"none": 90.0, "each": 81.0}
    assert tried("pmr/graceful_missing", conditioned(bench, lossy | plain)).verdict == CORRECTED
    # A mask that is ignored: nothing is ever lost, and every model degrades gracefully.
    forward = FusionModel.forward
    monkeypatch.setattr(
        FusionModel,
        "forward",
        lambda model, features, present=None, labels=None: forward(model, features, None, labels),
    )
    entry = tried("pmr/graceful_missing", small_bench(tmp_path))
    assert entry.verdict == HOLDS and max(entry.found["models"]["rPMR"]["scores"]) == 0


def leaking(model, views, modality, parts="all", rows=None):
    """The mean of what all modalities of the sample share: the paired item is in the query."""
    if model.name == "cmmp":
        return HONEST(model, views, modality, parts, rows)
    with torch.no_grad():
        X = {m: torch.from_numpy(x) for m, x in views.features.items()}
        return torch.stack(list(model(X).fusion.shared.values())).mean(0)


HONEST = retrieval.embeddings


@flips("pmr/retrieval_gain", "implementation")
def test_retrieval_gain(bench, monkeypatch):
    bench = dataclasses.replace(bench, seeds=(0, 1))
    assert tried("pmr/retrieval_gain", bench).verdict == FAILS
    monkeypatch.setattr(retrieval, "embeddings", leaking)
    assert tried("pmr/retrieval_gain", bench).verdict == HOLDS


@flips("pmr/retrieval_leak", "implementation")
def test_retrieval_leak(bench, monkeypatch):
    entry = tried("pmr/retrieval_leak", bench)
    assert entry.verdict == CORRECTED and min(entry.found["fused"]) == 100
    with monkeypatch.context() as own:  # every modality keeps its own shared part
        own.setattr(Exchange, "_exchanged", _kept)
        assert tried("pmr/retrieval_leak", bench).verdict == HOLDS
    monkeypatch.setattr(retrieval_leak, "embeddings", leaking)
    entry = tried("pmr/retrieval_leak", bench)
    assert entry.verdict == FAILS and "own shared parts find" in entry.why


def _kept(block, V, masks):
    own, specific, losses = block.separate(V, masks)
    fused = {m: torch.cat([own[m], specific[m]], dim=-1) for m in V}
    return fused, own, specific, losses


def planted(scores, rest=tuple(HIGH)):
    """`retrieved` with scores of one's own."""
    by = {training.key: of for training, of in scores.items()}
    return lambda bench, training, relevance="class": np.array(by.get(training.key, rest))


def planted_gain(bench, monkeypatch, module, ours):
    """Verdicts with ours better, and worse."""
    name = f"pmr/{module.__name__.rpartition('.')[2]}"
    for score in (BETTER, LOW):
        monkeypatch.setattr(module, "retrieved", planted({ours: score}))
        yield tried(name, bench).verdict


@flips("pmr/relaxed_above_strict", "measurement")
def test_relaxed_above_strict(bench, monkeypatch):
    found = planted_gain(bench, monkeypatch, relaxed_above_strict, Training("rg-cmmp"))
    assert list(found) == [HOLDS, FAILS]


@flips("pmr/unequal_widths", "measurement")
def test_unequal_widths(bench, monkeypatch):
    found = planted_gain(bench, monkeypatch, unequal_widths, Training("rg-cmmp"))
    assert list(found) == [HOLDS, FAILS]


@flips("pmr/experts_gain", "measurement")
def test_experts_gain(bench, monkeypatch):
    ours = Training("rg-cmmp", {"experts": "moe"})
    monkeypatch.setattr(experts_gain, "retrieved", planted({ours: BETTER}))
    assert tried("pmr/experts_gain", scored(bench, {ours: BETTER})).verdict == HOLDS
    entry = tried("pmr/experts_gain", scored(bench, {ours: LOW}))
    assert entry.verdict == CORRECTED and entry.why.startswith("retrieval only")
    monkeypatch.setattr(experts_gain, "retrieved", planted({ours: LOW}))
    assert tried("pmr/experts_gain", scored(bench, {ours: LOW})).verdict == FAILS


@flips("pmr/srht_above_learned", "implementation")
def test_srht_above_learned(bench, monkeypatch):
    ours, name = Training("rg-cmmp", {"mapping": "srht"}), "pmr/srht_above_learned"
    scores = {ours: BETTER}
    monkeypatch.setattr(srht_above_learned, "retrieved", planted(scores))
    assert tried(name, bench).verdict == HOLDS
    with monkeypatch.context() as wrong:  # learned maps under the name of parameter-free ones
        wrong.setattr(srht_above_learned, "OURS", {"rG-SRHT": Training("rg-cmmp")})
        entry = tried(name, bench)
        assert entry.verdict == FAILS and "parameters" in entry.why
    scores |= {Training("cmmp"): [79.0, 80.0, 81.0], Training("rg-cmmp"): [79.0, 80.0, 81.0]}
    monkeypatch.setattr(srht_above_learned, "retrieved", planted(scores))
    entry = tried(name, bench)
    assert entry.verdict == FAILS and "above triplet CMMP only" in entry.why


@flips("pmr/probes_gain", "measurement")
def test_probes_gain(bench, monkeypatch):
    def probed(joint, alone):
        return lambda bench, training, seed: {
            m: (alone if training.only else joint) + 0.1 * seed for m in bench.views.names
        }

    fair = scored(bench, {}, rest=50.0)
    for joint, alone, verdict in ((80, 60, HOLDS), (80, 85, CORRECTED), (40, 85, FAILS)):
        monkeypatch.setattr(probes_gain, "_probed", probed(joint, alone))
        assert tried("pmr/probes_gain", fair).verdict == verdict
    monkeypatch.setattr(probes_gain, "_probed", probed(40, 30))
    assert tried("pmr/probes_gain", fair).verdict == CORRECTED


@flips("pmr/imbalanced_accuracy", "measurement")
def test_imbalanced_accuracy(bench, monkeypatch):
    entry = tried("pmr/imbalanced_accuracy", bench)
    assert entry.verdict == FAILS and "DrFuse" in entry.why
    table = imbalanced_accuracy.TABLE5
    leads = {
        name: (of[0], (99, 99, 99) if "G-" in name else (1, 1, 1)) for name, of in table.items()
    }
    monkeypatch.setattr(imbalanced_accuracy, "TABLE5", leads)
    assert tried("pmr/imbalanced_accuracy", bench).verdict == CORRECTED
    above = {name: ((99, 99, 99), of[1]) for name, of in table.items()}
    monkeypatch.setattr(imbalanced_accuracy, "TABLE5", above)
    assert tried("pmr/imbalanced_accuracy", bench).verdict == HOLDS


@flips("pmr/printed_baselines", "measurement")
def test_printed_baselines(bench, monkeypatch):
    entry = tried("pmr/printed_baselines", bench)
    assert entry.verdict == FAILS and "18.00 apart" in entry.why
    monkeypatch.setitem(printed_baselines.GMF_TABLE7, "Concat", (99.73, 54.38, 87.3))
    assert tried("pmr/printed_baselines", bench).verdict == HOLDS


@flips("pmr/leads_in_print", "measurement")
def test_leads_in_print(bench, monkeypatch):
    assert tried("pmr/leads_in_print", bench).verdict == UNTRIED
    monkeypatch.setitem(leads_in_print.TABLE6, "DrFuse", 93.5)
    entry = tried("pmr/leads_in_print", bench)
    assert entry.verdict == FAILS and "Food-101" in entry.why


@flips("pmr/subsets_average", "measurement")
def test_subsets_average(bench, monkeypatch):
    entry = tried("pmr/subsets_average", bench)
    assert entry.verdict == FAILS and "MCTN (74.6)" in entry.why
    table = subsets_average.TABLE10
    monkeypatch.setitem(table, "MCTN", (62.0, 81.6, 61.6, 62.7, 82.5, 82.2, 72.1, 83.2))
    assert tried("pmr/subsets_average", bench).verdict == CORRECTED
    for method in ("MCTN", "MMIN", "GCNet"):
        row = table[method]
        monkeypatch.setitem(table, method, (*row[:6], np.mean([*row[:6], row[7]]), row[7]))
    assert tried("pmr/subsets_average", bench).verdict == HOLDS


def test_what_the_data_do_not_allow_is_said(bench):
    views = bench.views
    two = {m: views.features[m] for m in ("fourier", "profiles")}
    pair = dataclasses.replace(bench, views=dataclasses.replace(views, features=two))
    with pytest.raises(CannotTry, match="needs 3 modalities"):
        tried("pmr/seven_subsets", pair)
    alike = {m: X[:, :16] for m, X in two.items()}
    alike = dataclasses.replace(bench, views=dataclasses.replace(views, features=alike))
    with pytest.raises(CannotTry, match="one width"):
        tried("pmr/unequal_widths", alike)
