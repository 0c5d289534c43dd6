# Every target sets up the environment first; that costs nothing when nothing changed. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EMULATOR := .venv-emulator/bin/snowduck

# Compiled modules are kept: without them every start is about twice as slow.
unexport PYTHONDONTWRITEBYTECODE
# Nothing phones home.
export DO_NOT_TRACK := 1
export DAGSTER_DISABLE_TELEMETRY := yes
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export GX_ANALYTICS_ENABLED := false

DEMO_FLAGS = $(if $(TENANTS),--tenants $(TENANTS)) $(if $(DAYS),--days $(DAYS)) $(if $(SEED),--seed $(SEED)) $(if $(REGION),--region $(REGION))
# Under the Elastic License 2.0: installed to be tested against, no part of the project.
AIRBYTE_CONNECTORS = stripe==5.14.1 hubspot==5.7.0 salesforce==2.10.3
BENCH_FLAGS = $(if $(ROWS),--rows $(ROWS)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only $(ONLY))

.DEFAULT_GOAL := help
.PHONY: $(shell awk -F ':.*## ' '/^[a-z-]+:.*## / { print $$1 }' $(firstword $(MAKEFILE_LIST)))

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with the locked dependencies

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tailrace needs Python 3.11 or later; set PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -oE '^uv==[0-9.]+' requirements.lock)"
	@$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP) ## the sample company, landed and published once; run again for one more day (TENANTS, DAYS, SEED, REGION)
	@$(BIN)/tailrace demo $(DEMO_FLAGS)

up: $(STAMP) ## everything running until Ctrl-C: Dagster on :3000, the tenant dashboard on :8000
	@$(BIN)/tailrace up $(DEMO_FLAGS)

test: $(STAMP) lint ## lint, then the whole test suite; no credentials, no network
	@$(BIN)/python -m pytest -n 3 --dist loadfile  # on two cores: tests wait for servers, disks and other processes

test-postgres: $(STAMP) ## the capture suite on every PostgreSQL that is present: 15 (if installed), 16, 18 (VERSIONS=15,16, MARK=operations; TAILRACE_TEST_SEEDS=200 for more)
	@PYTHONPATH=. $(BIN)/python tests/on_every_postgres.py $(if $(VERSIONS),--versions $(VERSIONS)) $(if $(MARK),-m $(MARK))

test-soak: $(STAMP) ## ten weeks of each API source's life under faults, with an outage (TAILRACE_TEST_SEEDS=7 for another life)
	@PYTHONPATH=. $(BIN)/python -m pytest tests/ingestion -q -m soak

test-airbyte-connectors: $(STAMP) ## Airbyte's published connectors, each installed in .airbyte, and ours give the same staging rows
	@for connector in $(AIRBYTE_CONNECTORS); do \
		home=.airbyte/$${connector%%==*}; test -x $$home/bin/source-$${connector%%==*} && continue; \
		$(BIN)/uv venv --quiet --allow-existing --python 3.11 $$home && \
		$(BIN)/uv pip install --quiet --system-certs --python $$home/bin/python airbyte-source-$$connector || exit 1; done
	@TAILRACE_AIRBYTE_CONNECTORS=.airbyte $(BIN)/python -m pytest tests/airbyte_connectors -m airbyte

test-canaries: $(STAMP) ## unique personal values in every personal column, a whole run, then every byte outside raw searched
	@$(BIN)/python -W ignore -m tests.canaries

test-isolation: $(STAMP) ## every way a tenant may try to learn of another: SQL, PgBouncer, API, files, dashboard; then products broken on purpose, which takes longer (FLAGS=--sound leaves those out, FLAGS=--json)
	@$(BIN)/python -W ignore -m tests.isolation $(FLAGS)

test-deployment: $(STAMP) ## whole runs killed, interrupted, refused and cut off; sources on their worst days; marts of disordered input
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m operations tests/end_to_end/test_bad_days.py \
		tests/end_to_end/test_interruptions.py tests/ingestion/salesforce tests/ingestion/rest tests/ingestion/test_fault_matrix.py \
		tests/orchestration tests/demo tests/dbt_project tests/bench

test-rights: $(STAMP) ## rights of a whole deployment, each killed at every point; two regions side by side
	@$(BIN)/python -m pytest tests/privacy tests/end_to_end/test_rights.py tests/end_to_end/test_two_regions.py -m "operations or not operations"

test-serving: $(STAMP) ## publishing with Postgres killed, readers through a hundred publishes, windows that pg_cron refreshes
	@$(BIN)/python -m pytest tests/serving -q -m operations

test-ledger: $(STAMP) ## the sample company at twenty seeds, landed in two runs, marts against its own books (TAILRACE_TEST_SEEDS=57-57)
	@$(BIN)/python -m pytest -n 2 -m ledger tests/end_to_end/test_ledger.py

