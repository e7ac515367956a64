"""Threads: the same bytes for any number, and signals, forks and many callers at once.

What concerns a whole process runs in one of its own.
"""

import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import seedbed
from interpreter import run
from seedbed import random

LARGE = (1200, 500)  # above 2**18 elements, from where on fills are parallel


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    before = seedbed.get_num_threads()
    yield
    seedbed.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float8_e4m3fn"])
def test_any_number_of_threads_gives_the_same_bytes(dtype: str) -> None:
    for sampler in (random.uniform, random.normal, random.truncated_normal):
        results = set()
        for threads in (1, 2, 3, 7):
            seedbed.set_num_threads(threads)
            assert seedbed.get_num_threads() == threads
            results.add(sampler(LARGE, dtype=dtype, seed=3).tobytes())
        assert len(results) == 1


@pytest.mark.parametrize("n", [0, -1, 1025, 1 << 80])
def test_impossible_numbers_of_threads(n: int) -> None:
    with pytest.raises(ValueError, match=f"`n` must be an integer from 1 to 1024.*n={n}"):
        seedbed.set_num_threads(n)


@pytest.mark.parametrize("n", [1.0, "2", None, True])
def test_numbers_of_threads_are_integers(n: Any) -> None:
    with pytest.raises(TypeError, match="`n` must be an integer"):
        seedbed.set_num_threads(n)
    seedbed.set_num_threads(np.int64(3))
    assert seedbed.get_num_threads() == 3


def test_environment_sets_the_number_of_threads() -> None:
    script = "import seedbed; print(seedbed.get_num_threads())"
    assert run(script, SEEDBED_NUM_THREADS="5") == "5"
    default = run(
        "import os, seedbed; print(seedbed.get_num_threads() <= len(os.sched_getaffinity(0)))",
        SEEDBED_NUM_THREADS="",
    )
    assert default == "True"


