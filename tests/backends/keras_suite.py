"""Keras' own tests, from its wheel, with seedbed in the place of its initializers.

    KERAS_BACKEND=numpy python tests/backends/keras_suite.py [--files PATTERN ...]

What: every test that passes with Keras alone has to pass with `install()`, with
`install(stream="keras")`, and with the classes of `seedbed.keras.initializers` put in the place of
Keras'. Method: the suite runs in each of these modes; tests that fail in one run again with Keras
alone, which tells whose failure it is. Exit code: 0, or 1 with the names of the tests.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import types
from pathlib import Path
from typing import Any, Final

MODES: Final = ("install", "install as keras", "classes")
ALONE: Final = "alone"

FOLDERS: Final = (
    "initializers",
    "layers/core",
    "layers/rnn",
    "layers/attention",
    "layers/normalization",
    "layers/convolutional",
    "saving",
)

# What each mode cannot pass by the way it is made, with the reason.
EXEMPT: Final[dict[str, dict[str, str]]] = {
    "classes": {
        # Strings give Keras' class, which is what this mode puts ours in the place of.
        "random_initializers_test.py::RandomInitializersTest::test_orthogonal": "asks by a string",
    },
}

# ------------------------------------------------------------------ in the process of the tests


def pytest_configure(config: Any) -> None:
    config.addinivalue_line("markers", "requires_trainable_backend: as in Keras' own settings")
    config.addinivalue_line("markers", "multi_device: as in Keras' own settings")
    config.addinivalue_line("markers", "large: as in Keras' own settings")
    import keras
    import pytest

    import seedbed.keras

    def skip_if_backend(backend: str, reason: str) -> Any:
        return pytest.mark.skipif(keras.backend.backend() == backend, reason=reason)

    # Keras' tests import this from their own settings, which are no part of the wheel.
    settings: Any = types.ModuleType("conftest")
    settings.skip_if_backend = skip_if_backend
    sys.modules["conftest"] = settings

    mode = os.environ["KERAS_SUITE_MODE"]
    if mode == "install":
        seedbed.keras.install()
    elif mode == "install as keras":
        seedbed.keras.install("keras")
    elif mode == "classes":
        _put_classes_in_place(keras)


def _put_classes_in_place(keras: Any) -> None:
    from keras.src import initializers
    from keras.src.initializers import random_initializers

    from seedbed.keras import initializers as ours

    for module in (initializers, random_initializers, keras.initializers):
        for name in dir(module):
            theirs = getattr(module, name)
            kind = getattr(ours, getattr(theirs, "__name__", ""), None)
            if isinstance(theirs, type) and kind is not None and issubclass(kind, theirs):
                setattr(module, name, kind)


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    import pytest

    if os.environ["KERAS_BACKEND"] == "numpy":
        for item in items:
            if "requires_trainable_backend" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="NumPy trains nothing"))


_outcomes: Final[dict[str, str]] = {}


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call" or report.outcome != "passed":
        _outcomes[report.nodeid] = report.outcome


def pytest_sessionfinish(session: Any) -> None:
    Path(os.environ["KERAS_SUITE_RESULT"]).write_text(json.dumps(_outcomes))


# ------------------------------------------------------------------ in the process that compares


def run(mode: str, tests: list[str], root: Path, programs: str) -> dict[str, str]:
    """The outcome of each test in a mode. JAX keeps the programs that it compiled in `programs`.

    It compiles them in two thirds of the time without optimizations, which no test is about.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        environment = {
            **os.environ,
            "KERAS_SUITE_MODE": mode,
            "KERAS_SUITE_RESULT": str(result),
            "PYTHONPATH": os.pathsep.join(
                [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
            ),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "JAX_COMPILATION_CACHE_DIR": programs,
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        options = ["-q", "--tb=short", "--no-header", "-W", "ignore", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", "-c", os.devnull, f"--rootdir={root}", *options]
        command += ["--import-mode=importlib", "-p", "keras_suite", *tests]
        ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if not result.exists():
            sys.exit(f"the tests did not run:\n{ended.stdout}\n{ended.stderr}")
        outcomes: dict[str, str] = json.loads(result.read_text())
    if not outcomes:
        sys.exit(f"no tests were found:\n{ended.stdout}\n{ended.stderr}")
    return outcomes


def failures(mode: str, files: list[str], root: Path, programs: str) -> list[str]:
    """What passes with Keras alone and not in this mode; prints the counts."""
    outcomes = run(mode, files, root, programs)
    counts = {o: list(outcomes.values()).count(o) for o in ("passed", "failed", "skipped")}
    failed = sorted(name for name, outcome in outcomes.items() if outcome == "failed")
    if failed:
        alone = run(ALONE, [str(root / name) for name in failed], root, programs)
        failed = [name for name in failed if alone.get(name) == "passed"]
    exempt = [n for n in failed if any(n.endswith(part) for part in EXEMPT.get(mode, {}))]
    print(
        f"{os.environ['KERAS_BACKEND']}, {mode}: {counts['passed']} passed, "
        f"{counts['skipped']} skipped, {counts['failed']} failed, of which "
        f"{len(failed)} pass with Keras alone ({len(exempt)} exempt)",
        flush=True,
    )
    return [f"{mode}: {name}" for name in failed if name not in exempt]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", nargs="*", help="parts of the names of the files to run")
    parser.add_argument("--modes", nargs="*", default=MODES)
    arguments = parser.parse_args()

    from importlib.util import find_spec

    spec = find_spec("keras")
    if spec is None or spec.origin is None:
        sys.exit("Keras is not installed")
    root = Path(spec.origin).parent / "src"
    files = [str(f) for folder in FOLDERS for f in sorted((root / folder).glob("*_test.py"))]
    if arguments.files:
        files = [f for f in files if any(part in f for part in arguments.files)]
    if not files:
        sys.exit(f"Keras' wheel has no such tests in {root}")

    with tempfile.TemporaryDirectory() as programs:
        ours = [name for mode in arguments.modes for name in failures(mode, files, root, programs)]
    for name in ours:
        print(f"passes with Keras alone, fails with {name}")
    return 1 if ours else 0


if __name__ == "__main__":
    sys.exit(main())
