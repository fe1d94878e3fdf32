# Every target sets up the virtual environment first, which is quick when it exists. `make help` lists the targets.
PYTHON ?= python3
STUDIO_SOURCES := docs/openapi.json web/index.html web/package.json web/package-lock.json web/vite.config.ts web/tsconfig.json $(shell find web/src web/scripts -type f 2>/dev/null | grep -v 'api/schema.ts\|api/parameters.json')
VENV ?= .venv
RUN := $(VENV)/bin
TORCH := 2.13.0
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
# Compile at installation: with PYTHONDONTWRITEBYTECODE set, each program would spend 17 s on it at every start.
UV := UV_FIND_LINKS="$$PIP_FIND_LINKS" $(RUN)/uv pip install --quiet --compile-bytecode --python $(RUN)/python
COMPILE := UV_FIND_LINKS="$$PIP_FIND_LINKS" $(RUN)/uv pip compile --quiet --python-version 3.11 --generate-hashes \
	--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'
LOCK := $(COMPILE) pyproject.toml --constraint constraints.txt --no-emit-package torch --no-emit-package lipe-client
LOCK_TORCH := $(COMPILE) - --constraint constraints.txt --output-file requirements/torch-cpu.txt
TORCH_CPU := echo 'torch==$(TORCH)+cpu' |
SEED ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup studio studio-check generators demo test test-fast test-true-size lint check format bench-report bench-edits bench-quality bench-speed bench-sdxl bench-klein bench-counts bench-photos bench-service bench-neighbours bench-fleet openapi docs reliability soak test-servers fuzz secrets compose-test lock digests audit-security dist version clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(VENV)/.ready $(VENV)/.studio ## create the virtual environment and build the studio (the other targets do this, too)

$(VENV)/.ready: pyproject.toml clients/python/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'LIPE needs Python 3.11 or newer: make PYTHON=/path/to/python3.11'; exit 1; }
	@echo 'Setting up $(VENV) (once) ...'
	@$(PYTHON) -m venv $(VENV)
	@$(RUN)/pip install --quiet --disable-pip-version-check uv
	@if command -v nvidia-smi >/dev/null 2>&1; then $(UV) torch==$(TORCH); \
	 else $(UV) torch==$(TORCH)+cpu 2>/dev/null || $(UV) --index $(TORCH_CPU_INDEX) torch==$(TORCH)+cpu; fi
	@$(UV) --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Without the registry of npm the service works without its web page, so the set-up does not fail.
$(VENV)/.studio: $(STUDIO_SOURCES) | $(VENV)/.ready
	@VENV=$(VENV) web/npm.sh build >$(VENV)/studio.log 2>&1 \
		|| echo 'The studio was not built, and the rest works: see $(VENV)/studio.log, then run `make studio`.'
	@touch $@

studio: $(VENV)/.ready ## build the web page of the service from web/ into api/studio/
	@VENV=$(VENV) web/npm.sh build

studio-check: $(VENV)/.ready ## check types, lint and format of web/, and run its unit tests
	@VENV=$(VENV) web/npm.sh check

# In an environment of its own, as its version of typer conflicts with ours.
$(VENV)/generator/.ready: requirements/generator.txt $(VENV)/.ready
	@$(RUN)/uv venv --quiet --clear --python $(RUN)/python $(VENV)/generator
	@UV_FIND_LINKS="$$PIP_FIND_LINKS" $(RUN)/uv pip install --quiet --require-hashes \
		--python $(VENV)/generator/bin/python --requirement requirements/generator.txt
	@touch $@

clients/typescript/node_modules: clients/typescript/package-lock.json
	@npm ci --no-audit --no-fund --loglevel=error --prefix clients/typescript >/dev/null && touch $@ \
		|| echo 'Without Node 20, npm and its registry, the test of the TypeScript client is skipped.'

generators: $(VENV)/generator/.ready clients/typescript/node_modules ## install the client generators, for the slow tests of tests/clients

demo: setup ## train a prior and edit an image through the whole service: out/demo/sheet.png (SUBJECT= REFS= PROMPT=)
	@$(RUN)/python -m menagerie.demo --out out/demo \
		$(if $(SUBJECT),--subject "$(SUBJECT)") $(if $(REFS),--refs "$(REFS)") $(if $(PROMPT),--prompt "$(PROMPT)") \
		$(if $(CONSENT),--consent "$(CONSENT)")

