#!/usr/bin/env bash
# evercertd as one static file that needs nothing of the system it runs on. `packaging/static.sh` prints where it is;
# `packaging/static.sh DIRECTORY` puts it there. EVERCERT_TARGET names another target than this machine's.
set -euo pipefail
out=${1:+$(realpath -m "$1")}
cd "$(dirname "$0")/.."
. packaging/reproducible.bash

target=${EVERCERT_TARGET:-$(uname -m)-unknown-linux-gnu}
# Half a megabyte of addresses, packed; a dynamic program would need a newer C library for it.
link_flags=(-Clink-arg=-Wl,-z,pack-relative-relocs)
# Random numbers are the kernel's: by default the C library is searched for a function of that name, which a static one does not have, and
# /dev/urandom is read instead.
build evercertd "$target" -Ctarget-feature=+crt-static --cfg 'getrandom_backend="linux_getrandom"' >&2
built=$target_directory/$target/release/evercertd
if [ -n "$out" ]; then
    install -D -m 0755 "$built" "$out/evercertd"
    built=$out/evercertd
fi
printf '%s\n' "$built"
