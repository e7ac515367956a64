"""Settings that hold for every test: the reference library's backend, the signals of children."""

import os
import signal

# Read by Keras when it is first imported, by whichever test comes first.
os.environ["KERAS_BACKEND"] = "numpy"

# Read by JAX when it is first used. Processors with arithmetic for float16 round it otherwise.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_max_isa=AVX2"

# A shell that starts the tests in the background, or nohup, has them ignore these, and a child
# inherits that; the tests of interruption need what an interactive shell gives.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
