"""Options that argparse takes and that make no sense together."""


class UsageError(ValueError):
    """The options contradict each other or name what cannot be."""
