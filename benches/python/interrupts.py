"""How soon Ctrl-C stops a call: what several benches measure."""

import os
import signal
import threading
import time
from collections.abc import Callable


def lateness(run: Callable[[], object], delay: float) -> float | None:
    """Milliseconds from a signal, sent after `delay` seconds, to the KeyboardInterrupt that ends
    `run`; None if it ended by itself."""
    # A shell that starts this in the background has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sent = []

    def interrupt() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(delay, interrupt)
    ended = False
    timer.start()
    try:
        run()
        ended = True
        timer.join()
    except KeyboardInterrupt:
        return None if ended else (time.perf_counter() - sent[0]) * 1e3
    return None
