"""``python -m pnpfuse.sweep DATA ...`` is ``pnpfuse sweep DATA ...``."""

import sys

from pnpfuse.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["sweep", *sys.argv[1:]]))
