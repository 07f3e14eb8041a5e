# Sourced: installs what a script needs and the machine lacks. What scripts have cargo build is chosen from the whole workspace: of a single package
# other features of what it depends on would be wanted, and everything built anew.

install_packages() { # install_packages PACKAGE…
    # Scripts may run beside one another, and apt does not wait for itself.
    (
        flock 9
        apt-get update -q && apt-get install -yq --no-install-recommends "$@"
    ) 9>"${TMPDIR:-/tmp}/evercert-packages.lock"
}
needs() { # needs PROGRAM=PACKAGE…
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}
needs_npm() {
    command -v npm >/dev/null || install_packages nodejs npm
}
venv_into() { # venv_into DIRECTORY REQUIREMENT…: a virtual environment of Python
    local directory=$1
    shift
    # Debian's Python has the module without what it installs.
    python3 -c 'import ensurepip' 2>/dev/null || install_packages python3 python3-venv
    python3 -m venv "$directory"
    "$directory/bin/pip" install -q --disable-pip-version-check "$@"
}
needs_evercertd() { # EVERCERTD is the daemon from now on: the one that it names, or one that is built
    if [ -z "${EVERCERTD:-}" ]; then
        cargo build -q --release --workspace --bin evercertd
        EVERCERTD=${CARGO_TARGET_DIR:-target}/release/evercertd
    fi
    EVERCERTD=$(realpath "$EVERCERTD")
}
