# make demo    the main job on this machine, for real (ARGS=... is passed on)
# make screens docs/screens.md, after a change of what commands show
# make test    everything that must hold before a change goes in (ARGS=... goes to pytest)
# make lint    the part of it that runs nothing
# make sweep   an agent killed, or given an error, at each of its file operations (two minutes)
# make torture  controller and agents killed in every step of every kind of rollout (SCENE=..., ARGS=--all)
# make simulate  whole fleets in virtual time, from SEEDS=1000 seeds; FIRST=... the first, SEED=... one
# make simulate-defects  that it notices what is wrong, and docs/planted-defects.md (some minutes)
# make protos  the generated code, after a change of a .proto
# make reference  docs/reference/configuration.md, after a change of what tidegate.toml may hold
# make clean   back to what a clone has
# Needs Python 3.11 or newer (PYTHON=... names another one), make and git; pip brings the rest.

PYTHON ?= python3

# Tests start Tidegate a thousand times; where nothing may be kept, each start compiles all of it.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo test lint protos reference clean

demo: .venv/.demo
	$(BIN)/tidegate demo $(ARGS)

test: lint tools
	$(BIN)/pytest -n 4 --dist worksteal $(ARGS)

.PHONY: sweep
sweep: .venv/.dev tools
	PYTHONPATH=tests/unit/agent $(BIN)/python tests/integration/file_operations.py

.PHONY: torture
torture: .venv/.dev
	$(BIN)/python tests/integration/torture.py $(if $(SCENE),--scene "$(SCENE)") $(ARGS)

SEEDS ?= 1000
FIRST ?= 1
.PHONY: simulate
simulate: .venv/.dev
	PYTHONPATH=tests/simulation PYTHONHASHSEED=0 $(BIN)/python tests/simulation/simulate.py \
	--seeds $(SEEDS) --first $(FIRST) $(if $(SEED),--seed $(SEED))

# Each deliberate mistake in tests/simulation/defects.py has to be noticed; the page says when it was.
.PHONY: simulate-defects
simulate-defects: .venv/.dev
	PYTHONPATH=tests/simulation PYTHONHASHSEED=0 $(BIN)/python tests/simulation/defects.py \
	> planted-defects.md
	mv planted-defects.md docs/planted-defects.md

# What tests need beside pip; what cannot be had is said here, and by each test that is skipped for it.
.PHONY: tools
tools:
	@tests/tools

.PHONY: screens
screens: .venv/.dev
	PYTHONPATH=tests/integration $(BIN)/python tests/acceptance/screens.py > screens.md
	mv screens.md docs/screens.md

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

protos: .venv/.dev
	cd protos && PATH="$(CURDIR)/$(BIN):$$PATH" python -m grpc_tools.protoc \
	-I . --python_out=. --pyi_out=. --grpc_python_out=. --mypy_grpc_out=. tidegate_protos/v1/*.proto

reference: .venv/.dev
	$(BIN)/python -m tidegate_controller.config_reference > docs/reference/configuration.md

clean:
	rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find agent bench controller examples protos tests -name __pycache__ -prune -exec rm -rf {} +

.venv/.demo: pyproject.toml | .venv/bin/pip
	@echo "installing Tidegate and what the demo needs into .venv (about 100 MB, once)"
	@$(PIP) -e '.[demo]'
	@touch $@

.venv/.dev: pyproject.toml | .venv/bin/pip
	@echo "installing Tidegate and what the tests need into .venv (about 250 MB, once)"
	@$(PIP) -e '.[dev]'
	@touch .venv/.demo $@

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "Tidegate needs Python \
	3.11 or newer, but $(PYTHON) is {}.{}; name another: make PYTHON=python3.12".format(*v[:2]))'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
