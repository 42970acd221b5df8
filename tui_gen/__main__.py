"""`python -m tui_gen` is the same as `tui-gen`."""

import os
import sys

if not sys.flags.safe_path and sys.path[0] != os.path.dirname(os.path.dirname(os.path.abspath(__file__))):
    del sys.path[0]  # the current folder, which -m puts before all others: what lies in it is not to be run

from tui_gen.first_moments import main

if __name__ == "__main__":
    sys.exit(main())
