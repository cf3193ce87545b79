# Everything that is done with a checkout. It takes Python, a C compiler and make; whatever else is needed goes into virtual
# environments under build/, a folder for each interpreter. What is tested and measured is never the checkout but the
# installed wheel, built from an sdist: what a user gets.

PYTHON ?= python3
ARGS ?=
PROGRAMS ?=
PACKAGES ?=
HERD ?=
OPERATIONS ?= 100000000
# What test-busy runs: our side of what depends on how threads run.
QUICK := tests/behaviour tests/concurrency tests/signals tests/fork tests/lifetime \
	-k "not [stdlib and not -stdlib and not test_main"

# What `make coverage` runs on the interpreter, and on others for the lines that only they need.
ALSO ?= python3.11 python3.13t python3.15
COUNTED := tests/arguments tests/behaviour tests/concurrency tests/signals tests/fork tests/lifetime tests/stress \
	tests/faults tests/project/test_stdlib_suite.py -k "not [stdlib and not -stdlib and not test_main"
COUNTED_ALSO := tests/arguments tests/behaviour tests/lifetime tests/concurrency/test_free_threading.py \
	tests/concurrency/test_locks_conditions.py -k "not [stdlib and not -stdlib and not test_main"
GCOVR := gcovr==8.4

TAG := $(shell $(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11); \
	print("python%d.%d.%d" % sys.version_info[:3] + sys.abiflags)' 2>/dev/null)
# The date of the last commit: two builds of it are equal.
ifndef SOURCE_DATE_EPOCH
export SOURCE_DATE_EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || echo 1000000000)
endif
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

# SANITIZER=address and SANITIZER=thread are builds of the extension for test-asan and test-tsan.
ENV := build/$(TAG)$(if $(filter-out 0,$(PYFASTLOCK_DEV)),-dev)$(addprefix -,$(SANITIZER))
BIN := $(ENV)/venv/bin
TOOLS := $(ENV)/tools/bin
# Which of pyproject.toml's extras each virtual environment gets.
EXTRA_venv := test
EXTRA_tools := dev
EXTRA_docs := docs
EXTRA_release := release
PIP := -m pip --quiet --disable-pip-version-check
SDIST := build/sdist/pyfastlock-$(VERSION).tar.gz
WORKFLOWS := $(wildcard .github/workflows/*.yml)
FORMS := .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/question.yml
C_FILES := $(shell find csrc tests benchmarks -name '*.[ch]' -not -path '*/build/*')
# With its name, the flags are in every call of the compiler: setup.py's probes are linked, too.  UBSan's library takes its
# settings from the environment only where it is the extension's own and does not call into AddressSanitizer's.
FLAGS_address := -fsanitize=address,undefined -static-libubsan -Wl,-Bsymbolic
FLAGS_thread := -fsanitize=thread
COMPILER := $(CC) $(if $(SANITIZER),-g -fno-omit-frame-pointer $(FLAGS_$(SANITIZER)))
CONTENTS := $(shell find csrc pyfastlock -name '*.[ch]' -o -name '*.py' -o -name '*.pyi') \
	pytest_pyfastlock.py pyproject.toml setup.py MANIFEST.in README.md LICENSE

# Nothing of the checkout gets onto sys.path, in a test's subprocess neither: `import pyfastlock` finds the wheel.
PYTEST = PYTHONSAFEPATH=1 $(BIN)/python -m pytest

# $(call install,PYTHON,EXTRA) installs what one of pyproject.toml's extras lists.
install = $(1) -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*project["optional-dependencies"]["$(2)"], sep="\n")' | $(1) $(PIP) install --requirement /dev/stdin

# $(call sanitized,TOOL,SETTINGS) runs the tests under a tool, with assertions, or says why that cannot be done.
sanitized = if why=$$($(PYTHON) tests/sanitizers/run.py $(1) --why-not); then \
	$(MAKE) --no-print-directory run-sanitized TOOL=$(1) PYFASTLOCK_DEV=1 $(2); else echo "SKIPPED $@: $$why"; fi

.DELETE_ON_ERROR:
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.* [#][#] .*/\1/p' $(firstword $(MAKEFILE_LIST))) \
	run-sanitized counted

help: ## this list (1 s)
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\) (\(.*\))$$/\1|\3|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		awk -F'|' '{ printf "make %-20s %-8s %s\n", $$1, $$2, $$3 }'
	@echo
	@echo 'The times are those of two cores. The first command for an interpreter takes half a minute more, to build.'
	@echo
	@echo 'PYTHON=python3.14         another interpreter than python3'
	@echo 'PYFASTLOCK_DEV=1          build with assertions, and with warnings as errors'
	@echo 'ARGS="-k fork -x"         arguments for pytest (test), for the comparison (bench)'
	@echo 'PROGRAMS="test_queue"     names and options for test-programs'
	@echo 'PACKAGES="trio dill-locks"   names for test-packages'
	@echo 'HERD=/path/to/herd7       the simulator for litmus, where it is not on PATH'
	@echo
	@echo 'More commands that measure: benchmarks/README.md. All checks on all interpreters: .ci/run'

