"""`python -m postwerk`: every command of the house. See postwerk/cli/main.py."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit code."""
    from postwerk.cli.main import run  # here, so that importing this module costs nothing

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
