# Sourced: the programs of the previous release, beside which this one is shown.
#
# They are built here, which takes a minute or two where this release's debug build is warm, and are kept in the target directory.
# EVERCERT_PREVIOUS names another commit or tag; EVERCERT_PREVIOUS_BINARIES a directory with its evercertd, greeter-server and greeter-client, and nothing is built.

# What stands for the previous release until there is a tag.
PREVIOUS=f7bb312cd195267c4493897094e926aefe057b38
PROGRAMS=(evercertd greeter-server greeter-client)
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# A test is among what is built for the sake of features: with those of the whole workspace and of its tests, what the tests were built of is
# used again. The one of a crate without programs.
build_programs() { # build_programs DIRECTORY
    local wanted=()
    for program in "${PROGRAMS[@]}"; do wanted+=(--bin "$program"); done
    cargo build -q --locked --manifest-path "$1/Cargo.toml" --target-dir "$target" --workspace "${wanted[@]}" --test update
}
keep_programs() { # keep_programs DIRECTORY: what was built last
    mkdir -p "$1"
    for program in "${PROGRAMS[@]}"; do cp "$target/debug/$program" "$1/$program"; done
}

previous() { # sets `old` to the directory of the previous release's programs
    old=${EVERCERT_PREVIOUS_BINARIES:-}
    [ -z "$old" ] || return 0
    local wanted=${EVERCERT_PREVIOUS:-$PREVIOUS} commit
    commit=$(git rev-parse --verify "$wanted^{commit}") || {
        echo "the previous release, $wanted, is not in this clone, which may be a shallow one: fetch it (git fetch --unshallow), or name" \
            "another commit by EVERCERT_PREVIOUS, or a directory with its programs by EVERCERT_PREVIOUS_BINARIES" >&2
        exit 1
    }
    old=$target/skew/$commit
    if [ ! -e "$old/complete" ]; then
        # Always the same place, since cargo builds anew what is elsewhere.
        rm -rf "$old"
        mkdir -p "$old/source"
        git archive "$commit" | tar -x -C "$old/source"
        build_programs "$old/source"
        keep_programs "$old"
        touch "$old/complete"
    fi
}
