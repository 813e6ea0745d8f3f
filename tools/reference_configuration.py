"""Writes docs/reference/configuration.md from the Models: `tools/reference_configuration.py [--check]`.

The page itself is made in gateway/config/reference.py; this is its door for `make docs` and `make check`.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gateway.config.reference import PAGE, main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main([str(ROOT / PAGE), *sys.argv[1:]]))
