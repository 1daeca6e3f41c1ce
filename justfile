# The few commands people need; `just` lists them.

_default:
    @just --list

# Everything that must be green before a change goes in.
ci:
    .ci/run

# Watch both building blocks go from order to output.
demo *args:
    cargo run --release -- demo {{args}}

test:
    cargo test --workspace

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# The figures in docs/src/figures.md.
bench:
    cargo bench -p runner-bin --bench figures
    cargo bench -p runner-core --bench mask
    cargo bench -p runner-core --bench figures
    cargo bench -p executor-terraform --bench figures

# Known vulnerabilities of dependencies; needs the network.
advisories:
    cargo deny check advisories

# The book, on http://localhost:3000.
book:
    mdbook serve docs

# kill -9 a thousand times: ends with "0 lost, 0 twice". Build nothing else meanwhile.
soak kills="1000":
    BB_SOAK_KILLS={{kills}} cargo test -p runner-bin --test it kill -- --nocapture
    BB_CRASH_SEEDS=60 cargo test -p runner-core --test it crash

# Fuzz one target (decryption, run_object, patch_answer, configuration, masker); needs nightly and cargo-fuzz.
fuzz target seconds="60":
    cargo +nightly fuzz run {{target}} -- -max_total_time={{seconds}}
