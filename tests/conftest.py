"""Properties are tried on the same examples in every run; PNPFUSE_SEARCH=1 looks for new ones."""

import os

from hypothesis import settings
from hypothesis.internal.conjecture import providers

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("search" if os.environ.get("PNPFUSE_SEARCH") else "same")

# Numbers that stand in the source of whatever is imported would be tried as well: examples would
# depend on which tests ran before in the same process.
if not os.environ.get("PNPFUSE_SEARCH") and hasattr(providers, "_local_constants"):
    providers._get_local_constants = lambda: providers._local_constants
