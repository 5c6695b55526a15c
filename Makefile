# nvdac: the four commands. All of them install into .venv first; nothing outside this folder is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# whole sites, killed processes and the demo have the machine to themselves
PARALLEL := analyzers dashboard devices packaging physics plans stream
export PYTHONUNBUFFERED := 1

.PHONY: demo test bench install lint soak clean

demo: install
	@$(BIN)/nvdac demo $(ARGS)

test: $(VENV)/.installed-test
	@$(BIN)/python -m deploy.test_needs
ifeq ($(ARGS),)
	@$(BIN)/pytest --numprocesses 2 --dist loadfile $(PARALLEL:%=tests/%)
	@$(BIN)/pytest $(PARALLEL:%=--ignore=tests/%)
else
	@$(BIN)/pytest $(ARGS)
endif

soak: $(VENV)/.installed-test
	@NVDAC_SOAK=1 $(BIN)/pytest tests/stream/test_hostile_codec.py tests/stream/test_hostile_sockets.py tests/faults/test_load.py tests/faults/test_tiled.py tests/flow/test_whole_load.py $(ARGS)

bench: $(VENV)/.installed-bench
	@$(BIN)/python -m benchmarks $(ARGS)

install: $(VENV)/.installed

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.installed: pyproject.toml constraints.txt
	@sh deploy/install.sh "$(PYTHON)" "$(VENV)" ""
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt
	@sh deploy/install.sh "$(PYTHON)" "$(VENV)" "[test]"
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: pyproject.toml constraints.txt
	@sh deploy/install.sh "$(PYTHON)" "$(VENV)" "[bench]"
	@touch $@ $(VENV)/.installed
