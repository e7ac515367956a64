"""seedbed inside Keras."""

from seedbed.keras._reinitialize import reinitialize
from seedbed.keras._report import report

__all__ = ["reinitialize", "report"]