lint: setup ## lint, format, types and import contracts
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@$(RUN)/mypy
	@$(RUN)/lint-imports

check: lint ## the same, language rules and file sizes
	@$(RUN)/pytest --quiet --durations-min=60 tests/test_language.py tests/test_file_sizes.py

test: lint ## the checks and all tests that are not slow, in two processes
	@OMP_NUM_THREADS=1 $(RUN)/pytest -n 2 --dist loadfile --max-worker-restart 0

test-fast: setup ## the unit tests: no servers, no models, nothing slow
	@OMP_NUM_THREADS=1 $(RUN)/pytest -n 2 --dist loadfile --max-worker-restart 0 -m "not servers and not models and not slow"

# The package open-clip-torch carries the vocabulary of CLIP; nothing of it is imported.
test-true-size: setup ## load, training and edit at SDXL's own size with random weights: half an hour of CPU, 12 GB
	@$(UV) --target out/open_clip --no-deps open-clip-torch==3.3.0
	@$(RUN)/pytest tests/true_size -m slow -n 0

format: setup ## rewrite the code in the house style
	@$(RUN)/ruff check --fix-only --quiet .
	@$(RUN)/ruff format .

bench-report: setup ## measure the miniature checkpoint on newly drawn subjects (SEED=)
	@$(RUN)/python -m menagerie.report --captions 200 --seed $(SEED) --json out/report-$(SEED).json

bench-edits: setup ## measure NIMA on 12 newly drawn subjects (SEED=)
	@$(RUN)/python -m menagerie.evaluate --subjects 12 --seed $(SEED) --json out/edits-$(SEED).json

bench-quality: setup ## LIPE, its ablations and the baselines on the drawn benchmark: out/quality (SYSTEMS="lipe; ddim" SUBJECTS= BACKBONE=)
	@$(RUN)/python -m benchmarks.quality --out out/quality$(if $(BACKBONE),-$(BACKBONE) --backbone $(BACKBONE)) \
		$(if $(SYSTEMS),--systems "$(SYSTEMS)") $(if $(SUBJECTS),--subjects $(SUBJECTS))

openapi: setup ## write all that is made from the code: api/settings_schema.json, docs/openapi.json, the pages of docs/
	@$(RUN)/python -m worker.settings_schema > api/settings_schema.json.new && mv api/settings_schema.json.new api/settings_schema.json
	@$(RUN)/python -m api.contract > docs/openapi.json.new && mv docs/openapi.json.new docs/openapi.json
	@$(RUN)/python -m docs.generate

docs: setup ## write the generated pages of docs/ and build the documentation site: out/site; fails at a dead link
	@$(RUN)/python -m docs.generate --site out/docs
	@$(RUN)/zensical build --clean --strict

bench-speed: setup ## LIPE's speed and memory compared with diffusers' example: out/speed (EXAMPLE=train_dreambooth_lora_sdxl.py)
	@$(RUN)/python -m benchmarks.speed --out out/speed $(if $(EXAMPLE),--example "$(EXAMPLE)")

bench-sdxl: setup ## the same at SDXL's size with random weights: out/sdxl (EXAMPLE=; without a GPU SCALE="--depth 1 --side 128")
	@$(RUN)/python -m benchmarks.sdxl_scale --out out/sdxl $(SCALE) $(if $(EXAMPLE),--example "$(EXAMPLE)")

bench-klein: setup ## a training and an edit at klein's size with random weights: out/klein (without a GPU SCALE=, see --help)
	@$(RUN)/python -m benchmarks.flux2_scale --out out/klein $(SCALE)

bench-counts: setup ## SDXL's FLOPs, kernels, waits and memory beside diffusers', counted without a GPU: docs/speed.md
	@$(RUN)/python -m benchmarks.counts

bench-photos: setup ## compare editing methods on your photos (FOLDER= MODEL= SYSTEMS=): docs/reproduction.md
	@$(RUN)/lipe bench run "$(FOLDER)" --base-model "$(MODEL)" --out out/bench $(if $(SYSTEMS),--systems "$(SYSTEMS)")

bench-service: setup ## the service's speed compared with a minimal endpoint, and with many finished jobs: out/service
	@$(RUN)/python -m benchmarks.service --out out/service \
		$(if $(DATABASE),--database-url "$(DATABASE)") $(if $(BROKER),--broker-url "$(BROKER)")

