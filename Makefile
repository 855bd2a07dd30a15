# Everything from a fresh clone on: make test, make demo.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python

.PHONY: test lint demo install clean

test: lint
	$(RUN) -m pytest

lint: install
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m yamllint --strict .

demo: install
	$(RUN) demo.py

install: $(VENV)/installed

# The stamp is written last, so an interrupted installation is taken up again.
$(VENV)/installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable ".[dev,eval]"
	touch $@

clean:
	rm -rf $(VENV) results demo
