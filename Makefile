# Shotline. `make` alone says what there is.
VENV := .venv
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
STAMP := $(VENV)/.installed
RUN := . $(VENV)/bin/activate &&
# One thread for each process: the tests and the node processes are many already.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench clean

help: ## this list
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /|/' | while IFS='|' read -r name what; do \
		printf '  make %-8s %s\n' "$$name" "$$what"; done

setup: $(STAMP) ## an environment in .venv with everything; again only when pyproject.toml changed

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found." \
		"Debian and Ubuntu: apt-get install python3 python3-venv. Or name one: make setup PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make environments." \
		"Debian and Ubuntu: apt-get install python3-venv, then make setup again"; exit 1; }
	@$(PORTAUDIO)
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@# Just this torch is built for the CPU on every index; torchaudio asks for another one, and works beside it.
	$(VENV)/bin/pip install --quiet torch==2.13.0
	$(VENV)/bin/pip install --quiet --no-deps torchaudio==2.11.0
	$(VENV)/bin/pip install --quiet --editable '.[node,server,outputs,train,dev]'
	@echo "compiling the hot loops, once: half a minute or so"
	$(VENV)/bin/python -m fusion_server.warm
	@touch $@

# Sound cards are read through PortAudio, which no wheel for Linux carries. Sound files need none of it.
define PORTAUDIO
if [ "$$(uname)" != Linux ] || /sbin/ldconfig -p 2>/dev/null | grep -q 'libportaudio\.so\.2'; then :; \
elif ! command -v apt-get >/dev/null; then \
	echo "note: libportaudio was not found; install PortAudio 2 with your package manager to use a sound card"; \
else \
	if [ "$$(id -u)" = 0 ]; then as=; elif sudo -n true 2>/dev/null; then as='sudo -n'; else as=no; fi; \
	if [ "$$as" = no ]; then echo "note: to use a sound card, run: sudo apt-get install libportaudio2"; \
	elif ! { $$as apt-get install -y -qq --no-install-recommends libportaudio2 >/dev/null 2>&1 || \
		{ $$as apt-get update -qq && $$as apt-get install -y -qq --no-install-recommends libportaudio2; } >/dev/null 2>&1; }; \
	then echo "note: apt-get could not install libportaudio2; without it no sound card can be used"; fi; \
fi
endef

demo: setup ## a simulated city block through real processes: alerts beside the truth, a live page; Ctrl-C ends it
	@$(RUN) exec shotline demo

lint: setup ## style, types, who may import whom
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports

test: lint ## lint, then every test; under ten minutes on two cores
	$(RUN) pytest -n auto --maxprocesses 8 --dist worksteal

format: setup ## put code into shape
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

bench: setup ## every benchmark, in full, into benchmarks/results; needs ../shared/data; two hours are not unusual
	$(RUN) python benchmarks/locate_speed.py
	$(RUN) python benchmarks/throughput.py
	$(RUN) python benchmarks/node_onsets.py
	$(RUN) python benchmarks/classifier_cost.py
	$(RUN) python benchmarks/pittsburgh.py
	$(RUN) python benchmarks/superposed.py
	$(RUN) python benchmarks/scenes.py
	$(RUN) python benchmarks/city.py
	$(RUN) python benchmarks/locator_checks.py
	$(RUN) python benchmarks/clock_scenarios.py --seeds 6
	$(RUN) python benchmarks/clock_location.py
	$(RUN) python benchmarks/spool_writes.py
	$(RUN) python benchmarks/receiver_swarm.py
	$(RUN) python benchmarks/new_year.py
	$(RUN) python benchmarks/fault_run.py
	$(RUN) python benchmarks/fuzz.py
	$(RUN) pip install --quiet --editable '.[bench]'
	$(RUN) python benchmarks/simulator_sources.py
	$(RUN) python benchmarks/simulator_checks.py
	$(RUN) python benchmarks/simulator_speed.py
	$(RUN) python benchmarks/realism.py
	$(RUN) python benchmarks/ellipse_coverage.py
	$(RUN) python benchmarks/peers.py
	$(RUN) python benchmarks/readme_figures.py

clean: ## the environment and everything that tools left
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
