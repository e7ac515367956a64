"""`python -m seedbed`: the command `seedbed`."""

from seedbed._cli import main

if __name__ == "__main__":
    raise SystemExit(main())
