"""What becomes of an environment that is wrong: an exception in Python, a line in the command.

What: `end_command` ends the process if it runs as `seedbed` or `python -m seedbed`.
Method: the package is imported before the command's own code, so that `main` is too late to catch
what the import raises; how Python was started tells whether the command was meant.
Consumes: nothing but the standard library; nothing of seedbed, whose import has failed.
Promises: other programs see nothing of it.
"""

import contextlib
import os
import sys


def end_command(error: ValueError) -> None:
    """Says in one line on standard error why the command can't start; returns in other programs.

    Raises:
        SystemExit: with exit code 2, wrong usage, if this process is the command.
    """
    if _is_command(sys.argv, sys.orig_argv):
        # A closed standard error changes no exit code.
        with contextlib.suppress(OSError, ValueError):
            print(f"seedbed: error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(2)


def _is_command(arguments: list[str], original: list[str]) -> bool:
    if not arguments:
        return False
    if arguments[0] == "-m":
        # While Python looks for the module to run. Its name comes last before the arguments, and
        # may be joined to the option.
        module = original[-len(arguments)]
        return module == "seedbed" or (module.startswith("-") and module.endswith("mseedbed"))
    return os.path.basename(arguments[0]) in ("seedbed", "seedbed.exe")
