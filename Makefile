# Everything on a machine with Python 3.11 or later and nothing else: `make demo` and `make test`.
# PYTHON=… names the interpreter, DATABASE_URL=… a PostgreSQL to use instead of the embedded one.

VENV ?= .venv
# Further requirements, such as "django~=6.1.0".
WITH ?=
# Further arguments of pytest, such as "-k admin -x".
ARGS ?=

python = "$(VENV)/bin/python"
environment = @sh .ci/environment "$(VENV)"
with = $(if $(WITH),"$(WITH)")

# The caller's own would choose other settings or other modules.
unexport DJANGO_SETTINGS_MODULE PYTHONPATH PYTHONHOME PYTHONWARNINGS PYTHONOPTIMIZE

.PHONY: help demo serve test test-mixes test-browser lint docs docs-links bench bench-trail bench-growth bench-adopting load clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    show the three layers at work, with two users on a real server"
	@echo "make serve   leave the example running to click through"
	@echo "make test    run the tests"
	@echo "make test-mixes  run the tests beside other people's packages"
	@echo "make test-browser  use the example in Chromium; ARGS=--screenshots draws the docs' pictures anew"
	@echo "make lint    check style, types and migrations"
	@echo "make docs    build the documentation into docs/_build/html"
	@echo "make docs-links  ask every address that the documentation links to; needs a network"
	@echo "make bench   measure beside other packages; ARGS='--write docs/performance.md' keeps it"
	@echo "make bench-trail   measure what a trail costs, beside other packages that keep one"
	@echo "make bench-growth   measure large tables and many models"
	@echo "make bench-adopting   measure the locks and times of adopting, on 10 million rows: half an hour, 15 GB"
	@echo "make load    ten minutes of mixed traffic, each row compared; ARGS='--seconds 60' is shorter"
	@echo "make clean   remove the environment and the embedded server's data"

# `exec` hands the signals that make receives to the program, which then stops what it started.
demo:
	$(environment) example $(with)
	@exec $(python) example_project/demo.py

serve:
	$(environment) example $(with)
	@exec $(python) example_project/serve.py

test:
	$(environment) test $(with)
	@exec $(python) -m pytest -n auto $(ARGS)

# In an environment of its own, so that the others stay as a user of the package has them.
test-mixes: python = ".venv-mixes/bin/python"
test-mixes:
	@sh .ci/environment .venv-mixes mixes $(with)
	@exec $(python) -m pytest --ds=tests.mixes.settings tests/mixes $(ARGS)

# Likewise: a browser's driver is large, and nobody needs it who uses the package.
test-browser: python = ".venv-browser/bin/python"
test-browser:
	@sh .ci/environment .venv-browser browser $(with)
	@exec $(python) -m pytest --ds=tests.browser.settings tests/browser $(ARGS)

lint:
	$(environment) test,lint $(with)
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy
	$(python) -m django makemigrations --check --dry-run --settings=tests.settings --pythonpath=.
	$(python) example_project/manage.py makemigrations --check --dry-run

# In an environment of its own, as a documentation host has it. A warning fails the build.
docs docs-links: python = ".venv-docs/bin/python"
docs:
	@sh .ci/environment .venv-docs docs $(with)
	$(python) -m sphinx -E -n -W --keep-going -q docs docs/_build/html
	@echo "Open docs/_build/html/index.html."

docs-links:
	@sh .ci/environment .venv-docs docs $(with)
	$(python) -m sphinx -n -b linkcheck docs docs/_build/links

# In an environment of its own: the packages compared are not the tests' concern.
bench bench-trail bench-growth bench-adopting: python = ".venv-bench/bin/python"
bench:
	@sh .ci/environment .venv-bench bench $(with)
	@exec $(python) -m benchmarks.speed $(ARGS)

bench-trail:
	@sh .ci/environment .venv-bench bench $(with)
	@exec $(python) -m benchmarks.trail $(ARGS)

bench-growth:
	@sh .ci/environment .venv-bench bench $(with)
	@exec $(python) -m benchmarks.growth $(ARGS)

bench-adopting:
	@sh .ci/environment .venv-bench bench $(with)
	@exec $(python) -m benchmarks.adopting $(ARGS)

load:
	$(environment) test $(with)
	@exec $(python) -m benchmarks.load.run $(ARGS)

clean:
	rm -rf .venv .venv-* .postgres .postgres-* .pytest_cache .mypy_cache .ruff_cache .hypothesis dist docs/_build
