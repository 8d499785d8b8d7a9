"""`python -m postwerk.sandbox`."""

import sys

from postwerk.sandbox.cli import main

if __name__ == "__main__":
    sys.exit(main())
