# make demo   install, analyse the shipped clip, print where the report is
# make test   install with the tests' needs, lint, types, tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint install install-dev system clean lock

demo: install
	$(BIN)/streamfer analyze samples/portrait.mp4 -o out --overwrite >/dev/null
	@echo "report: file://$(CURDIR)/out/portrait/report.html"

test: install-dev lint
	$(BIN)/python -m pytest

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/mypy

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt | system
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[cpu,expllm]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt | system
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.installed

# OpenCV and MediaPipe load these system libraries; a slim image lacks them
system:
	@missing=""; for lib in libGL.so.1 libgthread-2.0.so.0; do \
	  ldconfig -p | grep -q "$$lib" || missing="$$missing $$lib"; done; \
	[ -z "$$missing" ] && exit 0; \
	echo "missing system libraries:$$missing"; \
	cmd="apt-get install -y libgl1 libglib2.0-0"; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -q && $$cmd; \
	else echo "run: sudo $$cmd"; exit 1; fi

# the versions that the tests ran with; run after changing pyproject.toml
lock: install-dev
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//' > constraints.txt

clean:
	rm -rf $(VENV) out build dist
