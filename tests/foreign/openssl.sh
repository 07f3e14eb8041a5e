#!/usr/bin/env bash
# The main path on real input: certificates made by openssl in the encodings that are met in the field, in a volume laid out
# and swapped as the kubelet does it, through the real daemon and the example server, seen by openssl s_client.
set -euo pipefail
cd "$(dirname "$0")/../.."

. tests/foreign/needs.bash
. tests/foreign/checks.bash
needs openssl=openssl curl=curl
cargo build -q --release --workspace --bins
bin=$PWD/target/release

work=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'echo "ended at line $LINENO"; tail -n 20 "$work"/*.log' ERR

after_failure() { tail -n 20 "$work"/*.log; }
eventually() { # eventually COMMAND…: until it succeeds, for 10 s at most
    local deadline=$((SECONDS + 10))
    until "$@"; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.05
    done
}

volume=$work/volume
pki=$work/pki
mkdir -p "$volume" "$pki"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 30 -subj /CN=root.example.org \
    -keyout "$pki/ca.key" -out "$pki/ca.crt" 2>/dev/null

make_key() {
    case $1 in
    rsa-2048-pkcs1) openssl genrsa -traditional 2048 ;;
    p256-sec1) openssl ecparam -name prime256v1 -genkey ;;
    p256-pkcs8) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 ;;
    ed25519-pkcs8) openssl genpkey -algorithm ED25519 ;;
    esac 2>/dev/null
}

issue() { # issue KIND SERIAL: tls.key and tls.crt under $pki/KIND
    mkdir -p "$pki/$1"
    make_key "$1" >"$pki/$1/tls.key"
    openssl req -new -key "$pki/$1/tls.key" -subj "/CN=greeter" -out "$pki/$1/request.pem"
    openssl x509 -req -in "$pki/$1/request.pem" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -set_serial "0x$2" -days 10 \
        -out "$pki/$1/tls.crt" -extfile <(printf '%s\n' \
            'basicConstraints=critical,CA:FALSE' 'keyUsage=critical,digitalSignature' \
            'extendedKeyUsage=serverAuth,clientAuth' 'subjectAltName=DNS:localhost,IP:127.0.0.1') 2>/dev/null
    cp "$pki/ca.crt" "$pki/$1/ca.crt"
}

# The order of the kubelet's AtomicWriter: a new directory, its files, a link beside ..data, one rename, the user's links, removal.
swap() { # swap KIND
    local old new
    old=$(readlink "$volume/..data" || true)
    new=$(basename "$(mktemp -d "$volume/..$(date +%Y_%m_%d_%H_%M_%S).XXXXXXXX")")
    chmod 0755 "$volume/$new"
    cp "$pki/$1"/{tls.crt,tls.key,ca.crt} "$volume/$new/"
    chmod 0644 "$volume/$new"/*
    ln -s "$new" "$volume/..data_tmp"
    mv -T "$volume/..data_tmp" "$volume/..data"
    for file in tls.crt tls.key ca.crt; do
        [ -L "$volume/$file" ] || ln -s "..data/$file" "$volume/$file"
    done
    [ -z "$old" ] || rm -rf "${volume:?}/$old"
}

kinds=(rsa-2048-pkcs1 p256-sec1 p256-pkcs8 ed25519-pkcs8)
serial=4096
declare -A serials
for kind in "${kinds[@]}"; do
    serial=$((serial + 1))
    serials[$kind]=$(printf '%X' $serial)
    issue "$kind" "${serials[$kind]}"
done

cat >"$work/evercertd.toml" <<E2
[sockets]
agent = "$work/run/agent/agent.sock"
admin = "$work/run/admin/admin.sock"

[state]
directory = "$work/state"

[http]
listen = "127.0.0.1:0"

[[identity]]
name = "greeter"
path = "$volume"
usages = ["server auth", "client auth"]
dns_names = ["localhost"]
E2

"$bin/evercertd" run --config "$work/evercertd.toml" 2>"$work/daemon.log" &
pids+=($!)
export EVERCERT_SOCKET=$work/run/agent/agent.sock EVERCERT_IDENTITY=greeter
address() { sed -n "s/.*$1\([0-9.]*:[1-9][0-9]*\).*/\1/p" "$work/$2.log" | head -n 1; }
eventually grep -q 'the HTTP socket is open' "$work/daemon.log"
metrics=$(address 'address=' daemon)

swap "${kinds[0]}"
"$bin/greeter-server" 127.0.0.1:0 >"$work/server.log" 2>&1 &
pids+=($!)
eventually grep -q 'greeting on' "$work/server.log"
greeter=$(address 'greeting on ' server)

served() { # the serial that a handshake sees
    openssl s_client -connect "$greeter" -servername localhost -alpn h2 -CAfile "$pki/ca.crt" -verify_return_error \
        -cert "$pki/$1/tls.crt" -key "$pki/$1/tls.key" </dev/null 2>/dev/null |
        openssl x509 -noout -serial 2>/dev/null | cut -d= -f2
}
serves() { [ "$(served "$1")" = "${serials[$1]}" ]; }
metric() { curl -sf "http://$metrics/metrics" | grep "$1" >/dev/null; }

for round in 1 2; do
    for kind in "${kinds[@]}"; do
        swap "$kind"
        check "$kind: s_client sees the new serial (round $round)" eventually serves "$kind"
        check "$kind: the example client is greeted" \
            bash -c "'$bin/greeter-client' https://localhost:${greeter##*:} >>'$work/client.log' 2>&1"
        check "$kind: the serial is on the metrics page" \
            eventually metric "x509_cert_not_after.*serial_number=\"$((16#${serials[$kind]}))\""
    done
done

good=${kinds[3]}
cp -r "$pki/$good" "$pki/mismatched"
cp "$pki/p256-pkcs8/tls.key" "$pki/mismatched/tls.key"
swap mismatched
status_says() { { "$bin/evercertd" status --json --socket "$work/run/admin/admin.sock" || true; } | grep "$1" >/dev/null; }
check "a mismatched key is reported" eventually status_says key-mismatch
check "and the last good is served on" serves "$good"
check "no key is in a log" bash -c "! grep -rq 'PRIVATE KEY' '$work'/*.log"

summary
