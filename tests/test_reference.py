"""The bank of training rows: filled, moved, saved, and beside a sample in evaluation."""

import copy

import numpy as np
import pytest
import torch
from small_views import small_views
from test_scope import DIMS, model_for, rows_for

from pnpfuse.fusion import create_model
from pnpfuse.fusion.reference import Bank
from pnpfuse.fusion.saved import load_model, save_model
from pnpfuse.training import fit


def held(model):
    return {k: v for k, v in model.state_dict().items() if k.startswith("bank")}


def test_bank_keeps_present_rows_and_forgets_those_before():
    bank = Bank(DIMS, 4)
    bank.fill(rows_for(4), None)
    rows = {m: x.float() for m, x in rows_for(3, seed=1).items()}
    rows["text"][1] = torch.nan
    there = {"text": torch.tensor([True, False, True])}
    everyone = torch.ones(3, dtype=torch.bool)
    bank.fill(rows, {m: there.get(m, everyone) for m in DIMS})
    X, present = bank()
    assert present["text"].tolist() == [True, False, True, False]
    assert present["audio"].tolist() == [True, True, True, False]
    assert torch.equal(X["audio"][:3], rows["audio"]) and (X["audio"][3] == 0).all()
    assert (X["text"][1] == 0).all() and torch.equal(X["text"][2], rows["text"][2])


def test_of_too_many_rows_the_bank_takes_the_first():
    bank = Bank({"a": 1}, 3)
    bank.fill({"a": torch.arange(5.0)[:, None]}, {"a": torch.arange(5) != 1})
    assert bank()[0]["a"].flatten().tolist() == [0, 0, 2]
    assert bank()[1]["a"].tolist() == [True, False, True]


def test_copies_casts_and_files_take_the_bank_along(tmp_path):
    model, X = model_for(), rows_for(5, seed=2)
    expected = model(X).logits
    assert torch.equal(copy.deepcopy(model)(X).logits, expected)
    assert torch.equal(load_model(save_model(model, tmp_path))(X).logits, expected)
    single = copy.deepcopy(model).float()
    found = single({m: x.float() for m, x in X.items()}).logits
    torch.testing.assert_close(found.double(), expected, atol=2e-5, rtol=1e-4)
    empty = model_for(rows=0)
    assert (empty(X).logits - expected).abs().max() > 1e-3
    empty.load_state_dict(model.state_dict())
    assert torch.equal(empty(X).logits, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_bank_on_a_gpu():
    model, X = model_for(), rows_for(5, seed=2)
    expected = model(X).logits
    model.cuda().set_reference({m: x.cuda() for m, x in rows_for(30, seed=9).items()})
    model.load_state_dict(model_for().state_dict())
    found = model({m: x.cuda() for m, x in X.items()}).logits
    torch.testing.assert_close(found.cpu(), expected)


def test_bank_is_never_staler_than_the_weights():
    model, X = model_for(), rows_for(5, seed=2)
    before = model(X).logits
    with torch.no_grad():  # in evaluation mode, behind everybody's back
        model.encoders["text"][0].weight.data.mul_(3)
    again = model_for()
    again.load_state_dict(model.state_dict())
    assert (model(X).logits - before).abs().max() > 1e-3
    assert torch.equal(model(X).logits, again(X).logits)


def test_a_bank_with_room_for_more_keeps_all_training_rows():
    views = small_views()
    train = np.flatnonzero(views.split == 0)
    model = create_model("scope", views.dims, 3, bank=500, k=4)
    fit(model, views, epochs=1, seed=1, device="cpu", progress=False)
    X, present = model.bank()
    filled = present["a"].numpy()
    assert filled.sum() == len(train) and len(filled) == 500
    known = {row.tobytes() for row in views.features["a"][train].astype(np.float32)}
    assert known == {row.tobytes() for row in X["a"].numpy()[filled]}


@pytest.mark.parametrize("fill", ["zero", "mean", "learned", "input"])
def test_absent_rows_of_bank_and_batch_hold_nothing(fill):
    model, X = model_for(rows=0, fill=fill, bank=12), rows_for(6, seed=2)
    gone = {"text": torch.arange(6) % 2 == 0}
    rows, absent = rows_for(10, seed=4), {"text": torch.arange(10) % 3 > 0}
    answers = []
    for held in (0.0, torch.nan):
        bank = rows | {"text": torch.where(absent["text"][:, None], rows["text"], held)}
        model.set_reference(bank, absent)
        batch = X | {"text": torch.where(gone["text"][:, None], X["text"], held)}
        answers.append(model(batch, gone).logits)
    assert torch.equal(*answers) and answers[0].isfinite().all()
    if fill == "input":  # nobody behind the encoder knows: as the training mean, in the bank too
        means = {"text": model.scales["text"].mean.expand(10, -1)}
        fed = rows | {"text": torch.where(absent["text"][:, None], rows["text"], means["text"])}
        model.set_reference(fed)
        told = X | {"text": torch.where(gone["text"][:, None], X["text"], means["text"][:6])}
        torch.testing.assert_close(model(told).logits, answers[0])
