# Everything that is done with a checkout. It takes Python, a C compiler and make; whatever else is needed goes into virtual
# environments under build/, a folder for each interpreter. What is tested and measured is never the checkout but the
# installed wheel, built from an sdist: what a user gets.

PYTHON ?= python3
ARGS ?=
PROGRAMS ?=
PACKAGES ?=

TAG := $(shell $(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11); \
	print("python%d.%d.%d" % sys.version_info[:3] + sys.abiflags)' 2>/dev/null)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

ENV := build/$(TAG)$(if $(filter-out 0,$(PYFASTLOCK_DEV)),-dev)
BIN := $(ENV)/venv/bin
TOOLS := $(ENV)/tools/bin
PIP := -m pip --quiet --disable-pip-version-check
SDIST := build/sdist/pyfastlock-$(VERSION).tar.gz
C_FILES := $(shell find csrc tests/c benchmarks -name '*.[ch]')
CONTENTS := $(shell find csrc pyfastlock -name '*.[ch]' -o -name '*.py' -o -name '*.pyi') \
	pyproject.toml setup.py MANIFEST.in README.md LICENSE

# Nothing of the checkout gets onto sys.path, in a test's subprocess neither: `import pyfastlock` finds the wheel.
PYTEST = PYTHONSAFEPATH=1 $(BIN)/python -m pytest

# $(call install,PYTHON,EXTRA) installs what one of pyproject.toml's extras lists.
install = $(1) -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*project["optional-dependencies"]["$(2)"], sep="\n")' | $(1) $(PIP) install --requirement /dev/stdin

.DELETE_ON_ERROR:
.PHONY: help test test-c test-programs test-packages test-packages-quick test-wheel bench bench-all bench-smoke bench-parker lint stubtest format install dist clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/make \1: \2/p' $(firstword $(MAKEFILE_LIST))
	@echo 'PYTHON=python3.14 takes another interpreter; ARGS="-k fork -x" are arguments for pytest, or for the comparison;'
	@echo 'PROGRAMS="test_queue" are names and options for test-programs, PACKAGES="trio dill-locks" for test-packages.'
	@echo 'PYFASTLOCK_DEV=1 builds with assertions and with warnings as errors.'

# --- Tests ---

test: $(ENV)/installed ## run the tests
	$(PYTEST) $(ARGS)

test-c: ## run the core's C tests: plain, under ThreadSanitizer, under AddressSanitizer and UBSan
	@$(MAKE) --no-print-directory -C tests/c SAN=none
	@$(MAKE) --no-print-directory -C tests/c SAN=thread
	@$(MAKE) --no-print-directory -C tests/c SAN=address

test-programs: $(ENV)/installed ## run CPython's own tests of whole programs, as they are and patched
	$(BIN)/python tests/whole_programs.py $(PROGRAMS)

test-packages: $(ENV)/installed ## run well-known packages' own tests, as they are and patched; it installs them under build/
	$(BIN)/python tests/packages.py --folder $(ENV)/packages $(PACKAGES)

test-packages-quick: $(ENV)/installed ## the same with those that take least
	$(BIN)/python tests/packages.py --folder $(ENV)/packages --quick

