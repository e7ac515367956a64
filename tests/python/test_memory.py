"""Memory of results: its layout, its owner, when it goes back, and what happens if there is none.

What concerns a whole process runs in one of its own.
"""

import gc
import itertools
import queue
import sys
import textwrap
import threading
import weakref
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from interpreter import run
from seedbed import random

HUGE_PAGE = 2 << 20
# Around nothing, one element, a cache line, and the size from where on huge pages are asked for.
LENGTHS = (0, 1, 2, 63, 64, 65, 4095, 4096, 4097, *(HUGE_PAGE + by for by in (-1, 0, 1)))
LENGTHS += (2 * HUGE_PAGE + 3,)

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def fresh(length: int, dtype: str = "float8_e5m2") -> np.ndarray[Any, Any]:
    return random.uniform((length,), dtype=dtype, seed=length)


@pytest.mark.parametrize("dtype", ["float8_e5m2", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("length", LENGTHS)
def test_layout(length: int, dtype: str) -> None:
    array = fresh(length, dtype)
    alignment = HUGE_PAGE if array.nbytes >= HUGE_PAGE else 64
    assert array.ctypes.data % alignment == 0
    assert array.shape == (length,)
    assert array.strides == (array.itemsize,)
    assert array.nbytes == length * array.itemsize
    assert array.flags.c_contiguous
    assert array.flags.writeable
    # The memory belongs to the base object, which nothing but arrays shows.
    assert not array.flags.owndata
    assert type(array.base).__name__ == "Memory"
    # Every byte may be read and written.
    bytes_ = array.view(np.uint8)
    want = bytes_.copy()
    bytes_[...] = 255
    assert (bytes_ == 255).all()
    bytes_[...] = want
    assert array.tobytes() == fresh(length, dtype).tobytes()


@pytest.mark.parametrize("shape", [(), (0, 5), (3, 0, 2), (1, 1, 1), (7, 9), (2, 3, 5, 7)])
def test_layout_of_any_rank(shape: tuple[int, ...]) -> None:
    array = random.normal(shape, seed=1)
    assert array.shape == shape
    assert array.flags.c_contiguous
    if array.size:  # strides of empty arrays mean nothing, and NumPy's changed
        assert array.strides == np.empty(shape, np.float32).strides
    assert array.ctypes.data % 64 == 0


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_freed_in_any_order(order: tuple[int, ...]) -> None:
    """The arrays that are left keep their bytes, and new ones in the gaps disturb none."""
    lengths = (1, 65, HUGE_PAGE - 1, HUGE_PAGE + 1)
    arrays = {i: fresh(length) for i, length in enumerate(lengths)}
    want = [array.tobytes() for array in arrays.values()]
    for i in order:
        del arrays[i]
        again = [fresh(length) for length in lengths]
        assert [array.tobytes() for array in again] == want
        assert all(array.tobytes() == want[j] for j, array in arrays.items())


def test_freed_in_other_threads_than_made() -> None:
    lengths = LENGTHS * 4
    want = {length: fresh(length).tobytes() for length in LENGTHS}
    made: queue.Queue[np.ndarray[Any, Any] | None] = queue.Queue(8)
    seen = []

    def free() -> None:
        while (array := made.get()) is not None:
            seen.append(array.tobytes() == want[array.size])
            del array

    threads = [threading.Thread(target=free) for _ in range(3)]
    for thread in threads:
        thread.start()
    for length in lengths:
        made.put(fresh(length))
    for _ in threads:
        made.put(None)
    for thread in threads:
        thread.join()
    assert len(seen) == len(lengths)
    assert all(seen)


def test_views_keep_the_memory() -> None:
    array = random.normal((1024, 1024), seed=1)
    want = array[1000:, ::3].copy()
    view = array[1000:, ::3].T
    shown = memoryview(array)  # type: ignore[arg-type]
    gone = weakref.ref(array)
    del array
    assert gone() is not None  # the view's base
    gc.collect()
    others = [random.normal((1024, 1024), seed=2) for _ in range(3)]
    assert (want == view.T).all()
    assert shown[1000, 3] == want[0, 1]
    del view, shown, others
    assert gone() is None


def test_the_base_alone_keeps_the_memory() -> None:
    array = fresh(HUGE_PAGE)
    base, want = array.base, array.tobytes()
    lent = array.view(np.uint8)
    del array
    assert type(base).__name__ == "Memory"
    assert lent.tobytes() == want


def test_arrays_outlive_the_modules() -> None:
    """Destructors run in whatever order the interpreter ends in; `-X dev` checks the allocators."""
    printed = run(
        """
        import sys, gc
        from seedbed import random
        small, large = random.normal((9,), seed=1), random.normal((1 << 20,), seed=1)
        want = large.copy()
        for name in [name for name in sys.modules if name.startswith("seedbed")]:
            del sys.modules[name]
        del random
        gc.collect()
        assert (large == want).all()
        kept = [large[::7]]
        kept.append(kept)
        sys.kept = kept
        print("ends")
        """,
        PYTHONDEVMODE="1",
    )
    assert printed == "ends"


@linux_only
def test_memory_goes_back_when_freed() -> None:
    """At once for large results; many small and failed calls leave nothing behind either."""
    printed = run(
        """
        import numpy as np
        from seedbed import initializers, random
        def resident():
            with open("/proc/self/status") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        def calls():
            for length in (1, 64, 1 << 12, 1 << 19, (1 << 19) + 1):
                for stream in ("philox", "numpy", "torch"):
                    random.truncated_normal((length,), seed=1, stream=stream)
            initializers.Orthogonal(seed=1)((300, 200))
            try:
                random.normal((1 << 60,), seed=1)
            except MemoryError:
                pass
        random.normal((1 << 20,), seed=1)
        for _ in range(3): calls()
        before = resident()
        large = random.normal((1 << 25,), seed=1)
        full = resident()
        part = large[:10]
        del large
        kept = resident()
        del part
        print(full - before >= 128 << 10, kept - before >= 128 << 10, resident() - before)
        for _ in range(60): calls()
        print(resident() - before)
        """,
        SEEDBED_NUM_THREADS="2",
    )
    first, second = printed.splitlines()
    full, kept, freed = first.split()
    assert (full, kept) == ("True", "True")
    # In KiB. One of the 60 rounds has 9 MB of results: what leaked would be seen.
    assert int(freed) < 4096
    assert int(second) < 8192


LIMITED = """
    import resource
    import ml_dtypes, numpy as np
    from seedbed import initializers, random

    def size():
        with open("/proc/self/statm") as sizes:
            return int(sizes.read().split()[0]) * resource.getpagesize()

    def limit(bytes_):
        resource.setrlimit(resource.RLIMIT_AS, (bytes_, resource.RLIM_INFINITY))

    def refused(call, more):
        limit(size() + more)
        try:
            call()
        except MemoryError:
            return True
        finally:
            limit(resource.RLIM_INFINITY)
        return False
"""


@linux_only
@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("stream", ["philox", "numpy", "torch"])
def test_no_memory_for_a_result_is_a_memory_error(stream: str, threads: str) -> None:
    """Nothing leaks, and the process goes on: the same call works once there is memory."""
    printed = run(
        textwrap.dedent(LIMITED)
        + textwrap.dedent(
            f"""
            shape = (1 << 12, 1 << 12)
            samplers = [random.uniform, random.normal, random.truncated_normal]
            for dtype in ("float64", "bfloat16"):
                calls = [lambda f=f: f(shape, dtype=dtype, seed=1, stream="{stream}")
                         for f in samplers]
                calls.append(lambda: initializers.HeNormal(seed=1, stream="{stream}")(shape, dtype))
                want = [call()[-1, -9:].tobytes() for call in calls]
                before = size()
                for _ in range(20):
                    assert all(refused(call, 16 << 20) for call in calls)
                print((size() - before) >> 20)
                assert [call()[-1, -9:].tobytes() for call in calls] == want
            """
        ),
        SEEDBED_NUM_THREADS=threads,
    )
    # In MiB. Each of the 160 refused results would have 32 or 128.
    assert [int(leaked) < 8 for leaked in printed.split()] == [True, True]


@linux_only
@pytest.mark.parametrize("threads", ["1", "3"])
def test_filling_lent_memory_takes_none(threads: str) -> None:
    """With `out`, contiguous or not, a call works where no large piece can be allocated."""
    printed = run(
        textwrap.dedent(LIMITED)
        + textwrap.dedent(
            """
            out = np.full((1 << 11, 1 << 11), 7, np.float32)
            wide = np.full((1 << 11, 1 << 12), 7, ml_dtypes.bfloat16)
            for target in (out, out.T, wide[:, ::2], out[::-1, ::-1]):
                for f in (random.uniform, random.normal, random.truncated_normal):
                    call = lambda: f(target.shape, dtype=target.dtype, seed=3, out=target)
                    call()
                    want = target.tobytes()
                    target[...] = 7
                    print(refused(call, 1 << 20), target.tobytes() == want)
            """
        ),
        SEEDBED_NUM_THREADS=threads,
    )
    assert printed.split() == ["False", "True"] * 12


@linux_only
def test_no_memory_for_workspace_leaves_out_alone() -> None:
    printed = run(
        textwrap.dedent(LIMITED)
        + textwrap.dedent(
            """
            out = np.full((2000, 1500), 7, np.float32)
            for stream in ("philox", "numpy"):
                call = lambda: initializers.Orthogonal(seed=1, stream=stream)(out.shape, out=out)
                call()
                want = out.tobytes()
                out[...] = 7
                before = size()
                print(all([refused(call, 2 << 20) for _ in range(10)]), bool((out == 7).all()))
                print(size() - before < 8 << 20)
                call()
                assert out.tobytes() == want
            """
        ),
        SEEDBED_NUM_THREADS="2",
    )
    assert printed.split() == ["True"] * 6


@linux_only
def test_no_memory_for_threads_leaves_the_calling_one() -> None:
    """Where no stack can be had for helpers, the calling thread does the work, byte for byte."""
    printed = run(
        textwrap.dedent(LIMITED)
        + textwrap.dedent(
            """
            import os
            import seedbed
            out = np.full(1 << 20, 7, np.float32)
            seedbed.set_num_threads(1)
            want = random.normal(out.shape, seed=3).tobytes()
            seedbed.set_num_threads(64)
            before = len(os.listdir("/proc/self/task"))
            print(refused(lambda: random.normal(out.shape, seed=3, out=out), 1 << 20))
            print(out.tobytes() == want, len(os.listdir("/proc/self/task")) - before)
            out[...] = 7
            random.normal(out.shape, seed=3, out=out)
            print(out.tobytes() == want, len(os.listdir("/proc/self/task")) - before)
            """
        )
    )
    assert printed.split() == ["False", "True", "0", "True", "63"]


def test_refused_calls_leave_out_alone() -> None:
    out = np.full((64, 64), 7, ml_dtypes.bfloat16)
    calls: list[Any] = [
        lambda: random.normal((64, 65), dtype="bfloat16", seed=1, out=out),
        lambda: random.normal((64, 64), dtype="float32", seed=1, out=out),
        lambda: random.normal((64, 64), stddev=-1.0, dtype="bfloat16", seed=1, out=out),
        lambda: random.uniform((64, 64), 2.0, 1.0, dtype="bfloat16", seed=1, out=out),
        lambda: random.normal((64, 64), dtype="bfloat16", seed=-1, out=out),
        lambda: random.normal((64, 64), dtype="bfloat16", seed=1, stream="none", out=out),
    ]
    refusals = 0
    for call in calls:
        try:
            call()
        except (TypeError, ValueError):
            refusals += 1
        assert (out == 7).all()
    assert refusals == len(calls)
