"""`python -m expman.writer` is `expman-writer`."""

from __future__ import annotations

import sys

from expman.writer.main import main

sys.exit(main())
