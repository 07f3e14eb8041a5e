# Sourced: counts the checks of a script, of which one that fails does not end it.

passed=0
failed=0
# In a function that `check` calls no command ends it by failing: each has to be chained to the next.
check() { # check SENTENCE COMMAND…: shows the last line of what the command printed, or all of it if it failed
    local sentence=$1 said
    shift
    if said=$("$@" 2>&1); then
        passed=$((passed + 1))
        printf 'ok: %s%s\n' "$sentence" "${said:+ (${said##*$'\n'})}"
    else
        failed=$((failed + 1))
        printf 'FAILED: %s\n%s\n' "$sentence" "$said"
        ! declare -F after_failure >/dev/null || after_failure
    fi
}
summary() { # The last line; fails if a check did.
    printf '%s passed, %s failed\n' "$passed" "$failed"
    [ "$failed" = 0 ]
}
