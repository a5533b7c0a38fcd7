"""``python -m pnpfuse`` is the command line."""

from pnpfuse.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
