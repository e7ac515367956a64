"""`seedbed spec`: the names and shapes of a model that exists, as the plan of a new one."""

from __future__ import annotations

import os
from argparse import Namespace

from seedbed._command import terminal
from seedbed._plan.draft import draft
from seedbed._plan.models import source_of
from seedbed._plan.sources import source_at
from seedbed._spec.error import Place


def run(options: Namespace) -> None:
    """Do what the options of `seedbed spec` say.

    Raises:
        SpecError: The names and shapes cannot be known, or a plan cannot say them.
    """
    given: str = options.source
    place = Place(given)
    module, colon, function = given.rpartition(":")
    is_function = colon and function.isidentifier() and not os.path.exists(given)
    source = source_of(module, function, place) if is_function else source_at(given, place)
    for line in draft(source, place).splitlines():
        terminal.print_line(line)