bench-neighbours: setup ## what an attack of one project costs another: out/neighbours
	@$(RUN)/python -m benchmarks.neighbours --out out/neighbours

bench-fleet: setup ## the load of many workers on one Postgres, fairness and affinity: out/fleet (WORKERS="50 500 2000")
	@$(RUN)/python -m benchmarks.fleet --out out/fleet $(if $(WORKERS),--workers $(WORKERS))

reliability: setup ## all tests of tests/reliability, with the slow ones
	@OMP_NUM_THREADS=1 $(RUN)/pytest tests/reliability -m 'slow or not slow'

soak: setup ## simulated users and random faults, then `lipe audit` (SECONDS=600 SEED=)
	@$(RUN)/python -m tests.reliability.soak --seconds $(or $(SECONDS),600) --seed $(SEED)

test-servers: setup ## the integration tests on installed PostgreSQL, Redis and Ceph; skipped if they are missing (TESTS=)
	@$(RUN)/python -m tests.servers.drive $(TESTS)

defences: setup ## remove each defence of docs/attacks.md in a copy of the project, and see its test fail (ATTACKS="1 2")
	@$(RUN)/python -m tests.defences $(ATTACKS)

fuzz: setup ## fuzz image decoder, safetensors headers, URLs and idempotency headers (SECONDS=150 for each of the four)
	@OMP_NUM_THREADS=1 LIPE_FUZZ_SECONDS=$(or $(SECONDS),150) $(RUN)/pytest tests/fuzz -m 'slow or not slow'

secrets: ## create the secrets of docker-compose.yml in secrets/, once
	@deploy/make_secrets.sh

compose-test: setup ## build the images, start the stack and test it; skipped without a Docker engine
	@TORCH_CPU_INDEX="$(TORCH_CPU_INDEX)" $(RUN)/python -m tests.compose.drive

lock: setup ## write requirements/ with hashes, from pyproject.toml and constraints.txt
	@$(LOCK) --extra api --extra tracing --output-file requirements/api.txt
	@$(TORCH_CPU) $(LOCK) - --extra worker --extra tracing --output-file requirements/worker.txt 2>/dev/null \
		|| $(TORCH_CPU) $(LOCK) - --extra worker --extra tracing --output-file requirements/worker.txt --index $(TORCH_CPU_INDEX)
	@echo 'torch==$(TORCH)' | $(COMPILE) - --constraint constraints.txt --python-platform x86_64-manylinux_2_28 \
		--output-file requirements/torch-cuda.txt
	@$(TORCH_CPU) $(LOCK_TORCH) --index $(TORCH_CPU_INDEX) --index-strategy unsafe-best-match 2>/dev/null \
		|| $(TORCH_CPU) $(LOCK_TORCH) # from PIP_FIND_LINKS: the hashes of its wheels alone
	@$(COMPILE) requirements/build.in --constraint constraints.txt --output-file requirements/build.txt
	@grep -v '^typer=' constraints.txt | $(COMPILE) requirements/generator.in --constraint - --output-file requirements/generator.txt

digests: setup ## pin the images of the container files by digest; asks their registries
	@$(RUN)/python -m deploy.digests

audit-security: setup ## security rules of code and containers, hashes, licences, advisories of a local copy, bill of materials: out/security
	@$(RUN)/python -m deploy.audit_security --out out/security $(if $(ADVISORIES),--advisories "$(ADVISORIES)")

dist: studio clients/typescript/node_modules ## build the wheels and source distributions of server and client, and the npm package: dist/
	@rm -rf dist build *.egg-info clients/python/*.egg-info
	@$(RUN)/uv build --quiet --out-dir dist .
	@$(RUN)/uv build --quiet --out-dir dist clients/python
	@cd clients/typescript && npm pack --silent --pack-destination ../../dist
	@$(RUN)/python -m deploy.sbom dist/sbom.cdx.json
	@cd dist && sha256sum *.whl *.tar.gz *.tgz sbom.cdx.json licences.txt | tee SHA256SUMS

version: setup ## write a version into every file that states it (VERSION=0.3.0)
	@$(RUN)/python deploy/set_version.py $(VERSION)

clean: ## remove the environment, outputs and caches
	rm -rf $(VENV) out build dist api/studio web/node_modules clients/typescript/node_modules clients/typescript/dist* *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
