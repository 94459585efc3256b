"""python -m rad_fast: the command line, as rad-fast."""

import sys

from rad_fast.cli import main

if __name__ == "__main__":
    sys.exit(main())
