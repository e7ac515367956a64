"""Settings that hold for the tests of Keras' backends, which run in a process each."""

import os

import pytest
from hypothesis import settings

if "KERAS_BACKEND" not in os.environ:
    raise pytest.UsageError("Set KERAS_BACKEND: these tests run once for each backend of Keras.")

# Read when JAX is first used. Eight devices on the processor, to shard over; and no arithmetic for
# float16, which some processors have and which rounds otherwise.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8 --xla_cpu_max_isa=AVX2"
)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# The same examples each time, so that a change is judged by what it changed;
# `--hypothesis-profile search` looks for others.
settings.register_profile("repeated", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile("repeated")


@pytest.fixture(autouse=True)
def _no_variable_waits():
    """Keras gives variables that were made without values theirs when the next scope ends, in
    whichever test that is."""
    yield
    from keras.src.backend.common import global_state

    global_state.set_global_attribute("uninitialized_variables", [])
