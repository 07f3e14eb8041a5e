# Sourced by what builds for others: the same bytes come out wherever it is built, and no path of the machine that builds is in them.
# It sets `target_directory`, and flags of rustc and of the C compiler. Other flags of the environment are not used.

# A directory of its own: other builds need not wait for these, which take minutes.
target_directory=$(realpath -m "${CARGO_TARGET_DIR:-target}")/packaging
export CARGO_PROFILE_RELEASE_DEBUG=none CARGO_PROFILE_RELEASE_STRIP=symbols
# A third less to pull and to map, for minutes more to build. What a daemon does is waiting for files and sockets: of the third level of
# optimization, and of AES by AVX-512, nobody would notice more than the size.
export CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 CARGO_PROFILE_RELEASE_OPT_LEVEL=2
# What reads a command line, a configuration or a kubeconfig, and draws progress, runs once and for moments.
for_size=(clap_builder clap_complete console granit-parser indicatif jiff procfs toml toml_parser)
without_avx512=-DMY_ASSEMBLER_IS_TOO_OLD_FOR_512AVX
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
export CFLAGS='' CXXFLAGS=''

# What the program says that it was built of; a script that knows better, or has no repository, sets it.
if [ -z "${EVERCERT_REVISION:-}" ] && EVERCERT_REVISION=$(git rev-parse HEAD 2>/dev/null); then
    git diff --quiet HEAD || EVERCERT_REVISION=$EVERCERT_REVISION-changed
fi
export EVERCERT_REVISION=${EVERCERT_REVISION:-unknown}

# remapped FLAG: FLAG=PATH=NAME for each directory that a compiler might write down; the last that fits is what both compilers take.
remapped() {
    local sysroot rust
    sysroot=$(rustc --print sysroot)
    rust=$(rustc -vV | sed -n 's/^commit-hash: //p')
    printf '%s\n' "$1=$HOME=/home" "$1=${CARGO_HOME:-$HOME/.cargo}=/cargo" "$1=$sysroot=/rust" \
        "$1=$sysroot/lib/rustlib/src/rust=/rustc/$rust" "$1=$PWD=/evercert" "$1=$target_directory=/target"
}

# Flags of rustc for the program alone, which link it.
link_flags=()

# build PACKAGE TARGET FLAG…: a release build of the program PACKAGE for TARGET with these further flags of rustc.
build() {
    local package=$1 target=$2 flags one sizes=()
    shift 2
    for one in "${for_size[@]}"; do sizes+=(--config "profile.release.package.$one.opt-level='s'"); done
    mapfile -t flags < <(remapped --remap-path-prefix)
    flags+=("$@")
    # Another time at each commit, or none where a script has set none, would have the C libraries compiled anew.
    SOURCE_DATE_EPOCH=0 CFLAGS="$without_avx512 $(remapped -ffile-prefix-map | paste -sd ' ')" CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && printf %s "${flags[*]}") \
        cargo ${EVERCERT_AUDITABLE:+auditable} rustc --release --locked --package "$package" --bin "$package" --target "$target" \
        --target-dir "$target_directory" "${sizes[@]}" -- "${link_flags[@]}"
}
