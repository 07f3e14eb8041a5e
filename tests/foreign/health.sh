#!/usr/bin/env bash
# The real grpc_health_probe against our health, with and without TLS, and `evercertd probe` beside it: in each case both end with the same
# status, against our servers and grpc-go's. A line for each case; where the two differ on purpose both are held.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The longest that one probe may take, in seconds: far longer than it does.
LIMIT=30

work=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

. tests/foreign/needs.bash
needs openssl=openssl python3=python3
. tests/foreign/go.bash
go_by_venv "$work/venv"
go build -C tests/foreign/grpc-go -buildvcs=false -o "$work/grpc-go" .
GOBIN=$work go install github.com/grpc-ecosystem/grpc-health-probe@v0.4.62

cargo build -q --release --workspace --bin evercertd --bin evercert-health
binaries=${CARGO_TARGET_DIR:-$PWD/target}/release

ca() { # ca DIRECTORY
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1/ca.key" -out "$1/ca.crt" -days 30 \
        -subj '/CN=Test CA' 2>/dev/null
}
issue() { # issue DIRECTORY: a leaf of its CA
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1/tls.key" -out "$1/tls.crt" -days 7 \
        -CA "$1/ca.crt" -CAkey "$1/ca.key" -subj '/CN=server.example.org' \
        -addext 'subjectAltName=DNS:server.example.org,IP:127.0.0.1' -addext 'basicConstraints=critical,CA:FALSE' \
        -addext 'keyUsage=critical,digitalSignature' -addext 'extendedKeyUsage=serverAuth,clientAuth' 2>/dev/null
}
mkdir "$work/own" "$work/other"
ca "$work/own" && issue "$work/own"
ca "$work/other" && issue "$work/other"
echo nothing >"$work/nothing"

