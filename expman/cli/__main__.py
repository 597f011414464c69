"""`python -m expman.cli`: the command, where its script is not on the path."""

import sys

from expman.cli import main

sys.exit(main())