test-browser: $(STAMP) ## the dashboard as a person uses it, in the headless Chromium of the system
	@$(BIN)/python -m pytest tests/browser -m browser

test-snowflake: $(STAMP) $(EMULATOR) ## the project built twice on a Snowflake emulator, every mart held against DuckDB's row for row
	@PYTHONPATH=. $(BIN)/python -W ignore -m tests.on_snowflake --emulator $(EMULATOR)

# It wants other versions of what the project has, so it has an environment of its own.
$(EMULATOR): $(STAMP)
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(@D)/..
	@$(BIN)/uv pip install --quiet --system-certs --python $(@D)/python 'snowduck[server]==0.3.0' 'sqlglot[c]<30.23' 'duckdb<2'
	@touch $@

lint: $(STAMP) ## ruff, mypy, import rule, sqlfluff, contracts, compiled artefacts and the privacy proof
	@$(MAKE) --no-print-directory -j2 lint-sql lint-code

lint-sql: $(STAMP)
	@$(BIN)/sqlfluff lint dbt_project/models dbt_project/tests --disable-progress-bar

lint-code: $(STAMP)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=. $(BIN)/lint-imports --no-cache
	@$(BIN)/tailrace policy check
	@$(BIN)/tailrace airbyte manifest --check

bench-cdc: $(STAMP) ## capture from Postgres beside its peers, figures to bench/results (ROWS, ROUNDS, ONLY=key,key)
	@$(BIN)/python -m bench.cdc $(BENCH_FLAGS) && $(BIN)/python -m bench.report

bench-sources: $(STAMP) ## how fast Stripe, Salesforce and HubSpot are read, and in how much memory (RECORDS, ROUNDS, LARGE=0, ONLY=hubspot)
	@$(BIN)/python -m bench.sources $(if $(RECORDS),--records $(RECORDS)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(LARGE),--large $(LARGE)) $(if $(ONLY),--only $(ONLY)) && $(BIN)/python -m bench.report

bench-redact: $(STAMP) ## free text redacted in bulk, a million comments of 200 characters (ROWS, ROUNDS)
	@$(BIN)/python -m bench.redact $(BENCH_FLAGS)

bench-serving: $(STAMP) ## publishing rollups beside raw COPY, and reading them meanwhile (ROWS, ROUNDS, ONLY=key,key)
	@$(BIN)/python -m bench.serving $(BENCH_FLAGS) && $(BIN)/python -m bench.report

bench-clickhouse: $(STAMP) ## API activity published into the embedded ClickHouse beside a plain insert, and read meanwhile (ROWS, ROUNDS)
	@$(BIN)/python -m bench.clickhouse $(BENCH_FLAGS)

bench-dashboard: $(STAMP) ## how soon the dashboard shows figures, after make demo (ROUNDS; PICTURES=1 takes the docs' pictures anew)
	@$(BIN)/python -m bench.dashboard $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(PICTURES),--pictures)

bench-api: $(STAMP) ## the read API under an open loop of 300 to 2,000 requests/s, 10 M rows (ROWS, SOAK=900 for a soak)
	@$(BIN)/python -m bench.serving_api $(if $(ROWS),--rows $(ROWS)) $(if $(SOAK),--soak $(SOAK))

bench-marts: $(STAMP) ## the marts of 100 M usage events built whole, and one more day on them (EVENTS, ROUNDS)
	@$(BIN)/python -m bench.marts $(if $(EVENTS),--events $(EVENTS)) $(if $(ROUNDS),--rounds $(ROUNDS)) && $(BIN)/python -m bench.report

docs: $(STAMP) ## the site of every model, column and its lineage, one file: .tailrace/docs/index.html
	@mkdir -p .tailrace/docs
	@cd dbt_project && export TAILRACE_WAREHOUSE_PATH=../.tailrace/docs/empty.duckdb \
		&& ../$(BIN)/dbt --quiet --no-version-check build --exclude-resource-type test unit_test --target ci \
			--target-path ../.tailrace/docs/target --log-path ../.tailrace/docs \
		&& ../$(BIN)/dbt --quiet --no-version-check docs generate --static --target ci \
			--target-path ../.tailrace/docs/target --log-path ../.tailrace/docs
	@mv .tailrace/docs/target/static_index.html .tailrace/docs/index.html && echo "open .tailrace/docs/index.html"

format: $(STAMP) ## format Python and SQL
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .
	@$(BIN)/sqlfluff fix dbt_project/models dbt_project/tests --disable-progress-bar

compile: $(STAMP) ## compile the contracts and treatments into the artefacts kept in the repository
	@$(BIN)/tailrace policy compile
	@$(BIN)/tailrace airbyte manifest

lock: $(STAMP) ## pin every dependency anew: hashes, no addresses
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --generate-hashes --no-emit-index-url --no-header --quiet --upgrade -o requirements.lock

clean: ## remove the demo's state; the environment stays
	@rm -rf .tailrace dbt_project/target dbt_project/logs
