#!/usr/bin/env bash
# The greeter as guides of gRPC secure it in Go, in Python and in Node.js, against ours: TLS, mutual TLS, tokens, roles and health checks, unary calls
# and streams, both ways. A line for each pair and case; what was not run has failed.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
children=()
trap 'kill "${children[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
. tests/foreign/needs.bash
venv_into "$work/venv" grpcio==1.85.0 grpcio-health-checking==1.85.0 'pyjwt[crypto]==2.10.1'
. tests/foreign/go.bash
go_by_venv "$work/venv"
needs_npm
npm install --silent --no-save --ignore-scripts --prefix "$work" @grpc/grpc-js@1.14.7 jsonwebtoken@9.0.2
export NODE_PATH=$work/node_modules
go build -C tests/foreign/grpc-go -buildvcs=false -o "$work/secured-go" ./secured

cargo build -q --release --workspace --bins
ours=${CARGO_TARGET_DIR:-target}/release
"$ours/make-pki" "$work/tls" >/dev/null
"$ours/make-tokens" "$work/tokens" caller=greeter:call admin=admin nobody= >/dev/null
"$ours/make-tokens" "$work/strangers" caller=greeter:call >/dev/null
export EVERCERT_DIR=$work/tls EVERCERT_OBSERVE=off

peer() { # peer NAME ROLE ARGUMENT…: one of the four programs
    local name=$1 role=$2
    shift 2
    case $name-$role in
        go-*) exec "$work/secured-go" "$role" -dir "$work/tls" "$@" ;;
        python-*) exec "$work/venv/bin/python" tests/foreign/grpcio/secured.py "$role" --dir "$work/tls" "$@" ;;
        node-*) exec node tests/foreign/grpc-js/secured.js "$role" --dir "$work/tls" "$@" ;;
        ours-client) exec "$ours/secured-client" "$@" ;;
        ours-server) exec "$ours/secured-server" "$@" ;;
    esac
}

started=
start() { # start NAME ARGUMENT…: a server; `started` is where it listens
    local name=$1 output=$work/server.$RANDOM
    shift
    case $name in ours) set -- "$@" 127.0.0.1:0 ;; *) set -- "$@" --addr 127.0.0.1:0 ;; esac
    (peer "$name" server "$@") >"$output" 2>"$output.log" &
    children+=($!)
    for _ in $(seq 100); do
        started=$(grep -oE '127\.0\.0\.1:[0-9]+' "$output" | head -1) && return
        sleep 0.1
    done
    cat "$output.log"
    return 1
}

passed=0
failed=0
expect() { # expect STATUS CLIENT SENTENCE ARGUMENT…: one call to the server that was started
    local status=$1 client=$2 sentence=$3 said
    shift 3
    case $client in ours) set -- "$@" "https://$started" ;; *) set -- "$@" --addr "$started" ;; esac
    said=$( (peer "$client" client "$@") 2>"$work/log" | head -1) || true
    if [ "${said%% *}" = "$status" ]; then
        passed=$((passed + 1))
        echo "ok: $sentence: $said"
    else
        failed=$((failed + 1))
        echo "FAILED: $sentence: $status was expected, not '$said'"
        sed 's/^/    /' "$work/log"
    fi
}

for pair in 'go ours' 'ours go' 'python ours' 'ours python' 'node ours' 'ours node'; do
    read -r client server <<<"$pair"
    about="$client calls $server"
    case $client in ours) mutual=() alone=(--no-certificate) ;; *) mutual=(--mtls) alone=() ;; esac
    case $server in ours) tls=(--client-certificates none) keys=(--jwks "$work/tokens/jwks.json" --policy examples/policy.toml) both=() ;;
        *) tls=() keys=(--key-file "$work/tokens/key.pem") both=(--mtls) ;; esac

    start "$server" "${tls[@]}"
    for method in SayHello KeepGreeting Check; do
        expect OK "$client" "$about over TLS, $method" "${alone[@]}" --method $method
    done

    start "$server" "${both[@]}"
    for method in SayHello KeepGreeting Check; do
        expect OK "$client" "$about over mutual TLS, $method" "${mutual[@]}" --method $method
    done
    expect Unavailable "$client" "$about over mutual TLS without a certificate" "${alone[@]}"

    start "$server" "${tls[@]}" "${keys[@]}"
    token() { echo --token-file "$work/$1"; }
    for method in SayHello KeepGreeting; do
        expect Unauthenticated "$client" "$about without a token, $method" "${alone[@]}" --method $method
        # shellcheck disable=SC2046
        expect Unauthenticated "$client" "$about with a stranger's token, $method" "${alone[@]}" $(token strangers/caller) --method $method
        # shellcheck disable=SC2046
        expect PermissionDenied "$client" "$about with a token without roles, $method" "${alone[@]}" $(token tokens/nobody) --method $method
        # shellcheck disable=SC2046
        expect OK "$client" "$about with the token of an administrator, $method" "${alone[@]}" $(token tokens/admin) --method $method
    done
    # shellcheck disable=SC2046
    expect OK "$client" "$about with a token for one method" "${alone[@]}" $(token tokens/caller)
    # shellcheck disable=SC2046
    expect PermissionDenied "$client" "$about with a token for another method" "${alone[@]}" $(token tokens/caller) --method KeepGreeting
    expect OK "$client" "$about for its health, without a token" "${alone[@]}" --method Check

    start "$server" "${both[@]}" "${keys[@]}"
    # shellcheck disable=SC2046
    expect OK "$client" "$about with a certificate and a token" "${mutual[@]}" $(token tokens/admin) --method KeepGreeting
    expect Unauthenticated "$client" "$about with a certificate alone" "${mutual[@]}"
done

printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" = 120 ]
