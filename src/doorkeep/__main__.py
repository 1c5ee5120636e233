"""`python -m doorkeep`: the command line."""

from __future__ import annotations

import sys

from doorkeep.operate.command import main

if __name__ == "__main__":
    sys.exit(main())
