"""The program: `python -m tui_gen` is the same as `tui-gen`."""

import os
import signal
import sys

if (
    __name__ == "__main__"
    and not sys.flags.safe_path
    and sys.path[0] != os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
):
    del sys.path[0]  # the current folder, which -m puts before all others: what lies in it is not to be run

from tui_gen import first_moments


def main() -> int:
    """The command line, and what a signal does before that is loaded; the exit status."""
    first_moments.watch(sys.argv[1:])
    from tui_gen.cli import main as command_line

    try:
        if signal.getsignal(signal.SIGINT) is first_moments.end:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # the command line tells of it, and tidies up
        return command_line()
    except KeyboardInterrupt:  # before it has begun to, or when it is done
        first_moments.end(signal.SIGINT, None)
        raise


if __name__ == "__main__":
    sys.exit(main())
