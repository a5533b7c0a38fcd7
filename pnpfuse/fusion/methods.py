"""The methods by name: which block, which head, with which options and loss weights."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from pnpfuse.fusion.backend import BackendHead
from pnpfuse.fusion.block import Block
from pnpfuse.fusion.bottleneck import MBT
from pnpfuse.fusion.concat import Concat, Sum
from pnpfuse.fusion.contrastive import CMMP, ContrastiveHead
from pnpfuse.fusion.ffn import FFN
from pnpfuse.fusion.heads import ConcatHead, LateHead
from pnpfuse.fusion.infobridge import InfoBridge
from pnpfuse.fusion.mae import GMFMAE
from pnpfuse.fusion.misa import MISA
from pnpfuse.fusion.ogm import ModulatedHead
from pnpfuse.fusion.perceiver import Perceiver
from pnpfuse.fusion.pmr import GMF, PMR
from pnpfuse.fusion.robust import LOSS_WEIGHTS, DetachedPMR, RobustHead
from pnpfuse.fusion.scope import SCOPE, ScopeHead


class Method(NamedTuple):
    """What `create_model` builds for a name.

    Attributes
    ----------
    summary : what it is, in a few words
    block : made with the encoders' output widths and `block_options`
    head : made with the block, the number of classes and `head_options`
    block_options, head_options : {option: default}
    weights : {loss: weight}, recommended for each loss that block and head give; `BALANCE` comes
        beside them with a mixture of experts
    model_options : {option: default} that differ from those of every model
    fixed : {option of the block: value} that the name stands for
    bridge : companion of the block of another method, which stands here if none is named; made
        with the encoders' output widths, the inputs' widths, the classes and `bridge_options`
    bridge_options : {option: default}; "base" names the other method, "base_options" its options
    """

    summary: str
    block: Callable[..., Block]
    head: Callable[..., nn.Module]
    block_options: dict[str, Any] = {}
    head_options: dict[str, Any] = {}
    weights: dict[str, float] = {}
    model_options: dict[str, Any] = {}
    fixed: dict[str, Any] = {}
    bridge: Callable[..., InfoBridge] | None = None
    bridge_options: dict[str, Any] = {}

    @property
    def options(self) -> dict[str, Any]:
        """{option: default} of its own."""
        own = self.block_options | self.head_options | self.bridge_options
        return own | self.model_options


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
    "boundary": "hard",
    "voltage": 20.0,
    "learn": "all",
}
STRICT, RELAXED = {"metric": "mse"}, {"metric": "cosine"}
PARTS: dict[str, Any] = {"parts": "all"}
SHARED: dict[str, Any] = {"parts": "shared"}  # the classifier width l* printed for CMMP
PRESERVATION = {"preservation": 0.1}
BALANCE = {"balance": 0.01}  # of a mixture of experts; Fedus et al. 2021
MAPS_OPTIONS = ("mapping", "bias", "activation", "boundary", "voltage", "learn")  # of linear maps
SRHT_OPTIONS = {k: v for k, v in PMR_OPTIONS.items() if k not in MAPS_OPTIONS}
UMOE_OPTIONS = {k: v for k, v in PMR_OPTIONS.items() if k != "experts"}
ALIGNMENT_OPTIONS: dict[str, Any] = {"alignment": "infonce", "margin": 0.2}
CONTRASTIVE = {"contrastive": 0.1}
MBT_OPTIONS: dict[str, Any] = {
    "block_width": 64,
    "heads": 4,
    "layers": 2,
    "bottlenecks": 4,
    "tokens": 1,
}
PERCEIVER_OPTIONS: dict[str, Any] = {
    "block_width": 64,
    "heads": 4,
    "layers": 1,
    "latents": 4,
    "tokens": 1,
}
SCOPE_OPTIONS: dict[str, Any] = {
    "block_width": 64,
    "heads": 8,
    "tokens": 2,
    "k": 30,
    "steps": 3,
    "xi": 0.3,
    "refinement": "both",
    "align": True,
    "fusion": "diffusion",
    "weights": "exact",
    "edges": "near",
    "mask": "neighbours",
    "form": "renormalised",
    "bank": 256,
}
SCOPE_HEAD: dict[str, Any] = {"disentangle": True, "mask_same_label": False}
SCOPE_WEIGHTS = {"disentanglement": 0.1, "alignment": 100.0}
BRIDGE_OPTIONS: dict[str, Any] = {
    "base": "concat",
    "base_options": {},
    "alpha": 0.1,
    "condition": "label",
    "objective": "nce",
    "negatives": 5,
    "margin": None,
    "memory": 1024,
    "clusters": 5,
    "levels": 3,
    "critic": "separable",
    "critic_width": 64,
    "updates": "joint",
}

MBTHead = partial(BackendHead, backend="mbt")
PerceiverHead = partial(BackendHead, backend="perceiver")

METHODS = {
    "cmmp": Method(
        "concat, the modalities aligned by InfoNCE",
        CMMP,
        ConcatHead,
        {"block_width": 64} | ALIGNMENT_OPTIONS,
        weights=CONTRASTIVE,
    ),
    "concat": Method("the features side by side", Concat, ConcatHead),
    "ffn": Method(
        "a ReLU network as large as PMR", FFN, ConcatHead, GMF_OPTIONS, fixed={"linear": False}
    ),
    "ffn-linear": Method(
        "the same without ReLU", FFN, ConcatHead, GMF_OPTIONS, fixed={"linear": True}
    ),
    "g-mbt": Method("GMF before MBT", GMF, MBTHead, GMF_OPTIONS, MBT_OPTIONS, PRESERVATION),
    "g-perceiver": Method(
        "GMF before a Perceiver", GMF, PerceiverHead, GMF_OPTIONS, PERCEIVER_OPTIONS, PRESERVATION
    ),
    "gmf": Method("GMF", GMF, ConcatHead, GMF_OPTIONS, PARTS, PRESERVATION),
    "gmf-mae": Method(
        "GMF inside autoencoders",
        GMFMAE,
        ConcatHead,
        {"b": 0.5, "masking": 0.3, "pairing": "next"},
        PARTS,
        {"reconstruction": 1.0},
    ),
    "infobridge": Method(
        "another model, its modalities aligned by conditional noise contrast",
        Concat,
        ConcatHead,
        weights={"nce": 0.1},
        bridge=InfoBridge,
        bridge_options=BRIDGE_OPTIONS,
    ),
    "late": Method(
        "a classifier for each modality, logits averaged", Concat, LateHead, weights={"view": 1.0}
    ),
    "mbt": Method("bottleneck transformer", MBT, ConcatHead, MBT_OPTIONS),
    "misa": Method(
        "shared and private representations, held apart",
        MISA,
        ConcatHead,
        {"block_width": 64, "activation": "tanh"},
        PARTS,
        {"similarity": 1.0, "difference": 0.3, "reconstruction": 1.0},
    ),
    "modality-dropout": Method(
        "concat, trained with modalities dropped at random",
        Concat,
        ConcatHead,
        model_options={"modality_dropout": 0.3},
    ),
    "ogm-ge": Method(
        "concat, the gradient of the leading modality held back",
        Concat,
        ModulatedHead,
        head_options={"alpha": 0.5, "noise": True},
    ),
    "perceiver": Method(
        "latents that attend to all modalities", Perceiver, ConcatHead, PERCEIVER_OPTIONS
    ),
    "pmr-robust": Method(
        "experts corrected by PMR, for modalities that may be missing",
        DetachedPMR,
        RobustHead,
        GMF_OPTIONS | {"pairing": "next"},
        {"drop": 0.3},
        LOSS_WEIGHTS,
    ),
    "rg-cmmp": Method(
        "rpmr, the shared parts aligned by InfoNCE",
        PMR,
        ContrastiveHead,
        PMR_OPTIONS,
        SHARED | ALIGNMENT_OPTIONS,
        PRESERVATION | CONTRASTIVE,
        fixed=RELAXED,
    ),
    "rg-mbt": Method(
        "rpmr before MBT",
        PMR,
        MBTHead,
        PMR_OPTIONS,
        MBT_OPTIONS,
        PRESERVATION,
        fixed=RELAXED,
    ),
    "rg-perceiver": Method(
        "rpmr before a Perceiver",
        PMR,
        PerceiverHead,
        PMR_OPTIONS,
        PERCEIVER_OPTIONS,
        PRESERVATION,
        fixed=RELAXED,
    ),
    "rg-srht": Method(
        "rpmr without parameters: Hadamard transforms",
        PMR,
        ConcatHead,
        SRHT_OPTIONS,
        PARTS,
        PRESERVATION,
        fixed=RELAXED | {"mapping": "srht"},
    ),
    "rg-umoe": Method(
        "rpmr, a mixture of experts on the shared parts",
        PMR,
        ConcatHead,
        UMOE_OPTIONS,
        PARTS,
        PRESERVATION,
        fixed=RELAXED | {"experts": "moe"},
    ),
    "rpmr": Method("PMR, cosine", PMR, ConcatHead, PMR_OPTIONS, PARTS, PRESERVATION, fixed=RELAXED),
    "scope": Method(
        "attention, then diffusion over a graph of the sample and the training rows nearest to it",
        SCOPE,
        ScopeHead,
        SCOPE_OPTIONS,
        SCOPE_HEAD,
        SCOPE_WEIGHTS,
        fixed={"inference": "bank"},
    ),
    "scope-transductive": Method(
        "scope, the graph over the batch at hand",
        SCOPE,
        ScopeHead,
        {option: value for option, value in SCOPE_OPTIONS.items() if option != "bank"},
        SCOPE_HEAD,
        SCOPE_WEIGHTS,
        fixed={"inference": "batch"},
    ),
    "sg-cmmp": Method(
        "spmr, the shared parts aligned by InfoNCE",
        PMR,
        ContrastiveHead,
        PMR_OPTIONS,
        SHARED | ALIGNMENT_OPTIONS,
        PRESERVATION | CONTRASTIVE,
        fixed=STRICT,
    ),
    "sg-mbt": Method(
        "spmr before MBT",
        PMR,
        MBTHead,
        PMR_OPTIONS,
        MBT_OPTIONS,
        PRESERVATION,
        fixed=STRICT,
    ),
    "sg-perceiver": Method(
        "spmr before a Perceiver",
        PMR,
        PerceiverHead,
        PMR_OPTIONS,
        PERCEIVER_OPTIONS,
        PRESERVATION,
        fixed=STRICT,
    ),
    "sg-srht": Method(
        "spmr without parameters: Hadamard transforms",
        PMR,
        ConcatHead,
        SRHT_OPTIONS | {"domain": "transform"},
        PARTS,
        PRESERVATION,
        fixed=STRICT | {"mapping": "srht"},
    ),
    "sg-umoe": Method(
        "spmr, a mixture of experts on the shared parts",
        PMR,
        ConcatHead,
        UMOE_OPTIONS,
        PARTS,
        PRESERVATION,
        fixed=STRICT | {"experts": "moe"},
    ),
    "spmr": Method(
        "PMR, squared error",
        PMR,
        ConcatHead,
        PMR_OPTIONS,
        PARTS,
        PRESERVATION,
        fixed=STRICT,
    ),
    "sum": Method(
        "the sum of a linear map of each modality", Sum, ConcatHead, {"block_width": None}
    ),
}