# --- Tests ---

test: $(ENV)/installed ## run the tests (3 min)
	$(PYTEST) $(ARGS)

test-model: $(ENV)/installed ## run programs of random calls beside a plain model, 300 for each type (2 min)
	PYFASTLOCK_MODEL_EXAMPLES=$${PYFASTLOCK_MODEL_EXAMPLES:-300} $(PYTEST) tests/model $(ARGS)

test-busy: $(ENV)/installed ## run the tests that depend on how threads run beside four busy loops (3 min)
	PYTHONSAFEPATH=1 $(BIN)/python tests/busy.py $(QUICK) $(ARGS)

storm: $(ENV)/installed ## run the storms of tests/storms: signals, exceptions, forks, ends; ARGS="--seconds 600 soak" (6 min)
	$(BIN)/python tests/storms $(ARGS)

stress-deadlocks: $(ENV)/installed ## take locks in one order 100 million times, and 5 million in Python: no false alarm; OPERATIONS=1000000 (6 min)
	$(BIN)/python tests/storms order --operations $$(($(OPERATIONS) / 20))
	@OPERATIONS=$(OPERATIONS) $(MAKE) --no-print-directory -C tests/c SAN=none PARK=default ONLY=test_order TIMEOUT=3600

test-faults: $(ENV)/installed ## let calls fail, of Python and of the system, one after the other: the settings that take long, too (2 min)
	@$(MAKE) --no-print-directory -C tests/c SAN=none ONLY="test_faults% test_small_stack"
	PYFASTLOCK_FAULTS=1 $(PYTEST) tests/faults -rP -o faulthandler_timeout=600 $(ARGS)

test-c: ## run the core's C tests: plain, under ThreadSanitizer, under AddressSanitizer and UBSan (3 min)
	@$(MAKE) --no-print-directory -C tests/c SAN=none
	@$(MAKE) --no-print-directory -C tests/c SAN=thread
	@$(MAKE) --no-print-directory -C tests/c SAN=address

test-c-targets: ## the same with clang, with musl, on i386, and under qemu on other processors; ARGS="aarch64 s390x" (6 min)
	@$(PYTHON) tests/c/targets.py $(ARGS)

explore: ## run the real core in every order of its threads' steps, and find the planted bugs; ARGS=--full takes 15 min (3 min)
	$(PYTHON) tests/explore/run.py $(ARGS)

litmus: ## run the litmus tests of the C code's memory orderings, under herd7 (2 min)
	$(PYTHON) tests/litmus/run.py $(if $(HERD),--herd "$(HERD)")

prove: ## run all that is known of correctness, the long way, and print a table: what, how much, found (hours)
	PYTHON=$(PYTHON) $(PYTHON) tests/prove.py $(ARGS)

test-asan: ## run all tests with an extension under AddressSanitizer and UBSan (6 min)
	@$(call sanitized,address,SANITIZER=address)

test-tsan: ## the same under ThreadSanitizer; PYTHON has to be a ThreadSanitizer build without the GIL (40 min)
	@TSAN_OPTIONS=report_bugs=0 && export TSAN_OPTIONS && $(call sanitized,thread,SANITIZER=thread)

test-valgrind: ## run the C tests and the tests of behaviour under valgrind's memcheck (30 min)
	@$(call sanitized,valgrind)

run-sanitized: $(ENV)/installed
	@$(BIN)/python tests/sanitizers/run.py $(TOOL) --folder $(ENV)/$(TOOL) --compiler "$(COMPILER)" $(ARGS)

