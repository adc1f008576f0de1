# Everything there is to do with a clone. `make` alone lists it; nothing here changes the machine outside this
# folder, except `system-packages`, which says what it installs.
#
# PYTHON=python3.13 chooses the interpreter that .venv is made with.

PY := .venv/bin/python
# No address of a package index may reach a lock file: whoever installs has their own.
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(PY) -m piptools compile --quiet --allow-unsafe --generate-hashes \
	--strip-extras --no-emit-index-url --no-emit-find-links --no-emit-options $(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := help
.PHONY: help setup environment start check test bench docs wheel lock outdated system-packages clean

help:  ## List these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
		while IFS='|' read -r name text; do printf '  make %-16s %s\n' "$$name" "$$text"; done

setup:  ## Prepare everything after a clone: .venv with the tenterhook command, and what the tests use
	@sh tools/setup tests

environment:
	@sh tools/setup environment

start: environment  ## Start the demo server in the foreground (TENTERHOOK_PORT chooses another port)
	@exec .venv/bin/tenterhook start

check: setup  ## Format, lint, types, import layers, JavaScript syntax, unit tests and docs: before every commit
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy src tools
	.venv/bin/lint-imports --no-logo
	$(PY) tools/check_javascript.py
	$(PY) tools/run_tests.py tests/unit

test: setup  ## Every test: real database, real Node processes, the real program; leaves nothing running
	$(PY) tools/run_tests.py -n auto --dist worksteal tests

bench: environment  ## Run every benchmark; the figures and their machine are in bench/README.md
	@set -e; for program in bench/*.py; do echo "$(PY) $$program"; $(PY) "$$program"; done

docs: environment  ## Write the generated reference pages anew
	$(PY) tools/docs.py

wheel: environment  ## Build dist/tenterhook-*.whl and check that nothing is missing in it
	rm -rf dist
	$(PY) -m hatchling build --target wheel
	$(PY) tools/check_wheel.py dist/tenterhook-*.whl

lock: environment  ## Write the lock files anew from pyproject.toml (UPGRADE=1: newest versions)
	$(COMPILE) --output-file=requirements.lock pyproject.toml
	$(COMPILE) --extra=dev --output-file=requirements-dev.lock pyproject.toml

outdated: environment  ## Ask the registries what is newer than Node's wheel and the other pins that safety rests on
	$(PY) tools/outdated.py $(if $(WRITE),--write)

system-packages:  ## Debian, as root: install the system's packages that a clone needs
	@sh tools/system-packages

clean:  ## Remove what was built or cached (the data in .tenterhook stays)
	rm -rf .venv .cache dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
