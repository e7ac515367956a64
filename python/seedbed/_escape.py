"""Text that came from outside, made safe to print.

Names in files and on the command line may hold anything: line ends that fake a second message,
control characters that a terminal obeys, marks that turn the direction of writing around.
"""


def escape(text: str) -> str:
    """Return `text` on one line, with everything that does not print written as Python would."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )
