"""Floating-point modes that other libraries leave behind, for tests that they change nothing."""

import contextlib
import ctypes
import platform
import sys
from collections.abc import Iterator

# Where glibc's fenv_t keeps the control register of vector arithmetic, and what to set there:
# flush to zero and denormals are zero; the three other rounding directions with both.
if (sys.platform, platform.machine()) == ("linux", "x86_64"):
    ENVIRONMENT, REGISTER = 32, 28
    MODES = {"flush": 0x8040, "down": 0xA040, "up": 0xC040, "towards zero": 0xE040}
elif (sys.platform, platform.machine()) == ("linux", "aarch64"):
    ENVIRONMENT, REGISTER = 8, 0
    MODES = {"flush": 1 << 24, "up": 5 << 22, "down": 6 << 22, "towards zero": 7 << 22}
else:
    # The C library's portable call: rounding up, by <fenv.h>'s number on this architecture.
    ENVIRONMENT, REGISTER = 0, 0
    MODES = {"up": 0x800 if platform.machine() in ("x86_64", "AMD64") else 0x400000}


@contextlib.contextmanager
def float_modes(bits: int) -> Iterator[None]:
    """This thread computing with the modes `bits` set."""
    library = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
    if not ENVIRONMENT:
        before = library.fegetround()
        library.fesetround(bits)
        try:
            yield
        finally:
            library.fesetround(before)
        return
    found = ctypes.create_string_buffer(ENVIRONMENT)
    assert library.fegetenv(found) == 0
    hostile = ctypes.create_string_buffer(found.raw, ENVIRONMENT)
    register = ctypes.c_uint32.from_buffer(hostile, REGISTER)
    register.value |= bits
    library.fesetenv(hostile)
    try:
        yield
    finally:
        library.fesetenv(found)
