"""The claims about the block itself notice wrong maps, losses, counts and gradients."""

import dataclasses

import numpy as np
import pytest
import torch
from ledger_flips import flips, scored, small_bench, tried
from small_views import small_views
from torch import nn

from pnpfuse.fusion import exchange, experts
from pnpfuse.fusion.experts import MixtureOfExperts
from pnpfuse.fusion.maps import LinearMaps
from pnpfuse.fusion.misa import MISA
from pnpfuse.fusion.pmr import PMR
from pnpfuse.fusion.srht import SRHT
from pnpfuse.ledger import (
    CORRECTED,
    FAILS,
    HOLDS,
    UNTRIED,
    CannotTry,
    Training,
)
from pnpfuse.ledger.gmf import printed_totals
from pnpfuse.ledger.measures import counting, n_by_b, separation
from pnpfuse.ledger.measures.conflict import judge_no_opposition
from pnpfuse.ledger.measures.separation import Divided
from pnpfuse.ledger.pmr import (
    conflict_converges,
    preservation_separates,
    shared_above_specific,
)
from pnpfuse.weighting import FixedWeights


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return small_bench(tmp_path_factory.mktemp("trained"), seeds=3)


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    """Trained long enough for the losses to fight."""
    bench = small_bench(tmp_path_factory.mktemp("longer"), seeds=3, epochs=8)
    two = {m: bench.views.features[m] for m in ("pixels", "fourier")}
    return dataclasses.replace(bench, views=dataclasses.replace(bench.views, features=two))


def verdict(name, bench):
    return tried(name, bench).verdict


def replace(monkeypatch, owner, name, wrong):
    """Put wrong(right, *arguments) in the place of a method."""
    right = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *a, **k: wrong(right, *a, **k))


def cut_specific(right, maps, *arguments, **more):
    own, specific = right(maps, *arguments, **more)
    return own, torch.cat([specific[..., 1:], 0 * specific[..., :1]], -1)


def cut_shared(right, maps, *arguments, **more):
    own, specific = right(maps, *arguments, **more)
    return torch.cat([own[..., 1:], own[..., 1:2]], -1), specific


def other_sign(right, *arguments, **more):
    return -right(*arguments, **more)


# Counts


@flips("pmr/table9_parameters", "implementation")
def test_table9_parameters(bench, monkeypatch):
    assert verdict("pmr/table9_parameters", bench) == CORRECTED
    monkeypatch.setattr(counting, "PMR", lambda dims: PMR(dims, bias=False))
    assert verdict("pmr/table9_parameters", bench) == FAILS


@flips("pmr/table9_flops", "implementation")
def test_table9_flops(bench, monkeypatch):
    assert verdict("pmr/table9_flops", bench) == CORRECTED
    # no product for P_recon
    replace(
        monkeypatch, LinearMaps, "reconstruct", lambda _, maps, Z: Z[..., : maps.recon.shape[1]]
    )
    assert verdict("pmr/table9_flops", bench) == FAILS


@flips("gmf/printed_totals", "implementation")
def test_printed_totals(bench, monkeypatch):
    assert verdict("gmf/printed_totals", bench) == CORRECTED

    def by_outputs(widths, n, b):
        real = counting.counted(widths)
        return real["weights"] + real["biases"]

    monkeypatch.setattr(printed_totals, "table9_parameters", by_outputs)
    assert verdict("gmf/printed_totals", bench) == FAILS


@flips("pmr/moe_parameters", "implementation")
@flips("pmr/moe_flops", "implementation")
def test_experts_of_twice_the_width(bench, monkeypatch):
    names = ("pmr/moe_parameters", "pmr/moe_flops")
    assert [verdict(name, bench) for name in names] == [CORRECTED, CORRECTED]
    monkeypatch.setattr(experts, "EXPANSION", 4)
    assert MixtureOfExperts(3).hidden == 12
    assert [verdict(name, bench) for name in names] == [FAILS, FAILS]


@flips("pmr/srht_no_parameters", "implementation")
def test_srht_no_parameters(bench, monkeypatch):
    assert verdict("pmr/srht_no_parameters", bench) == HOLDS

    def learned(right, module, *arguments):
        right(module, *arguments)
        module.scale = nn.Parameter(torch.ones(module.padded))

    replace(monkeypatch, SRHT, "__init__", learned)
    assert verdict("pmr/srht_no_parameters", bench) == FAILS


@flips("pmr/srht_energy", "implementation")
def test_srht_energy(bench, monkeypatch):
    assert verdict("pmr/srht_energy", bench) == HOLDS
    replace(monkeypatch, SRHT, "_scaled_signs", lambda _, srht, x: srht.signs * srht.padded**-0.5)
    assert verdict("pmr/srht_energy", bench) == FAILS


