"""python -m rad_fast.cli"""

import sys

from . import main

sys.exit(main())
