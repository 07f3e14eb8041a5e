# Sourced by what makes packages: the dynamic evercertd, and a directory in which cargo-deb and cargo-generate-rpm find it.

# stage DIRECTORY [BINARY]: the binary, without its symbols, and the manual pages, compressed. Without BINARY it is built.
stage() {
    local directory=$1 binary=${2:-} page
    if [ -z "$binary" ]; then
        build evercertd "$(uname -m)-unknown-linux-gnu" >&2
        binary=$target_directory/$(uname -m)-unknown-linux-gnu/release/evercertd
    fi
    mkdir -p "$directory/release/man"
    strip --strip-all -o "$directory/release/evercertd" "$binary"
    for page in packaging/man/*; do
        gzip -9nc "$page" >"$directory/release/man/${page##*/}.gz"
    done
}
