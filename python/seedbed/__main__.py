"""`python -m seedbed`: the command `seedbed`."""

from seedbed._command.main import main

if __name__ == "__main__":
    raise SystemExit(main())
