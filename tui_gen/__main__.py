"""`python -m tui_gen` is the same as `tui-gen`."""

import sys

from tui_gen.cli import main

if __name__ == "__main__":
    sys.exit(main())