coverage: ## say which lines of csrc/ the tests run; fails where one is missed that tests/coverage does not list (15 min)
	@find build/coverage tests/c/build/coverage-* -name '*.gcda' -delete 2>/dev/null || true
	@test -x build/coverage/tools/bin/gcovr || { $(PYTHON) -m venv --clear build/coverage/tools && \
		build/coverage/tools/bin/python $(PIP) install $(GCOVR); }
	@set -e; $(MAKE) --no-print-directory counted; \
	for python in $(ALSO); do \
		if command -v $$python >/dev/null; then $(MAKE) --no-print-directory counted PYTHON=$$python COUNTED='$(COUNTED_ALSO)'; \
		else echo "SKIPPED $$python: it is not here, so the lines that only it needs are missed"; fi; done
	@$(MAKE) --no-print-directory -C tests/c SAN=coverage
	@build/coverage/tools/bin/gcovr --config tests/coverage/gcovr.cfg --json build/coverage/report.json
	@$(PYTHON) tests/coverage/check.py build/coverage/report.json tests/coverage/uncovered.txt

counted: COUNT = build/coverage/$(TAG)
counted:
	@$(MAKE) --no-print-directory install ENV=$(COUNT)
	@$(MAKE) --no-print-directory -C tests/coverage PYTHON=$(PYTHON) FOLDER=$(CURDIR)/$(COUNT)/objects
	@$(COUNT)/venv/bin/python -P tests/coverage/use.py $(COUNT)/objects/_core.so
	PYTHONSAFEPATH=1 $(COUNT)/venv/bin/python -m pytest $(COUNTED) $(ARGS)

mutate: $(ENV)/installed ## plant 400 small faults in the C code, one at a time; each must be found by a test (2 h)
	$(BIN)/python tests/mutation/run.py --python $(BIN)/python $(ARGS)

test-programs: $(ENV)/installed ## run CPython's own tests of whole programs, as they are and patched (1 min)
	$(BIN)/python tests/whole_programs.py $(PROGRAMS)

test-packages: $(ENV)/installed ## run well-known packages' own tests, as they are and patched; installs them under build/ (5 min)
	$(BIN)/python tests/packages.py --folder $(ENV)/packages $(PACKAGES)

test-packages-quick: $(ENV)/installed ## the same with those that take least (80 s)
	$(BIN)/python tests/packages.py --folder $(ENV)/packages --quick

