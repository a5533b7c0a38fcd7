"""The rows of InfoBridge's Tables 2 and 3 as options of the model."""

from typing import Any

# "w/o semantic context" of Table 2 is the row "cluster (k = 5)" of Table 3.
TABLE2: dict[str, dict[str, Any]] = {
    "w/o CMI objective": {"objective": "none"},
    "w/o protective margin": {"margin": 0.0},
    "w/o context-aware prior": {"condition": "none"},
    "w/o semantic context": {"condition": "cluster", "clusters": 5},
    "InfoBridge": {},
}
TABLE3: dict[str, dict[str, Any]] = {
    "retrieval (3 levels)": {"condition": "similarity", "levels": 3},
    "cluster (k = 5)": {"condition": "cluster", "clusters": 5},
    "cluster (k = 10)": {"condition": "cluster", "clusters": 10},
    "semantics": {"condition": "label"},
}
