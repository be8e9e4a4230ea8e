"""`python -m repflow` is the command line."""

import sys

from repflow.cli import main

sys.exit(main())
