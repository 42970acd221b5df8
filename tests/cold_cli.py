"""The command line without a worker kept warm: `python -m tests.cold_cli ARGUMENTS…`. Real workers start cold.

Most tests of the workbench on a pty start no run, and need not pay for PyTorch's import in every one of them.
"""

from __future__ import annotations

import signal
import sys

from tui_gen import cli, launch


def main() -> int:
    """Be the command line."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests' own parent ignores
    launch.WarmWorker.spawn = lambda self: None
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
