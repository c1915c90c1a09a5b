# Two commands for a newcomer: `make demo` and `make test`. `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help demo build controlplane test brute-force lint generated bench bench-live cluster check-tools

RUST_OLDEST := 1.89.0

# Our custom resources need k8s-openapi, and `berth capture` a Kubernetes client, which the berth command else does without: one
# build with them for tests and lints.
CRD := berth-config/crd,berth/cluster

REPORT := target/berth-report.html

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

check-tools:
	@command -v cargo >/dev/null || { \
	  echo "berth: cargo is missing. Install Rust 1.89 or newer with rustup (see rust-lang.org, Install), then try again." >&2; exit 1; }
	@have=$$(cargo --version | cut -d ' ' -f 2); \
	  printf '%s\n' $(RUST_OLDEST) "$${have%%-*}" | sort -C -V || { \
	  echo "berth: cargo $$have is too old; Rust $(RUST_OLDEST) or newer is needed. Run: rustup update stable" >&2; exit 1; }
	@command -v cc >/dev/null || { \
	  echo "berth: a C linker (cc) is missing. Install one: apt-get install gcc, dnf install gcc, or xcode-select --install." >&2; exit 1; }

build: check-tools ## Build the berth command, optimised
	cargo build --release --locked -p berth

demo: build ## Simulate the built-in example cluster and say where the report is
	target/release/berth simulate --report $(REPORT)
	@echo "The report is in $(REPORT): open it in a browser."

# Property tests start from this seed, so that a run can be repeated; try others with PROPTEST_RNG_SEED=7 make test.
export PROPTEST_RNG_SEED ?= 42

controlplane: ## Build the control plane that tests run (needs Go 1.26; a quarter of an hour, once)
	@tests/controlplane/build.sh

# Where Go is missing one line says so, and tests that need a control plane are skipped; in CI they fail.
test: check-tools ## Run every test (parts that need ../shared or Go say so where it is absent)
	@tests/controlplane/build.sh >/dev/null || [ $$? = 3 -a -z "$$CI" ]
	cargo test --workspace --features $(CRD) --locked
	@shared=$${BERTH_SHARED:-../shared}; [ -d "$$shared/traces/openb" ] || \
	  echo "berth: tests against published numbers were skipped: no openb trace in $$shared/traces/openb (BERTH_SHARED names another place)"

brute-force: check-tools ## Compare the engine with brute force on 100,000 tiny random clusters (BRUTE_FORCE_SEEDS for more or fewer)
	BRUTE_FORCE_SEEDS=$${BRUTE_FORCE_SEEDS:-100000} cargo test --release --locked -p berth-tests --test brute_force

lint: check-tools ## Check formatting, lints and, where cargo-deny is installed, licences
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features $(CRD) --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --features $(CRD) --locked --quiet
	@! cargo tree --locked -p berth -e normal,build --prefix none | grep -E '^(kube|k8s-openapi) ' || { \
	  echo "berth: the offline command must build without kube" >&2; exit 1; }
	@if command -v cargo-deny >/dev/null; then cargo deny check licenses bans sources; else \
	  echo "berth: licences not checked, cargo-deny is missing (cargo install cargo-deny --locked)"; fi

generated: check-tools ## Write anew what is made from the code: docs/configuration.md, docs/metrics.md, deploy/crds, expected messages
	BERTH_UPDATE=1 cargo test --locked -p berth-config --features crd --test file --test crds
	BERTH_UPDATE=1 cargo test --locked -p berth-scheduler --lib metrics::tests::the_documentation

bench: check-tools ## Run the benchmarks; instruction counts too where valgrind is present
	cargo bench --locked -p berth-engine --bench decide --bench gangs --bench rebuild --bench instructions

cluster: check-tools controlplane ## Run a whole cluster with fake GPU nodes and Berth on this machine, and say what to try
	cargo build --release --locked -p berth-scheduler
	cargo run --release --locked -p berth-controlplane -- 16 --apply deploy/crds --apply deploy/rbac.yaml \
	  --as berth-system/berth-scheduler --say deploy/examples/cluster.txt \
	  --run target/release/berth-scheduler --leader-elect=false --bind-address 127.0.0.1:0

bench-live: check-tools controlplane ## Measure Berth on a real API server, beside the least a scheduler can do and kube-scheduler (half an hour)
	cargo bench --locked -p berth-scheduler --bench live