started() { # started LOG: what a server has said first
    for _ in $(seq 300); do
        if [ -s "$1" ]; then head -n 1 "$1" && return; fi
        sleep 0.1
    done
    echo "waited in vain for a server: $1" >&2
    return 1
}
"$work/grpc-go" health "$work/own" >"$work/go.log" &
pids+=($!)
# It accepts connections and says nothing; and one that speaks HTTP/1.1.
python3 -uc 'import socket, time
silent = socket.create_server(("127.0.0.1", 0))
print("127.0.0.1:%d" % silent.getsockname()[1])
time.sleep(3600)' >"$work/silent.log" &
pids+=($!)
python3 -uc 'import http.server
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
print("127.0.0.1:%d" % server.server_port)
server.serve_forever()' >"$work/http.log" 2>/dev/null &
pids+=($!)
# The last one, since the others would hold its orders open.
mkfifo "$work/orders"
"$binaries/evercert-health" "$work/own" <"$work/orders" >"$work/ours.log" &
ours=$!
pids+=("$ours")
exec 3>"$work/orders"
read -r go_plain go_tls go_mutual go_without < <(started "$work/go.log")
read -r our_mutual our_plain < <(started "$work/ours.log")
silent=$(started "$work/silent.log")
http=$(started "$work/http.log")
dead=127.0.0.1:$(python3 -c 'import socket
free = socket.create_server(("127.0.0.1", 0))
print(free.getsockname()[1])')

order() { # order LINE: has our server do it, and waits until it has
    local before
    before=$(wc -l <"$work/ours.log")
    echo "$1" >&3
    for _ in $(seq 100); do
        [ "$(wc -l <"$work/ours.log")" -gt "$before" ] && return
        sleep 0.1
    done
    echo "waited in vain: $1" >&2
    return 1
}

cases=0
failed=0
held() { # held CASE THEIRS OURS FLAG…: the statuses that the two end with
    local case=$1 theirs=$2 ours=$3 their_status=0 our_status=0
    shift 3
    timeout "$LIMIT" "$work/grpc-health-probe" "$@" >"$work/theirs.out" 2>&1 || their_status=$?
    timeout "$LIMIT" "$binaries/evercertd" probe "$@" >"$work/ours.out" 2>&1 || our_status=$?
    cases=$((cases + 1))
    if [ "$their_status" = "$theirs" ] && [ "$our_status" = "$ours" ]; then
        echo "ok: $case: $their_status, and ours $our_status"
        return
    fi
    failed=$((failed + 1))
    echo "FAILED: $case: $their_status where $theirs is expected, and ours $our_status where $ours is"
    sed 's/^/    theirs: /' "$work/theirs.out"
    sed 's/^/    ours:   /' "$work/ours.out"
}
same() { # same CASE STATUS FLAG…
    local case=$1 status=$2
    shift 2
    held "$case" "$status" "$status" "$@"
}

with_ca=(-tls -tls-ca-cert="$work/own/ca.crt")
with_own=("${with_ca[@]}" -tls-client-cert "$work/own/tls.crt" -tls-client-key "$work/own/tls.key")
with_others=("${with_ca[@]}" -tls-client-cert "$work/other/tls.crt" -tls-client-key "$work/other/tls.key")

# grpc-go serves.
same 'without TLS' 0 -addr="$go_plain"
same 'without TLS, two dashes' 0 --addr "$go_plain" --service up
same 'by a name' 0 -addr="localhost:${go_plain##*:}" -connect-timeout=2s
same 'a port of this host' 0 -addr=":${go_plain##*:}" -connect-timeout=2s
same 'a target of gRPC' 0 -addr="dns:///127.0.0.1:${go_plain##*:}"
same 'verbose' 0 -addr="$go_plain" -v
same 'with headers' 0 -addr="$go_plain" -rpc-header='a: b' -rpc-header 'c:d' -user-agent=test
same 'compressed' 0 -addr="$go_plain" -gzip
same 'a switch that is off' 0 -addr="$go_plain" -tls=false
same 'not serving' 4 -addr="$go_plain" -service=down
same 'a status that is not known' 4 -addr="$go_plain" -service=unknown
same 'an unknown service' 3 -addr="$go_plain" -service=unheard.of
same 'no answer' 3 -addr="$go_plain" -service=slow -rpc-timeout=300ms
same 'no health' 3 -addr="$go_without"
same 'TLS' 0 -addr="$go_tls" "${with_ca[@]}"
same 'TLS by another name' 0 -addr="$go_tls" "${with_ca[@]}" -tls-server-name=server.example.org
same 'TLS, not serving' 4 -addr="$go_tls" "${with_ca[@]}" -service=down
same 'TLS, a wrong name' 2 -addr="$go_tls" "${with_ca[@]}" -tls-server-name=other.example.org
same 'TLS, a wrong CA' 2 -addr="$go_tls" -tls -tls-ca-cert="$work/other/ca.crt"
same 'TLS, the roots of the system' 2 -addr="$go_tls" -tls
same 'TLS where there is none' 2 -addr="$go_plain" "${with_ca[@]}"
same 'no TLS where there is' 2 -addr="$go_tls"
same 'mutual TLS' 0 -addr="$go_mutual" "${with_own[@]}"
same 'mutual TLS, not serving' 4 -addr="$go_mutual" "${with_own[@]}" -service=down
same 'mutual TLS without a certificate' 2 -addr="$go_mutual" "${with_ca[@]}"
same 'mutual TLS, the certificate of a wrong CA' 2 -addr="$go_mutual" "${with_others[@]}"
same 'nobody listens' 2 -addr="$dead"
same 'nobody speaks' 2 -addr="$silent" -connect-timeout=500ms
same 'nobody speaks TLS' 2 -addr="$silent" "${with_ca[@]}" -connect-timeout=500ms
same 'HTTP/1.1' 2 -addr="$http"
same 'no port' 2 -addr=localhost -connect-timeout=500ms

# Our health, for callers with certificates and without TLS.
same 'our port without TLS' 0 -addr="$our_plain"
same 'our liveness' 0 -addr="$our_plain" -service=liveness
same 'an unknown service of ours' 3 -addr="$our_plain" -service=up
same 'ours, compressed, which it does not take' 3 -addr="$our_plain" -gzip
same 'our port for callers with certificates' 0 -addr="$our_mutual" "${with_own[@]}"
same 'ours without a certificate' 2 -addr="$our_mutual" "${with_ca[@]}"
same 'ours with the certificate of a wrong CA' 2 -addr="$our_mutual" "${with_others[@]}"
same 'ours without TLS' 2 -addr="$our_mutual"
order 'not-serving up'
same 'a service of ours that is not serving' 4 -addr="$our_plain" -service=up
order 'serving up'
same 'a service of ours that is serving again' 0 -addr="$our_mutual" "${with_own[@]}" -service=up
order drain
same 'ours that drains' 4 -addr="$our_plain"
same 'a service of ours that drains' 4 -addr="$our_plain" -service=up
same 'ours that drains, for callers with certificates' 4 -addr="$our_mutual" "${with_own[@]}"
same 'our liveness while it drains' 0 -addr="$our_plain" -service=liveness
exec 3>&-
wait "$ours"
same 'ours that has ended' 2 -addr="$our_plain"

# Flags.
same 'no address' 1
same 'an unknown flag' 1 -addr="$go_plain" -unheard-of
same 'a duration that is none' 1 -addr="$go_plain" -rpc-timeout=soon
same 'no time to connect' 1 -addr="$go_plain" -connect-timeout=0s
same 'a switch that is neither' 1 -addr="$go_plain" -tls=maybe
same 'a header that is none' 1 -addr="$go_plain" -rpc-header=a
same 'a CA without TLS' 1 -addr="$go_plain" -tls-ca-cert="$work/own/ca.crt"
same 'a name without TLS' 1 -addr="$go_plain" -tls-server-name=server.example.org
same 'a certificate without its key' 1 -addr="$go_tls" "${with_ca[@]}" -tls-client-cert="$work/own/tls.crt"
same 'a key without its certificate' 1 -addr="$go_tls" "${with_ca[@]}" -tls-client-key="$work/own/tls.key"
same "a certificate with another's key" 1 -addr="$go_tls" "${with_ca[@]}" -tls-client-cert="$work/own/tls.crt" \
    -tls-client-key="$work/other/tls.key"
same 'a CA that is not there' 1 -addr="$go_tls" -tls -tls-ca-cert="$work/nowhere"
same 'a CA that is none' 1 -addr="$go_tls" -tls -tls-ca-cert="$work/nothing"
same 'the version' 0 -version

# Where they differ on purpose: ours always verifies the server, has no ALTS, and gets its identity from evercertd and not from a
# Workload API; it sends no token without TLS; help that is asked for is no error.
held 'TLS that verifies nothing' 0 1 -addr="$go_tls" -tls -tls-no-verify
held 'ALTS' 2 1 -addr="$go_plain" -alts
held 'SPIFFE' 20 1 -addr="$go_plain" -spiffe
held 'a token without TLS' 0 1 -addr="$go_plain" -rpc-header='authorization: Bearer token'
held 'help' 1 0 -help

printf '%s cases, %s failed\n' "$cases" "$failed"
[ "$failed" = 0 ]
