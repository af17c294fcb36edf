# Sourced by scripts/demo and scripts/test, from the top of the repository.

has() { command -v "$1" >/dev/null 2>&1; }

# Ends the script unless there is a Rust that can build this. Sets rust_needed and rust_found.
find_rust() {
    if ! has cargo && [ -x "${HOME:-}/.cargo/bin/cargo" ]; then
        PATH=$HOME/.cargo/bin:$PATH
    fi
    rust_needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    if ! has cargo; then
        echo "$0: cargo is not here: install Rust $rust_needed or newer (https://rustup.rs) and try again" >&2
        exit 1
    fi
    rust_found=$(rustc --version | cut -d ' ' -f 2)
    # An old cargo cannot even read this Cargo.toml, and says so in words that help nobody.
    oldest=$(printf '%s\n%s\n' "$rust_needed" "${rust_found%%-*}" | sort -V | head -n 1)
    if [ "$oldest" != "$rust_needed" ]; then
        echo "$0: Rust $rust_found is too old: $rust_needed or newer is needed (https://rustup.rs)" >&2
        exit 1
    fi
}

# Whether live tracing can be built here: it links libpcap.
can_build_live() { has pkg-config && pkg-config --exists libpcap; }

# Where cargo puts what it builds.
target_directory() {
    cargo metadata --locked --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}