@flips("pmr/classifier_widths", "implementation")
def test_classifier_widths(bench, monkeypatch):
    assert verdict("pmr/classifier_widths", bench) == CORRECTED
    replace(monkeypatch, PMR, "part_widths", lambda right, block, parts: right(block, "all"))
    assert verdict("pmr/classifier_widths", bench) == FAILS


@flips("pmr/next_modality", "implementation")
def test_next_modality(bench, monkeypatch):
    assert verdict("pmr/next_modality", bench) == CORRECTED
    monkeypatch.setitem(exchange.PAIRINGS, "next", 0)  # its own
    assert verdict("pmr/next_modality", bench) == FAILS


# Paths


@flips("pmr/full_rank", "implementation")
@flips("pmr/degrees_of_freedom", "implementation")
@flips("pmr/recoverable", "implementation")
def test_a_channel_of_a_path_is_lost(bench, monkeypatch):
    assert verdict("pmr/full_rank", bench) == HOLDS
    assert verdict("pmr/degrees_of_freedom", bench) == CORRECTED
    assert verdict("pmr/recoverable", bench) == CORRECTED
    with monkeypatch.context() as patched:
        replace(patched, LinearMaps, "separate", cut_shared)
        assert verdict("pmr/degrees_of_freedom", bench) == FAILS
    replace(monkeypatch, LinearMaps, "separate", cut_specific)
    assert verdict("pmr/full_rank", bench) == FAILS
    assert verdict("pmr/recoverable", bench) == FAILS


@flips("pmr/conservation_forces_separation", "implementation")
def test_conservation_forces_separation(bench, monkeypatch):
    assert verdict("pmr/conservation_forces_separation", bench) == FAILS

    def deaf(right, maps, Z):
        common = maps.shared.shape[1]
        return right(maps, torch.cat([Z[..., :common], 0 * Z[..., common:]], -1))

    replace(monkeypatch, LinearMaps, "reconstruct", deaf)
    assert verdict("pmr/conservation_forces_separation", bench) == HOLDS


# Gradients


@flips("pmr/sum_is_one_direction", "implementation")
def test_sum_is_one_direction(bench, monkeypatch):
    assert verdict("pmr/sum_is_one_direction", bench) == HOLDS
    flipped = FixedWeights.forward
    monkeypatch.setattr(
        FixedWeights, "forward", lambda weigh, losses: 2 * losses["task"] - flipped(weigh, losses)
    )
    assert verdict("pmr/sum_is_one_direction", bench) == FAILS


@flips("pmr/conflict_full", "implementation")
@flips("pmr/conflict_detached", "implementation")
@flips("pmr/conflict_block", "implementation")
@flips("pmr/conflict_begins", "implementation")
def test_the_preservation_loss_with_the_other_sign_or_cut_off(longer, monkeypatch):
    names = ("conflict_full", "conflict_detached", "conflict_block", "conflict_begins")
    for name in names:
        assert verdict(f"pmr/{name}", longer) == FAILS
    with monkeypatch.context() as patched:
        replace(patched, PMR, "_preservation", other_sign)
        assert verdict("pmr/conflict_begins", longer) == HOLDS
    replace(monkeypatch, PMR, "_preservation", lambda right, *a: right(*a).detach())
    for name in names[:3]:
        assert verdict(f"pmr/{name}", longer) == UNTRIED


@pytest.mark.parametrize(
    ("cosines", "kind"), [([0.01, 0.2, -0.01], HOLDS), ([0.1, 0.2, -0.3], FAILS)]
)
def test_gradients_that_cannot_oppose_each_other_never_do(cosines, kind):
    at = {"cosine": cosines, "rows": [None] * 3, "ratio": [1.0] * 3, "chance": 0.05}
    assert judge_no_opposition({"course": {"trained": {"block's parameters": at}}}).kind == kind


@flips("pmr/less_conflict_than_misa", "implementation")
def test_less_conflict_than_misa(longer, monkeypatch):
    verdict("pmr/less_conflict_than_misa", longer)  # trains both before anything is planted
    with monkeypatch.context() as patched:
        replace(patched, PMR, "_preservation", other_sign)
        assert verdict("pmr/less_conflict_than_misa", longer) == HOLDS

    def other_signs(right, block, V, masks):
        fused = right(block, V, masks)
        return dataclasses.replace(fused, losses={k: -v for k, v in fused.losses.items()})

    replace(monkeypatch, MISA, "_fuse", other_signs)
    assert verdict("pmr/less_conflict_than_misa", longer) == FAILS


@flips("pmr/baselines_uncoupled", "implementation")
def test_baselines_uncoupled(longer, monkeypatch):
    assert verdict("pmr/baselines_uncoupled", longer) == FAILS

    def cut_off(right, block, V, masks):
        fused = right(block, V, masks)
        return dataclasses.replace(fused, losses={k: v.detach() for k, v in fused.losses.items()})

    replace(monkeypatch, MISA, "_fuse", cut_off)
    assert verdict("pmr/baselines_uncoupled", longer) == HOLDS


