"""Orthogonal: what it refuses, the memory it takes, and that it can be interrupted.

What concerns a whole process runs in one of its own.
"""

import functools
import sys
from typing import Any

import keras
import pytest

import interpreter
import numpy as np
from seedbed import initializers

run = functools.partial(interpreter.run, PYTHONWARNINGS="error")


@pytest.mark.parametrize("stream", ["philox", "numpy"])
@pytest.mark.parametrize("shape", [(), (5,), [3], [0]], ids=str)
def test_rank_below_two_is_refused_in_keras_words(shape: Any, stream: str) -> None:
    with pytest.raises(ValueError) as theirs:
        keras.initializers.Orthogonal(seed=1)(shape)
    with pytest.raises(ValueError) as ours:
        initializers.Orthogonal(seed=1, stream=stream)(shape)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "complex64", "complex128"])
def test_dtypes_without_orthogonal_matrices_are_refused(dtype: str) -> None:
    """Keras returns float64 for integers, whatever was asked for, and complex matrices of real
    columns; the native stream returns the dtype asked for or nothing."""
    with pytest.raises(ValueError, match=f"`dtype` must be one of float16.*dtype={dtype}"):
        initializers.Orthogonal(seed=1)((3, 2), dtype=dtype)


@pytest.mark.parametrize("gain", [float("nan"), float("inf"), -float("inf")])
def test_gains_without_numbers_are_refused(gain: float) -> None:
    """Keras multiplies by them."""
    out = np.full((3, 2), 7, np.float32)
    with pytest.raises(ValueError, match=f"`gain` must be finite. Received: gain={gain}"):
        initializers.Orthogonal(gain=gain, seed=1)((3, 2), out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("gain", ["a", None, 1j, [1.0, 2.0]], ids=repr)
def test_gains_that_are_no_numbers_are_named(gain: Any) -> None:
    with pytest.raises(TypeError, match=r"`gain` must be a real number\. Received: gain="):
        initializers.Orthogonal(gain=gain, seed=1)((3, 2))


@pytest.mark.parametrize(
    ("shape", "error"),
    [
        ((2**40, 2**40), ValueError),
        ((2**62, 4), ValueError),
        ((2**21, 2**21, 2**21), ValueError),
        ((0, 2**62, 2**62), ValueError),
        ((2**40, 2**18), MemoryError),
        ((2**18, 2**40), MemoryError),
    ],
    ids=str,
)
def test_sizes_that_cannot_be_had_are_errors(shape: tuple[int, ...], error: type) -> None:
    with pytest.raises(error):
        initializers.Orthogonal(seed=1)(shape)
    if 0 not in shape:
        # A part of such a matrix still needs its workspace.
        with pytest.raises(error):
            initializers.Orthogonal(seed=1)(shape, index=(slice(0, 1),) * len(shape))


PEAK = """
    from seedbed import _core
    stream = _core.Stream("philox")
    def peak():
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) << 10
    shape, dtype = {shape}, "{dtype}"
    out = stream.normal(shape, dtype, (1, 0), 0.0, 1.0).draw()
    stream.orthogonal((500, 500), dtype, (1, 0), 1.0).draw()
    with open("/proc/self/clear_refs", "w") as peaks:
        peaks.write("5")
    before = peak()
    stream.orthogonal(shape, dtype, (1, 0), 1.0).draw(out=out)
    print(peak() - before, out.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize(
    ("shape", "dtype", "share"),
    [
        ((2048, 2048), "float32", 0.75),
        ((2048, 2048), "float64", 0.75),
        ((1 << 17, 64), "float32", 1.2),
        ((96, 1 << 16), "float32", 1.2),
        ((1 << 16, 64), "float64", 1.2),
    ],
    ids=str,
)
def test_workspace_is_a_share_of_the_output(
    shape: tuple[int, ...], dtype: str, share: float
) -> None:
    """And 8 MiB, which is also what huge pages round up to: two for each of the larger parts."""
    script = PEAK.format(shape=shape, dtype=dtype)
    more, output = map(int, run(script, SEEDBED_NUM_THREADS="2").split())
    assert 0 < more <= share * output + (8 << 20)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the size from /proc")
@pytest.mark.parametrize("stream", ["philox", "numpy"])
@pytest.mark.parametrize("shape", ["(3000, 3000)", "(2000000, 4)", "(60, 200000)"])
def test_workspace_that_cannot_be_had_is_a_memory_error(shape: str, stream: str) -> None:
    printed = run(
        f"""
        import resource
        import numpy as np
        from seedbed import initializers
        initializer = initializers.Orthogonal(seed=1, stream="{stream}")
        initializer((600, 600))
        out = np.full({shape}, 7, np.float32)
        with open("/proc/self/statm") as sizes:
            size = int(sizes.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (4 << 20), resource.RLIM_INFINITY))
        try:
            initializer({shape}, out=out)
            refused = False
        except MemoryError:
            refused = True
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        print(refused and (out == 7).all())
        assert np.isfinite(initializer({shape}, out=out)).all()
        """,
        SEEDBED_NUM_THREADS="2",
    )
    assert printed == "True"


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("stream", ["philox", "numpy"])
@pytest.mark.parametrize("shape", ["(9000, 9000)", "(300000, 500)"])
def test_ctrl_c_stops_it(shape: str, stream: str, threads: str) -> None:
    """Left alone these take seconds; how soon they stop is in benches/python/orthogonal.py."""
    printed = run(
        f"""
        import os, signal, threading
        import numpy as np
        from seedbed import initializers
        signal.signal(signal.SIGINT, signal.default_int_handler)
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        try:
            initializers.Orthogonal(seed=1, stream="{stream}")({shape}, dtype="float64")
            print("finished")
        except KeyboardInterrupt:
            print("interrupted")
        timer.join()
        small = initializers.Orthogonal(seed=1, stream="{stream}")((400, 400))
        assert np.isfinite(small).all()
        """,
        SEEDBED_NUM_THREADS=threads,
    )
    assert printed == "interrupted"
