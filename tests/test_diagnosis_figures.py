"""Figures and page of a diagnosis: what is drawn is what was measured, and nothing is required."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from pnpfuse import diagnose
from pnpfuse.diagnosis.figures import (
    PANELS,
    closeness_figure,
    conflict_figure,
    diagnosis_figure,
    geometry_figure,
    information_figure,
    label_figure,
    similarity_figure,
    smoothness_figure,
)
from pnpfuse.diagnosis.page import diagnosis_page
from pnpfuse.figures import png

FIGURES = {
    "conflict": conflict_figure, "smoothness": smoothness_figure, "geometry": geometry_figure,
    "similarity": similarity_figure, "information": information_figure, "labels": label_figure,
    "closeness": closeness_figure,
}  # fmt: skip


@pytest.fixture(scope="module")
def found():
    torch.manual_seed(0)
    x = torch.randn(60, 6)
    y = (x[:, 0] > 0).long()
    model = nn.ModuleDict(
        {
            "a": nn.Linear(6, 4),
            "b": nn.Linear(4, 4),
            "head": nn.Linear(4, 2),
            "back": nn.Linear(4, 6),
        }
    )

    def losses(model, batch):
        z = model["b"](model["a"](batch[0]).tanh())
        task = nn.functional.cross_entropy(model["head"](z), batch[1])
        rebuild = (model["back"](z) - batch[0]).square().mean()
        return {"task": task, "rebuild": rebuild, "<b>size</b>": z.square().mean()}

    return diagnose(model, [(x, y)], points=["a", "b"], losses=losses)


def test_every_panel_has_a_function_and_a_figure(found):
    assert set(FIGURES) == set(PANELS)
    for draw in FIGURES.values():
        figure = draw(found)
        drawn = png(draw(found))
        assert drawn.startswith(b"\x89PNG") and drawn == png(draw(found))
        assert all(axis.get_xlabel() or axis.get_ylabel() or axis.get_images() or axis.get_title()
                   for axis in figure.axes)  # fmt: skip
        assert "neighbours=10, components=3, max_rows=2048, seed=0" in " ".join(
            figure.get_supxlabel().split()
        )


def test_the_histograms_hold_every_row(found):
    figure = conflict_figure(found)
    assert len(figure.axes) == 4  # two losses, two points
    for axis, (loss, point) in zip(
        figure.axes, [(one, other) for one in found.loss.values for other in "ab"], strict=True
    ):
        here = found.sel(loss=loss, point=point)
        assert sum(bar.get_height() for bar in axis.patches) == here.sample_cosine.count()
        left = sum(b.get_height() for b in axis.patches if b.get_x() + b.get_width() / 2 < 0)
        middle = max(b.get_height() for b in axis.patches)
        below = float(here.conflict_rate) * 60
        assert abs(left - below) <= middle  # a bar may lie across 0
        assert any(f"{float(here.conflict_rate):.0%} below 0" in t.get_text() for t in axis.texts)


def test_the_dots_are_the_numbers(found):
    axis = information_figure(found).axes[0]
    dots = next(line for line in axis.lines if "estimate" in str(line.get_label()))
    np.testing.assert_array_equal(dots.get_xdata(), found.mutual_information)
    assert "nat" in axis.get_xlabel()
    matrix = similarity_figure(found).axes[0].images[0].get_array()
    np.testing.assert_array_equal(matrix, found.cka)


def test_a_part_of_the_numbers_draws_a_part_of_the_page(found):
    for variable in ("cka", "mutual_information"):
        some = found[[variable]] if variable == "cka" else found.drop_vars("sample_cosine")
        assert png(diagnosis_figure(some)).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="diagnostics has no cka"):
        similarity_figure(found.drop_vars("cka"))
    with pytest.raises(ValueError, match="give a Dataset from diagnose"):
        diagnosis_figure(found[["width"]])
    lost = found.copy(deep=True)
    for name in lost.data_vars:
        lost[name][:] = np.nan
    assert png(diagnosis_figure(lost)).startswith(b"\x89PNG")


def test_the_page_stands_alone_and_says_how_to_read_it(found):
    page = diagnosis_page(found, "pnpfuse diagnose a b --html")
    assert page.count("data:image/png;base64,") == len(PANELS)
    assert not re.search(r'(?:src|href)="(?!data:)', page) and "<script" not in page
    assert "<b>size</b>" not in page  # names are text
    for said in (
        "Do the losses fight?",
        "95 % interval",
        "pnpfuse diagnose a b --html",
        "In short",
    ):
        assert said in page
    assert f"{float(found.effective_rank.sel(point='a')):.4g}" in page
    assert diagnosis_page(found) == diagnosis_page(found)
    assert "Rows looked at: the first 60" in page
    assert "the output of a, a Linear" in page and f"{float(found.cka[0, 1]):.4g}" in page
    few = diagnosis_page(found[["rayleigh_quotient"]])
    assert "Do the losses fight?" not in few and "Rayleigh" in few