test-wheel: dist ## test the wheel away from the checkout: behaviour and project; some also on the sdist (2 min)
	@set -e; for archive in $(CURDIR)/$(ENV)/dist/*; do \
		case $$archive in *.whl) what="tests/behaviour tests/project";; *) what="tests/behaviour/test_lock.py tests/behaviour/test_event.py tests/project/test_packaging.py";; esac; \
		echo "== $$archive: $$what"; \
		rm -rf $(ENV)/empty; $(PYTHON) -m venv $(ENV)/empty/venv; cp -R tests pyproject.toml $(ENV)/empty; \
		$(ENV)/empty/venv/bin/python $(PIP) install --no-cache-dir "$$archive[test]"; \
		(cd $(ENV)/empty && venv/bin/python -P -m pytest $$what $(ARGS)); \
	done

# --- Benchmarks ---

bench: $(ENV)/installed $(ENV)/benchable ## compare with threading and fastrlock (2 min)
	$(BIN)/python benchmarks/compare.py $(ARGS)

bench-all: $(ENV)/installed $(ENV)/benchable ## run all benchmarks, with the time that they need (1 h)
	$(PYTEST) benchmarks/suite --benchmark-only
	$(BIN)/python benchmarks/compare.py --full $(ARGS)

bench-smoke: $(ENV)/installed $(ENV)/benchable ## run each benchmark once, to see that it works (20 s)
	$(PYTEST) benchmarks/suite --benchmark-disable
	$(BIN)/python benchmarks/compare.py --plan smoke --json $(ENV)/smoke.json --svg $(ENV)/smoke.svg $(ARGS)

bench-parker: ## measure the two ways to sleep, without Python: a futex, and a condition variable (5 s)
	@mkdir -p build
	@for way in -UFL_PARK_CONDVAR -DFL_PARK_CONDVAR; do \
		$(CC) -std=c11 -O3 -pthread -D_GNU_SOURCE $$way -Icsrc -o build/parker benchmarks/parker.c \
			csrc/park/*.c csrc/platform/*.c && build/parker && build/parker || exit 1; done

# --- Style ---

lint: $(ENV)/tools/made ## check the style of the Python and the C code, the types, and the workflows (8 s)
	$(TOOLS)/ruff check
	$(TOOLS)/ruff format --check
	$(TOOLS)/clang-format --dry-run -Werror $(C_FILES)
	$(TOOLS)/mypy
	$(TOOLS)/actionlint $(WORKFLOWS)
	$(TOOLS)/zizmor --offline --quiet .github
	$(TOOLS)/check-jsonschema --quiet --builtin-schema vendor.github-workflows $(WORKFLOWS)
	$(TOOLS)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(TOOLS)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms $(FORMS)
	$(TOOLS)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(TOOLS)/check-jsonschema --quiet --builtin-schema vendor.citation-file-format CITATION.cff

stubtest: $(ENV)/installed $(ENV)/tools/made ## compare the type stubs with what the module has (10 s)
	$(TOOLS)/python $(PIP) install --no-deps --force-reinstall $(ENV)/wheel/*.whl
	PYTHONSAFEPATH=1 $(TOOLS)/stubtest --allowlist tests/project/stubtest.txt --ignore-unused-allowlist pyfastlock

stub: $(ENV)/installed $(ENV)/tools/made ## put the docstrings of the C code into pyfastlock/_core.pyi, where editors look (1 s)
	$(BIN)/python -P tests/helpers/stub_docstrings.py pyfastlock/_core.pyi
	$(TOOLS)/ruff format pyfastlock/_core.pyi

format: $(ENV)/tools/made ## put the code in style (2 s)
	$(TOOLS)/ruff check --fix
	$(TOOLS)/ruff format
	$(TOOLS)/clang-format -i $(C_FILES)

# --- The site ---

docs: $(ENV)/installed $(ENV)/docs/made ## build the site into build/docs/html, and check its links (20 s)
	@$(ENV)/docs/bin/python $(PIP) install --no-deps --force-reinstall $(ENV)/wheel/*.whl
	@rm -rf build/docs/html
	$(ENV)/docs/bin/python -P -m sphinx --fail-on-warning --nitpicky --fresh-env --quiet \
		-d $(ENV)/docs/doctrees docs build/docs/html
	@echo "The site: build/docs/html/index.html"

# --- Building and installing ---

install: $(ENV)/installed ## build the wheel and install it under build/ (15 s)

dist: $(ENV)/venv/made ## build the sdist and the wheel into dist/ (30 s)
	@rm -rf $(ENV)/dist
	@$(BIN)/python -m build --outdir $(ENV)/dist >$(ENV)/dist.log 2>&1 || { cat $(ENV)/dist.log; exit 1; }
	@mkdir -p dist && cp -v $(ENV)/dist/* dist

wheels: $(ENV)/release/made ## build and test the wheels for this system, in containers where it is Linux; CIBW_ARCHS=x86_64 (hours)
	$(ENV)/release/bin/python -m cibuildwheel --output-dir dist

release-check: $(ENV)/release/made ## check what a release needs; ARGS=--whole runs all tests on the wheel, ARGS=--list says more (2 min)
	@$(ENV)/release/bin/python -P tests/release/check.py $(ARGS)

clean: ## remove what was built (1 s)
	rm -rf build dist pyfastlock.egg-info tests/c/build tests/explore/build

$(ENV)/venv/made $(ENV)/tools/made $(ENV)/docs/made $(ENV)/release/made: pyproject.toml
	@test -n "$(TAG)" || { echo "make: $(PYTHON) is no Python >= 3.11; choose one with PYTHON=" >&2; exit 1; }
	@echo "== $(PYTHON): a virtual environment, $(@D)"
	@$(PYTHON) -m venv --clear $(@D)
	@$(call install,$(@D)/bin/python,$(EXTRA_$(notdir $(@D))))
	@touch $@

$(SDIST): $(CONTENTS) | $(ENV)/venv/made
	@$(BIN)/python -m build --sdist --no-isolation --outdir $(@D) >$(ENV)/sdist.log 2>&1 || { cat $(ENV)/sdist.log; exit 1; }

$(ENV)/installed: $(SDIST) $(ENV)/venv/made
	@echo "== $(PYTHON): building and installing pyfastlock $(VERSION)"
	@rm -rf $(ENV)/wheel
	@$(if $(SANITIZER),CC="$(COMPILER)") $(BIN)/python $(PIP) wheel --no-deps --no-cache-dir --no-build-isolation --wheel-dir $(ENV)/wheel $(SDIST)
	@$(BIN)/python $(PIP) install --no-deps --force-reinstall $(ENV)/wheel/*.whl
	@touch $@

$(ENV)/benchable: $(ENV)/venv/made
	@$(call install,$(BIN)/python,bench) || { $(BIN)/python $(PIP) install pytest-benchmark && \
		echo "SKIPPED fastrlock: it cannot be installed for $(PYTHON); its column stays empty"; }
	@touch $@