@flips("pmr/conflict_converges", "measurement")
def test_conflict_converges(bench, monkeypatch):
    with pytest.raises(CannotTry, match="1 epochs are no convergence"):
        tried("pmr/conflict_converges", bench)
    monkeypatch.setattr(conflict_converges, "EPOCHS", 1)

    def planted(early, trained):
        def course(*_):
            at = {"rows": [0.5] * 3, "ratio": [1.0] * 3, "chance": 0.01}
            return {
                stage: {"encoders' outputs": at | {"cosine": cosines}}
                for stage, cosines in (("early", early), ("trained", trained))
            }

        monkeypatch.setattr(conflict_converges, "course", course)

    planted([-0.2, -0.21, -0.19], [-0.01, 0.01, 0.0])
    assert verdict("pmr/conflict_converges", bench) == HOLDS
    planted([-0.2, -0.01, -0.19], [-0.1, 0.2, 0.0])
    assert verdict("pmr/conflict_converges", bench) == FAILS


# Parts


def parts(seed, shared, specific):
    """Two modalities whose shared and specific parts have so much in common, between 0 and 1.

    Either number mixes a common signal into each modality's own noise.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = lambda: torch.randn(300, 6, generator=generator)  # noqa: E731
    one, two = noise(), noise()
    everyone = dict.fromkeys("ab", torch.ones(300, dtype=torch.bool))
    return Divided(
        {m: one + noise() for m in "ab"},
        {m: shared * one + (1 - shared) * noise() for m in "ab"},
        {m: specific * two + (1 - specific) * noise() for m in "ab"},
        everyone,
    )


@flips("pmr/shared_consistent", "measurement")
@flips("pmr/specific_distinct", "measurement")
@flips("pmr/shared_above_specific", "measurement")
def test_parts_of_different_modalities(bench, monkeypatch):
    def planted(shared, specific):
        def each(bench, *_):
            return (parts(seed, shared, specific) for seed in bench.seeds)

        def beside(bench, *_):
            return ((one, [parts(9, 0.5, 0.5)]) for one in each(bench))

        monkeypatch.setattr(shared_above_specific, "each_divided", each)
        monkeypatch.setattr(separation, "each_beside_chance", beside)
        names = ("shared_consistent", "specific_distinct", "shared_above_specific")
        return [verdict(f"pmr/{name}", bench) for name in names]

    assert planted(shared=0.9, specific=0.1) == [HOLDS] * 3
    assert planted(shared=0.1, specific=0.9) == [FAILS] * 3


@flips("pmr/preservation_separates", "measurement")
def test_preservation_separates(bench, monkeypatch):
    def planted(apart, free):
        """How much of the shared part the specific one repeats, with the loss and without."""

        def each(bench, training):
            for seed in bench.seeds:
                one = parts(seed, 0.5, 0.0)
                share = free if training.settings else apart
                both = {m: share * one.shared[m] + (1 - share) * one.specific[m] for m in "ab"}
                yield one._replace(specific=both)

        monkeypatch.setattr(preservation_separates, "each_divided", each)
        return verdict("pmr/preservation_separates", bench)

    assert planted(apart=0.1, free=0.8) == HOLDS
    assert planted(apart=0.8, free=0.1) == FAILS


# Sweeps


@flips("pmr/flat_above_one", "measurement")
@flips("pmr/sensitive_below_one", "measurement")
def test_accuracy_over_n_b(bench, monkeypatch):
    swept = {}

    def planted(rise):
        def sweep(views, n, b, **more):
            if n not in swept:
                swept[n] = right(small_views(), n, b, **more)
            found = swept[n]
            line = rise * np.log10(found["n"] * found["b"]) + 0.8
            planted = (found["accuracy"] * 0 + line).transpose(*found["accuracy"].dims)
            return found.assign(accuracy=planted, balanced_accuracy=planted)

        monkeypatch.setattr(n_by_b, "run_sweep", sweep)
        return [verdict(f"pmr/{name}", bench) for name in ("flat_above_one", "sensitive_below_one")]

    right = n_by_b.run_sweep
    assert planted(0.1) == [FAILS, HOLDS]
    assert planted(0.0) == [HOLDS, FAILS]


@flips("pmr/concat_sensitive", "measurement")
def test_concat_sensitive(bench):
    def planted(concat, pmr):
        scores = {}
        for name, drop in (("concat", concat), ("rpmr", pmr)):
            scores[Training(name, {"width": 4})] = [90 - drop, 91 - drop, 90.5 - drop]
            scores |= {Training(name, o): [90.0, 91.5, 90.0] for o in ({"width": 16}, {})}
        return verdict("pmr/concat_sensitive", scored(bench, scores))

    assert planted(concat=30, pmr=2) == HOLDS
    assert planted(concat=2, pmr=30) == FAILS
