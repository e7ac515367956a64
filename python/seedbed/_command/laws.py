"""Laws of values as JSON says them."""

from __future__ import annotations

import math
from typing import Any

from seedbed._law import Law


def law_document(law: Law) -> dict[str, Any] | None:
    """Return what is expected of a tensor's values, None where nothing is known."""
    if law.kind == "other":
        return None
    return {
        "law": law.kind,
        "mean": number(law.mean),
        "std": number(law.std),
        "low": number(law.low),
        "high": number(law.high),
        "cut": number(law.cut),
    }


def number(value: float | None) -> float | str | None:
    """Return a number as JSON can hold it: what is not finite is text."""
    return value if value is None or math.isfinite(value) else str(value)
