# Everything a developer runs. Needs cargo with rustfmt and clippy, and Python 3.11 or later;
# each target sets up what it lacks in .venv/.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
WHEELS := target/wheels
# The other processor with vectors of its own.
CROSS := aarch64-unknown-linux-gnu
HOST = $(shell rustc --print host-tuple)

# Whose change makes the installed package stale.
SOURCES := Cargo.toml Cargo.lock pyproject.toml README.md LICENSE NOTICE \
	$(shell find src python/seedbed -type f ! -name '*.so' ! -name '*.pyc')

.PHONY: demo test test-rust test-python test-backends test-loading test-loaders
.PHONY: check check-rust check-python bench stats asan clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/seedbed init examples/gpt2-xl.toml -o gpt2-xl.safetensors

test: test-rust test-python

test-rust:
	cargo test --workspace --locked

test-python: $(VENV)/.installed-test
	$(BIN)/pytest

# seedbed.keras on each backend of Keras, a process each: its own tests, then Keras' own with seedbed
# in the place of its initializers. Another environment, as the backends take several gigabytes.
# The one that takes longest comes first: with -j2 the others run beside it.
BACKENDS := jax torch tensorflow numpy
BACKENDS_VENV := .venv-backends
BACKENDS_BIN := $(BACKENDS_VENV)/bin
test-backends: $(addprefix test-backend-,$(BACKENDS))

.PHONY: $(addprefix test-backend-,$(BACKENDS))
$(addprefix test-backend-,$(BACKENDS)): test-backend-%: $(BACKENDS_VENV)/.installed
	KERAS_BACKEND=$* $(BACKENDS_BIN)/python -m pytest -c tests/backends/pytest.toml tests/backends/every tests/backends/on_$*
	KERAS_BACKEND=$* $(BACKENDS_BIN)/python tests/backends/keras_suite.py

# What loads checkpoints: transformers, accelerate, huggingface_hub, torch's distributed checkpoints,
# fsspec's stores; and the launchers of the examples. An environment of its own, for its size. The
# last release of transformers 4, which is still in wide use, lies over it for a second run, without
# the one test of what version 5 brought.
LOADERS_VENV := .venv-loaders
LOADERS_BIN := $(LOADERS_VENV)/bin
LOADERS_TEST := $(LOADERS_BIN)/python -m pytest -c tests/loaders/pytest.toml
test-loaders: $(LOADERS_VENV)/.installed
	$(LOADERS_TEST) tests/loaders
	PYTHONPATH=$(abspath $(LOADERS_VENV))/transformers-4 $(LOADERS_TEST) tests/loaders \
		--deselect test_plans.py::test_models_whose_files_have_other_names_are_refused

# Those of them that start no servers, with the current release of each library.
test-loading: $(LOADERS_VENV)/.installed
	$(LOADERS_TEST) $(addprefix tests/loaders/test_,hub.py model_types.py plans.py reading.py transformers.py)

check: check-rust check-python

check-rust:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked
	@if [ -d "$$(rustc --print target-libdir --target $(CROSS))" ]; then \
		set -x; cargo check -p seedbed-core --locked --target $(CROSS); \
	else \
		echo "left out: cargo check for $(CROSS), whose standard library is not installed"; \
	fi

check-python: $(VENV)/.installed-test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest seedbed._core

bench: $(VENV)/.installed-test
	cargo bench --workspace --locked
	$(BIN)/python benches/python/initializers.py --chart docs/speed.svg
	$(BIN)/python benches/python/calls.py
	$(BIN)/python benches/python/checkpoint.py
	$(BIN)/python benches/python/many_tensors.py
	$(BIN)/python benches/python/exact_streams.py
	$(BIN)/python benches/python/orthogonal.py --chart docs/orthogonal.svg

# The statistical tests with their table of results: the long form, which takes minutes, or with
# STATS=short the one that `make test` runs as well.
STATS ?= long
stats: $(VENV)/.installed-test
	SEEDBED_STATS=$(STATS) $(BIN)/pytest -q tests/stats