test-wheel: dist ## run the tests, away from the checkout, on the wheel in an empty environment; some also on the sdist there
	@set -e; for archive in $(CURDIR)/$(ENV)/dist/*; do \
		case $$archive in *.whl) what=tests;; *) what="tests/test_lock.py tests/test_event.py tests/test_packaging.py";; esac; \
		echo "== $$archive: $$what"; \
		rm -rf $(ENV)/empty; $(PYTHON) -m venv $(ENV)/empty/venv; cp -R tests pyproject.toml $(ENV)/empty; \
		$(ENV)/empty/venv/bin/python $(PIP) install --no-cache-dir "$$archive[test]"; \
		(cd $(ENV)/empty && venv/bin/python -P -m pytest $$what $(ARGS)); \
	done

# --- Benchmarks ---

bench: $(ENV)/installed $(ENV)/benchable ## compare with threading and fastrlock, in about two minutes
	$(BIN)/python benchmarks/compare.py $(ARGS)

bench-all: $(ENV)/installed $(ENV)/benchable ## all the benchmarks, with the time that they need
	$(PYTEST) benchmarks/suite --benchmark-only
	$(BIN)/python benchmarks/compare.py --full $(ARGS)

bench-smoke: $(ENV)/installed $(ENV)/benchable ## run each benchmark once, to see that it works
	$(PYTEST) benchmarks/suite --benchmark-disable
	$(BIN)/python benchmarks/compare.py --plan smoke --json $(ENV)/smoke.json --svg $(ENV)/smoke.svg $(ARGS)

bench-parker: ## the two ways to sleep, without Python: a semaphore, and a condition variable
	@mkdir -p build
	@for way in -UFL_PARK_CONDVAR -DFL_PARK_CONDVAR; do \
		$(CC) -std=c11 -O3 -pthread -D_GNU_SOURCE $$way -Icsrc -o build/parker benchmarks/parker.c \
			csrc/park/park.c csrc/platform/*.c && build/parker && build/parker || exit 1; done

# --- Style ---

lint: $(ENV)/tools/made ## check the style of the Python and the C code, and the types
	$(TOOLS)/ruff check
	$(TOOLS)/ruff format --check
	$(TOOLS)/clang-format --dry-run -Werror $(C_FILES)
	$(TOOLS)/mypy

stubtest: $(ENV)/installed $(ENV)/tools/made ## compare the type stubs with what the module has
	$(TOOLS)/python $(PIP) install --no-deps --force-reinstall $(ENV)/wheel/*.whl
	PYTHONSAFEPATH=1 $(TOOLS)/stubtest pyfastlock

format: $(ENV)/tools/made ## put the code in style
	$(TOOLS)/ruff check --fix
	$(TOOLS)/ruff format
	$(TOOLS)/clang-format -i $(C_FILES)

# --- Building and installing ---

install: $(ENV)/installed ## build the wheel and install it under build/

dist: $(ENV)/venv/made ## build the sdist and the wheel into dist/
	@rm -rf $(ENV)/dist
	@$(BIN)/python -m build --outdir $(ENV)/dist >$(ENV)/dist.log 2>&1 || { cat $(ENV)/dist.log; exit 1; }
	@mkdir -p dist && cp -v $(ENV)/dist/* dist

clean: ## remove what was built
	rm -rf build dist pyfastlock.egg-info tests/c/build

$(ENV)/venv/made $(ENV)/tools/made: pyproject.toml
	@test -n "$(TAG)" || { echo "make: $(PYTHON) is no Python >= 3.11; choose one with PYTHON=" >&2; exit 1; }
	@echo "== $(PYTHON): a virtual environment, $(@D)"
	@$(PYTHON) -m venv --clear $(@D)
	@$(call install,$(@D)/bin/python,$(if $(filter %/tools/made,$@),dev,test))
	@touch $@

$(SDIST): $(CONTENTS) | $(ENV)/venv/made
	@$(BIN)/python -m build --sdist --no-isolation --outdir $(@D) >$(ENV)/sdist.log 2>&1 || { cat $(ENV)/sdist.log; exit 1; }

$(ENV)/installed: $(SDIST) $(ENV)/venv/made
	@echo "== $(PYTHON): building and installing pyfastlock $(VERSION)"
	@rm -rf $(ENV)/wheel
	@$(BIN)/python $(PIP) wheel --no-deps --no-cache-dir --no-build-isolation --wheel-dir $(ENV)/wheel $(SDIST)
	@$(BIN)/python $(PIP) install --no-deps --force-reinstall $(ENV)/wheel/*.whl
	@touch $@

$(ENV)/benchable: $(ENV)/venv/made
	@$(call install,$(BIN)/python,bench) || { $(BIN)/python $(PIP) install pytest-benchmark && \
		echo "SKIPPED fastrlock: it cannot be installed for $(PYTHON); its column stays empty"; }
	@touch $@
