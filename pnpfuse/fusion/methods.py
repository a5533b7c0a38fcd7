"""The methods by name: which block, which head, with which options and loss weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from pnpfuse.fusion.block import Block
from pnpfuse.fusion.concat import Concat, Sum
from pnpfuse.fusion.ffn import FFN
from pnpfuse.fusion.heads import ConcatHead, LateHead
from pnpfuse.fusion.pmr import GMF, PMR
from pnpfuse.fusion.robust import LOSS_WEIGHTS, DetachedPMR, RobustHead


class Method(NamedTuple):
    """What `create_model` builds for a name.

    Attributes
    ----------
    summary : what it is, in a few words
    block : made with the encoders' output widths and `block_options`
    head : made with the block, the number of classes and `head_options`
    block_options, head_options : {option: default}
    weights : {loss: weight}, recommended for each loss that block and head can give
    model_options : {option: default} that differ from those of every model
    fixed : {option of the block: value} that the name stands for
    """

    summary: str
    block: Callable[..., Block]
    head: Callable[..., nn.Module]
    block_options: dict[str, Any] = {}
    head_options: dict[str, Any] = {}
    weights: dict[str, float] = {}
    model_options: dict[str, Any] = {}
    fixed: dict[str, Any] = {}


GMF_OPTIONS: dict[str, Any] = {"n": 4, "b": 0.5}
PMR_OPTIONS: dict[str, Any] = GMF_OPTIONS | {
    "domain": "input",
    "reduction": "mean",
    "mapping": "linear",
    "experts": None,
    "gradient": "full",
    "pairing": "next",
    "bias": True,
    "activation": None,
}
STRICT, RELAXED = {"metric": "mse"}, {"metric": "cosine"}
PARTS: dict[str, Any] = {"parts": "all"}
PRESERVATION = {"preservation": 0.1}

METHODS = {
    "concat": Method("the features side by side", Concat, ConcatHead),
    "ffn": Method(
        "a ReLU network as large as PMR", FFN, ConcatHead, GMF_OPTIONS, fixed={"linear": False}
    ),
    "ffn-linear": Method(
        "the same without ReLU", FFN, ConcatHead, GMF_OPTIONS, fixed={"linear": True}
    ),
    "gmf": Method("GMF", GMF, ConcatHead, GMF_OPTIONS, PARTS, PRESERVATION),
    "late": Method(
        "a classifier for each modality, logits averaged", Concat, LateHead, weights={"view": 1.0}
    ),
    "modality-dropout": Method(
        "concat, trained with modalities dropped at random",
        Concat,
        ConcatHead,
        model_options={"modality_dropout": 0.3},
    ),
    "pmr-robust": Method(
        "experts corrected by PMR, for modalities that may be missing",
        DetachedPMR,
        RobustHead,
        GMF_OPTIONS | {"pairing": "next"},
        {"drop": 0.3},
        LOSS_WEIGHTS,
    ),
    "rpmr": Method("PMR, cosine", PMR, ConcatHead, PMR_OPTIONS, PARTS, PRESERVATION, fixed=RELAXED),
    "spmr": Method(
        "PMR, squared error", PMR, ConcatHead, PMR_OPTIONS, PARTS, PRESERVATION, fixed=STRICT
    ),
    "sum": Method("the sum of a linear map of each modality", Sum, ConcatHead),
}
