"""InfoBridge: the modalities aligned by a conditional noise-contrastive critic (Li et al.)."""

from pnpfuse.fusion.infobridge.ablations import TABLE2, TABLE3
from pnpfuse.fusion.infobridge.bridge import OBJECTIVES, InfoBridge

__all__ = ["OBJECTIVES", "TABLE2", "TABLE3", "InfoBridge"]
