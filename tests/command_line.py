"""The command line as the tests call it."""

from pnpfuse.cli import main


def run(capsys, *arguments):
    """Exit status, standard output and standard error of `pnpfuse` with these arguments."""
    try:
        status = main(list(arguments))
    except SystemExit as stop:  # argparse
        status = stop.code
    shown = capsys.readouterr()
    return status, shown.out, shown.err