@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5", "99999"])
def test_bad_environment_is_an_error_at_import(value: str) -> None:
    script = """
        try:
            import seedbed
        except ValueError as error:
            print(error)
    """
    message = run(script, SEEDBED_NUM_THREADS=value)
    assert message == (
        "`SEEDBED_NUM_THREADS` must be an integer from 1 to 1024. "
        f"Received: SEEDBED_NUM_THREADS={value}"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_no_thread_before_the_first_large_fill() -> None:
    printed = run(
        """
        import os
        import numpy
        before = len(os.listdir("/proc/self/task"))
        import seedbed
        seedbed.set_num_threads(4)
        seedbed.random.normal((100, 100), seed=1)
        small = len(os.listdir("/proc/self/task"))
        seedbed.random.normal((1000, 1000), seed=1)
        print(small - before, len(os.listdir("/proc/self/task")) - before)
        """
    )
    assert printed == "0 3"


def test_many_python_threads() -> None:
    shapes = [LARGE, (100, 100), (8,), (3, 0), (700, 400)]
    want = [random.truncated_normal(shape, seed=5).tobytes() for shape in shapes]

    def work(i: int) -> bool:
        if i % 10 == 0:
            seedbed.set_num_threads(1 + i // 10 % 4)
        shape = shapes[i % len(shapes)]
        return random.truncated_normal(shape, seed=5).tobytes() == want[i % len(shapes)]

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(work, range(120)))


def test_other_python_threads_run_meanwhile() -> None:
    printed = run(
        """
        import threading, time
        import numpy as np
        from seedbed import random
        out = np.empty(1 << 25, np.float32)
        random.normal(out.shape, seed=1, out=out)
        filling = threading.Event()
        done = False
        def fill():
            global done
            filling.set()
            random.normal(out.shape, seed=1, out=out)
            done = True
        thread = threading.Thread(target=fill)
        thread.start()
        filling.wait()
        ticks = 0
        while not done:
            time.sleep(0.001)
            ticks += 1
        thread.join()
        print(ticks)
        """
    )
    assert int(printed) > 3


@pytest.mark.parametrize("stream", ["philox", "numpy", "torch"])
def test_fills_of_many_threads_of_every_size(stream: str) -> None:
    """Helpers that are busy with one call turn to others, whose tasks may wait for each other."""
    printed = run(
        f"""
        import threading
        import numpy as np
        import seedbed
        from seedbed import initializers, random
        calls = [lambda n=n, f=f: f((n,), seed=2, stream="{stream}").tobytes()
                 for n in (1 << 18, 1 << 19, 3000001)
                 for f in (random.uniform, random.normal, random.truncated_normal)]
        calls.append(lambda: initializers.Orthogonal(seed=2)((700, 500)).tobytes())
        seedbed.set_num_threads(1)
        want = [call() for call in calls]
        seedbed.set_num_threads(3)
        wrong = []
        start = threading.Barrier(6)
        def work(first):
            start.wait()
            for i in range(first, first + len(calls)):
                if calls[i % len(calls)]() != want[i % len(calls)]:
                    wrong.append(i)
        threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(wrong)
        """
    )
    assert printed == "[]"


BESIDE = """
    import os, signal, threading, time
    import ml_dtypes, numpy as np
    from seedbed import random
    short = np.empty(1 << 20, np.float32)
    random.normal(short.shape, seed=1, out=short)
    class Enough(Exception): pass
    def enough(number, frame):
        raise Enough
    signal.signal(signal.SIGINT, enough)
    ended = []
    def fill():
        # Seconds of work, and no more memory than is reached until the process ends.
        random.truncated_normal((1 << 32,), dtype="float8_e5m2", seed=1)
        ended.append(True)
    threading.Thread(target=fill, daemon=True).start()
    time.sleep(0.2)
"""


@pytest.mark.parametrize("threads", ["2", "4"])
def test_a_long_fill_keeps_no_short_one_waiting(threads: str) -> None:
    printed = run(
        textwrap.dedent(BESIDE)
        + textwrap.dedent(
            """
            for _ in range(5):
                random.normal(short.shape, seed=1, out=short)
            print(ended, flush=True)
            os._exit(0)
            """
        ),
        SEEDBED_NUM_THREADS=threads,
    )
    assert printed == "[]"


@pytest.mark.parametrize("threads", ["2", "4"])
def test_ctrl_c_stops_a_fill_beside_a_longer_one(threads: str) -> None:
    printed = run(
        textwrap.dedent(BESIDE)
        + textwrap.dedent(
            """
            out = np.empty(1 << 31, ml_dtypes.float8_e5m2)
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                random.normal(out.shape, dtype=out.dtype, seed=1, out=out)
                print("finished", flush=True)
            except Enough:
                print(ended, out.view(np.uint8)[-(1 << 20) :].any(), flush=True)
            os._exit(0)
            """
        ),
        SEEDBED_NUM_THREADS=threads,
    )
    # Neither fill had come to its end; benches/python/calls.py says how soon it stops.
    assert printed == "[] False"


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_idle_pools_use_no_processor() -> None:
    printed = run(
        """
        import os, time
        import seedbed
        from seedbed import random
        seedbed.set_num_threads(4)
        def used():
            before = time.process_time()
            time.sleep(0.1)
            return time.process_time() - before
        for stream in ("philox", "numpy"):
            random.normal((1 << 20,), seed=1, stream=stream)
            # On a busy machine it takes a while until all have gone to sleep; a thread that spins
            # never does, and uses 0.1 s each time, or its share of such a machine.
            while used() > 0.001:
                pass
        print(len(os.listdir("/proc/self/task")))
        """
    )
    assert int(printed) >= 4


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_pools_follow_the_number_asked_for() -> None:
    """A pool of another size takes the place of the old one, whose threads end."""
    printed = run(
        """
        import os, time
        import seedbed
        from seedbed import random
        def helpers():
            names = []
            for task in os.listdir("/proc/self/task"):
                try:
                    with open(f"/proc/self/task/{task}/comm") as comm:
                        names.append(comm.read())
                except OSError:
                    pass  # ended meanwhile
            return sum(name.startswith("seedbed-") for name in names)
        for threads in (5, 2, 3, 1, 4):
            seedbed.set_num_threads(threads)
            random.normal((1000, 1000), seed=1)
            waited = time.monotonic()
            while helpers() != threads - 1 and time.monotonic() - waited < 20:
                time.sleep(0.01)
            print(helpers())
        if os.fork() == 0:
            inherited = helpers()
            random.normal((1000, 1000), seed=1)
            print(inherited, helpers(), flush=True)
            os._exit(0)
        os.wait()
        """
    )
    assert printed.split() == ["4", "1", "2", "0", "3", "0", "3"]


@pytest.mark.parametrize("threads", ["1", "2"])
def test_ctrl_c_stops_a_fill(threads: str) -> None:
    # Pages that are not reached are never touched: interrupted soon, the array stays small.
    printed = run(
        """
        import os, signal, threading
        import ml_dtypes, numpy as np
        from seedbed import random
        out = np.empty(1 << 32, ml_dtypes.float8_e5m2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        try:
            random.truncated_normal(out.shape, dtype=out.dtype, seed=1, out=out)
            print("finished")
        except KeyboardInterrupt:
            print(out.view(np.uint8)[-(1 << 20) :].any())
        timer.join()
        small = random.normal((1000, 1000), seed=1)
        assert np.isfinite(small).all()
        """,
        SEEDBED_NUM_THREADS=threads,
    )
    # The end had not been reached; benches/python/calls.py says how soon it stops.
    assert printed == "False"


def test_handlers_of_signals_run_and_may_raise_anything() -> None:
    printed = run(
        """
        import signal
        import ml_dtypes, numpy as np
        from seedbed import random
        class Alarm(Exception): pass
        def handler(number, frame):
            raise Alarm
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            random.normal((1 << 32,), dtype="float8_e5m2", seed=1)
        except Alarm:
            print("alarm")
        """
    )
    assert printed == "alarm"


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize(
    ("stream", "dtype"),
    [
        ("philox", "float32"),
        ("philox", "bfloat16"),
        ("numpy", "float64"),
        ("numpy", "float32"),
        ("numpy", "bfloat16"),
    ],
)
def test_a_call_needs_no_memory_but_its_output(stream: str, dtype: str) -> None:
    printed = run(
        f"""
        import seedbed
        from seedbed import random
        seedbed.set_stream("{stream}")
        def peak():
            with open("/proc/self/status") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        def reset():
            with open("/proc/self/clear_refs", "w") as peaks:
                peaks.write("5")
            return peak()
        shape, dtype = (1 << 12, 1 << 12), "{dtype}"
        strided = random.uniform((1 << 12, 1 << 13), dtype=dtype, seed=1)[:, ::2]
        for sampler in (random.uniform, random.normal, random.truncated_normal):
            sampler((1 << 9, 1 << 10), dtype=dtype, seed=1)
            before = reset()
            sampler(shape, dtype=dtype, seed=1, out=strided)
            into = peak() - before
            before = reset()
            fresh = sampler(shape, dtype=dtype, seed=1)
            print(into, peak() - before - fresh.nbytes // 1024)
            del fresh
        """,
        SEEDBED_NUM_THREADS="2",
    )
    # In KiB: 1 MiB for each of two threads, and what is rounded up to huge pages.
    over = [int(number) for number in printed.split()]
    assert len(over) == 6
    assert max(over) <= 2 * 1024 + 2 * 2048


FORKED = """
    import os, sys, threading
    from seedbed import random
    want = random.truncated_normal((1000, 1000), seed=1).tobytes()

    def child():
        pid = os.fork()
        if pid == 0:
            ok = all(random.truncated_normal((1000, 1000), seed=1).tobytes() == want
                     for _ in range(3))
            os._exit(0 if ok else 1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


@pytest.mark.skipif(not hasattr(sys.modules["os"], "fork"), reason="needs fork")
def test_forked_children_fill() -> None:
    printed = run(
        textwrap.dedent(FORKED)
        + textwrap.dedent(
            """
            print([child() for _ in range(3)])
            assert random.truncated_normal((1000, 1000), seed=1).tobytes() == want
            """
        ),
        SEEDBED_NUM_THREADS="3",
    )
    assert printed == "[0, 0, 0]"


@pytest.mark.skipif(not hasattr(sys.modules["os"], "fork"), reason="needs fork")
def test_forks_during_fills() -> None:
    printed = run(
        textwrap.dedent(FORKED)
        + textwrap.dedent(
            """
            stop = threading.Event()
            failures = []
            def keep_filling():
                while not stop.is_set():
                    if random.truncated_normal((1000, 1000), seed=1).tobytes() != want:
                        failures.append(1)
            threads = [threading.Thread(target=keep_filling) for _ in range(2)]
            for thread in threads: thread.start()
            codes = [child() for _ in range(8)]
            stop.set()
            for thread in threads: thread.join()
            print(codes, failures)
            """
        ),
        SEEDBED_NUM_THREADS="3",
    )
    assert printed == "[0, 0, 0, 0, 0, 0, 0, 0] []"


def test_grandchildren_fill() -> None:
    printed = run(
        textwrap.dedent(FORKED)
        + textwrap.dedent(
            """
            pid = os.fork()
            if pid == 0:
                random.truncated_normal((1000, 1000), seed=1)
                os._exit(child())
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            """
        ),
        SEEDBED_NUM_THREADS="3",
    )
    assert printed == "0"


def test_forks_while_a_generator_is_in_use() -> None:
    printed = run(
        """
        import os, threading
        from seedbed import random
        generator = random.SeedGenerator(1)
        stop = threading.Event()
        def keep_drawing():
            while not stop.is_set():
                generator.next()
        threads = [threading.Thread(target=keep_drawing) for _ in range(3)]
        for thread in threads: thread.start()
        codes = []
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                os._exit(0 if int(generator.next()[0]) == 1 else 1)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        stop.set()
        for thread in threads: thread.join()
        print(sum(codes))
        """
    )
    assert printed == "0"
