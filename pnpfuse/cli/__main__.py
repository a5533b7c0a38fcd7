"""``python -m pnpfuse.cli`` is the command line too."""

from pnpfuse.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
