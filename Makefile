# One command each: make demo, make test. The first of them makes .venv from requirements.lock.

PYTHON ?= python3
# lock: torch from requirements.lock; installed: the machine's own torch (clusters)
TORCH ?= $(if $(wildcard .venv/.installed-installed),installed,lock)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(TORCH)
PYTEST ?=

.PHONY: help demo test slow chaos setup lint format bench bench-all results study screenshots lock clean

help:
	@echo "make demo     sweep heads x layers of a small GPT, then write runs/sweeps/demo/report.html"
	@echo "make test     run the tests"
	@echo "make slow     run the long ones: kills, signals, every-step resumes, README's commands"
	@echo "make chaos    kill -9 and signals at CHAOS=500 random moments each (hours)"
	@echo "make lint     ruff, mypy, import contracts"
	@echo "make bench    speed and memory beside peers, as ratios (15 minutes at most; PARTS=\"gpt t5\": these alone)"
	@echo "make bench-all   the parts that take minutes each, too"
	@echo "make study    heads x layers at equal parameters, three seeds: README's verdict (90 minutes at most)"
	@echo "make results  train what README's results table shows"
	@echo "make screenshots   a picture of each page of the dashboard, over runs/, under docs/"
	@echo "make setup    make $(VENV) (TORCH=installed takes the machine's torch)"

demo: $(STAMP)
	$(BIN)/lit-transformer sweep run sweeps/demo.yaml
	$(BIN)/lit-transformer compare runs/sweeps/demo

test: $(STAMP)
	$(BIN)/pytest $(PYTEST)

slow: $(STAMP)
	$(BIN)/pytest -m slow $(PYTEST)

chaos: $(STAMP)
	CHAOS=$(or $(CHAOS),500) $(BIN)/pytest -m chaos -rP $(PYTEST)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch's profiler, which counts bytes, says at each start that there is no GPU.
QUIET := KINETO_LOG_LEVEL=99

bench: $(STAMP) $(VENV)/.litgpt
	$(QUIET) $(BIN)/python tests/benchmarks/bench.py $(PARTS)

bench-all: $(STAMP) $(VENV)/.litgpt
	$(QUIET) $(BIN)/python tests/benchmarks/bench.py --all

# A peer that cannot be in requirements.lock: it asks for an older huggingface-hub. Without it its part is left out.
$(VENV)/.litgpt: tests/benchmarks/litgpt.txt $(STAMP)
	-export PATH="$$PATH:$(CURDIR)/$(BIN)"; uv pip install --python $(BIN)/python --no-deps --require-hashes -r $< && touch $@

results: $(STAMP)
	$(BIN)/python tests/benchmarks/results.py

screenshots: $(STAMP)
	PYTHONPATH=. $(BIN)/python tests/screenshots.py runs

study: $(STAMP)
	$(BIN)/python tests/benchmarks/study.py

setup: $(STAMP)

# The stamp is made last: a broken installation is made again. uv where there is one, else from the package index into .venv.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || { \
	  echo "Python 3.11 to 3.13 is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo missing)." \
	       "Install one, or name it: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "Python's venv module is needed: on Debian, apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(if $(filter installed,$(TORCH)),--system-site-packages) $(VENV)
	@command -v uv >/dev/null || $(BIN)/python -m pip install --quiet uv
ifeq ($(TORCH),installed)
	@$(BIN)/python -c 'import torch, torchvision' || { \
	  echo "TORCH=installed needs a torch and torchvision that $(PYTHON) can import." >&2; exit 1; }
	awk '/^[a-z]/ { keep = !/^((torch|torchvision|triton)==|nvidia-|cuda-)/ } keep' requirements.lock > $(VENV)/requirements.lock
	export PATH="$$PATH:$(CURDIR)/$(BIN)"; uv pip install --compile-bytecode --python $(BIN)/python --no-deps --require-hashes -r $(VENV)/requirements.lock
else
	export PATH="$$PATH:$(CURDIR)/$(BIN)"; uv pip install --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
endif
	export PATH="$$PATH:$(CURDIR)/$(BIN)"; uv pip install --python $(BIN)/python --no-deps --editable .
	@touch $@

# The versions of everything, with hashes and without the addresses of any index.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --group dev --all-extras pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