# The core's tests, and those of Python that lend memory, under AddressSanitizer. Its runtimes come
# with Rust and with the C compiler; its flag is not stable yet. Allocations of impossible sizes are
# to be refused, not reported, and the interpreter frees less at its end than it allocated.
ASAN := target/asan
asan: $(VENV)/.installed-test
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address ASAN_OPTIONS=allocator_may_return_null=1 \
		cargo test -p seedbed-core --lib --locked --target $(HOST) --target-dir $(ASAN)
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address \
		cargo build -p seedbed-bindings --locked --target $(HOST) --target-dir $(ASAN)
	rm -rf $(ASAN)/python && mkdir -p $(ASAN)/python && cp -r python/seedbed $(ASAN)/python/
	cp $(ASAN)/$(HOST)/debug/lib_core.so $(ASAN)/python/seedbed/_core.abi3.so
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so)" PYTHONMALLOC=malloc PYTHONPATH=$(abspath $(ASAN))/python \
		ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0 $(BIN)/python -m pytest \
		tests/python/test_out.py tests/python/test_index.py tests/python/test_native_stream.py

clean:
	rm -rf $(VENV) $(BACKENDS_VENV) $(LOADERS_VENV) target dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The environment and, in it, the build tool that pyproject.toml names.
$(VENV)/.created: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "seedbed needs Python 3.11 or later; choose one with PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' > $(VENV)/build-requires.txt
	$(PIP) -r $(VENV)/build-requires.txt
	touch $@

# The wheel as it would be published, built once and installed: nothing runs from the sources.
$(VENV)/.installed: $(VENV)/.created $(SOURCES)
	rm -rf $(WHEELS)
	$(BIN)/maturin build --release --locked --interpreter $(BIN)/python --out $(WHEELS)
	$(PIP) --force-reinstall --no-deps $(WHEELS)/seedbed-*.whl
	$(PIP) $(WHEELS)/seedbed-*.whl
	touch $@

# Environments of gigabytes, which uv takes in a sixth of the processor time of pip.
UV := bin/uv pip install --quiet --python
$(BACKENDS_VENV)/.created $(LOADERS_VENV)/.created: %/.created: pyproject.toml
	$(PYTHON) -m venv $*
	$*/bin/pip install --quiet --disable-pip-version-check uv
	touch $@

# The backends: what cannot be installed, or imported afterwards, ends the build.
$(BACKENDS_VENV)/.installed: $(BACKENDS_VENV)/.created $(VENV)/.installed
	$(BACKENDS_VENV)/$(UV) $(BACKENDS_BIN)/python "seedbed[backends] @ $$(ls $(abspath $(WHEELS))/seedbed-*.whl)"
	$(BACKENDS_VENV)/$(UV) $(BACKENDS_BIN)/python --reinstall-package seedbed --no-deps $(WHEELS)/seedbed-*.whl
	for backend in $(BACKENDS); do KERAS_BACKEND=$$backend $(BACKENDS_BIN)/python -c 'import keras, keras_hub' || exit 1; done
	touch $@

$(LOADERS_VENV)/.installed: $(LOADERS_VENV)/.created $(VENV)/.installed
	$(LOADERS_VENV)/$(UV) $(LOADERS_BIN)/python "seedbed[loaders] @ $$(ls $(abspath $(WHEELS))/seedbed-*.whl)"
	$(LOADERS_VENV)/$(UV) $(LOADERS_BIN)/python --reinstall-package seedbed --no-deps $(WHEELS)/seedbed-*.whl
	$(LOADERS_VENV)/$(UV) $(LOADERS_BIN)/python --no-deps --target $(LOADERS_VENV)/transformers-4 \
		'transformers>=4.57,<5' 'huggingface_hub<1' 'tokenizers>=0.22,<=0.23.0'
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) "$$(ls $(WHEELS)/seedbed-*.whl)[test]"
	touch $@
