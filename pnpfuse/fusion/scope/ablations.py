"""The rows of SCOPE's Table 6 as options of the model."""

from typing import Any

NO_REFINEMENT: dict[str, Any] = {"refinement": "none"}
NO_DISENTANGLEMENT: dict[str, Any] = {"disentangle": False}

# "w/o SCA" puts an MLP in the place of the fusion over the graph, "w/o BF" a mean over the
# modalities: SCOPE Sec. 5.4.
TABLE6: dict[str, dict[str, Any]] = {
    "w/o AFR & MID": NO_REFINEMENT | NO_DISENTANGLEMENT,
    "w/o AFR": NO_REFINEMENT,
    "w/o MID": NO_DISENTANGLEMENT,
    "w/o SCA": {"align": False, "fusion": "mlp"},
    "w/o BF": {"fusion": "mean"},
    "SCOPE": {},
}
