"""Fusion of modalities: blocks (PMR, GMF and what they are compared with), heads, whole models."""

from pnpfuse.fusion.backend import BackendHead
from pnpfuse.fusion.block import Block
from pnpfuse.fusion.bottleneck import MBT
from pnpfuse.fusion.concat import Concat, Sum
from pnpfuse.fusion.contrastive import CMMP, ContrastiveHead
from pnpfuse.fusion.cost import (
    experts_flops,
    experts_parameters,
    srht_flops,
    table9_flops,
    table9_parameters,
)
from pnpfuse.fusion.experts import MixtureOfExperts
from pnpfuse.fusion.ffn import FFN
from pnpfuse.fusion.heads import ConcatHead, LateHead
from pnpfuse.fusion.mae import GMFMAE
from pnpfuse.fusion.methods import METHODS, Method
from pnpfuse.fusion.misa import MISA
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.ogm import ModulatedHead
from pnpfuse.fusion.outputs import FusionOutput, ModelOutput
from pnpfuse.fusion.perceiver import Perceiver
from pnpfuse.fusion.pmr import GMF, PMR
from pnpfuse.fusion.registry import create_model, list_models
from pnpfuse.fusion.robust import DetachedPMR, RobustHead
from pnpfuse.fusion.saved import load_model, save_model
from pnpfuse.fusion.srht import SRHT, hadamard

__all__ = [
    "CMMP",
    "FFN",
    "GMF",
    "GMFMAE",
    "MBT",
    "METHODS",
    "MISA",
    "PMR",
    "SRHT",
    "BackendHead",
    "Block",
    "Concat",
    "ConcatHead",
    "ContrastiveHead",
    "DetachedPMR",
    "FusionModel",
    "FusionOutput",
    "LateHead",
    "Method",
    "MixtureOfExperts",
    "ModelOutput",
    "ModulatedHead",
    "Perceiver",
    "RobustHead",
    "Sum",
    "create_model",
    "experts_flops",
    "experts_parameters",
    "hadamard",
    "list_models",
    "load_model",
    "save_model",
    "srht_flops",
    "table9_flops",
    "table9_parameters",
]
