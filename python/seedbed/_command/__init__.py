"""The command `seedbed`.

`main` runs it and turns what happens into an exit code; `arguments` says what it takes; `init` is
the subcommand that writes a checkpoint; `terminal` shows text, tables and progress; `interruption`
turns signals into an exception. Imports go down: from `main` to the others.
"""
