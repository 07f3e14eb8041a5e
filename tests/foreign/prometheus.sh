#!/usr/bin/env bash
# The daemon's metrics as Prometheus sees them: `promtool check metrics` finds nothing to say about the page, nor about that of a service
# that counts what the SDK tells of, and a real server scrapes it and answers queries before and after a rotation. An alert that waits for
# two minutes fires for a subscriber that is stopped, and ends with its process.
set -euo pipefail
cd "$(dirname "$0")/../.."

. tests/foreign/needs.bash
needs promtool=prometheus curl=curl openssl=openssl
cargo build -q --release --workspace --bin evercertd --bin evercert-observer --bin evercert-metrics
binaries=${CARGO_TARGET_DIR:-$PWD/target}/release
evercertd=$binaries/evercertd

work=$(mktemp -d)
pids=()
cleanup() {
    # What is stopped hears no other signal.
    for pid in "${pids[@]}"; do { kill "$pid" && kill -CONT "$pid"; } 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

ca() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/ca.key" -out "$work/ca.crt" -days 30 -subj '/O=Example "Org" \\ one/CN=Test CA' 2>/dev/null; }
revoke() { # a revocation list of nobody yet
    printf '[ca]\ndefault_ca = own\n[own]\ndatabase = %s/index\ncrlnumber = %s/number\ndefault_md = sha256\ndefault_crl_days = 7\n' \
        "$work" "$work" >"$work/ca.cnf"
    : >"$work/index"
    echo 01 >"$work/number"
    openssl ca -gencrl -config "$work/ca.cnf" -keyfile "$work/ca.key" -cert "$work/ca.crt" -out "$work/ca.crl" 2>/dev/null
}
issue() { # issue DIRECTORY: a leaf as a kubelet volume, swapped in whole
    local directory=$1 set
    set=$(mktemp -d "$directory/..$(date +%Y_%m_%d_%H_%M_%S).XXXXXX")
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$set/tls.key" -out "$set/tls.crt" -days 7 \
        -CA "$work/ca.crt" -CAkey "$work/ca.key" -subj '/CN=server.example.org' -addext 'subjectAltName=DNS:server.example.org' \
        -addext 'basicConstraints=critical,CA:FALSE' -addext 'keyUsage=critical,digitalSignature' \
        -addext 'extendedKeyUsage=serverAuth,clientAuth' 2>/dev/null
    cp "$work/ca.crt" "$work/ca.crl" "$set"
    chmod 0755 "$set"
    ln -sfn "$(basename "$set")" "$directory/..data_tmp"
    mv -T "$directory/..data_tmp" "$directory/..data"
    for name in tls.crt tls.key ca.crt ca.crl; do ln -sfn "..data/$name" "$directory/$name"; done
}

passed=0
wait_for() { # [within=SECONDS] wait_for SENTENCE COMMAND…
    local sentence=$1 deadline=$((SECONDS + ${within:-30}))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $deadline ]; then
            echo "waited in vain: $sentence"
            tail -n 20 "$work"/*.log
            return 1
        fi
        sleep 0.1
    done
    passed=$((passed + 1))
    echo "ok: $sentence"
}

ca
revoke
mkdir -p "$work/certs/server" "$work/certs/broken" "$work/certs/empty"
issue "$work/certs/server"
echo 'no certificate' | tee "$work/certs/broken/tls.crt" "$work/certs/broken/tls.key" >/dev/null

cat >"$work/evercertd.toml" <<EOF
[sockets]
agent = "$work/agent/agent.sock"
admin = "$work/admin/admin.sock"
[state]
directory = "$work/state"
[http]
listen = "127.0.0.1:0"
[watch]
directories = ["$work/certs/*"]
EOF
"$evercertd" run --config "$work/evercertd.toml" 2>"$work/evercertd.log" &
pids+=($!)
wait_for 'the daemon serves' grep -q 'evercertd::daemon: serving' "$work/evercertd.log"
address=$(sed -n 's/.*the HTTP socket is open address=\([0-9.:]*\).*/\1/p' "$work/evercertd.log")
published() { curl -fsS "http://$address/metrics" | grep "^evercert_identity_generation{identity=\"server\",scope=\"node\"} $1$" >/dev/null; }
wait_for 'the first generation is published' published 1

# The same by TLS, for whom the bundle vouches for, and what a kubelet probes apart from it.
cat >"$work/secured.toml" <<EOF
mode = "observer"
[sockets]
agent = "$work/secured/agent/agent.sock"
admin = "$work/secured/admin/admin.sock"
[state]
directory = "$work/secured/state"
[http]
listen = "127.0.0.1:0"
identity = "server"
client_certificates = true
probes = "127.0.0.1:0"
[watch]
directories = []
[[identity]]
name = "server"
path = "$work/certs/server"
EOF
"$evercertd" run --config "$work/secured.toml" 2>"$work/secured.log" &
pids+=($!)
wait_for 'a daemon presents a certificate of its own' grep -q 'the HTTP side presents this certificate' "$work/secured.log"
secured=$(sed -n 's/.*the HTTP socket is open address=\([0-9.:]*\).*/\1/p' "$work/secured.log")
probes=$(sed -n 's/.*the HTTP socket for probes is open address=\([0-9.:]*\).*/\1/p' "$work/secured.log")
wait_for 'its probes are answered in plain text' curl -fsS "http://$probes/readyz"
[ "$(curl -s -o "$work/none" -w '%{http_code}' "http://$probes/metrics")" = 404 ] || { echo 'probes have the page'; exit 1; }
! curl -ks "https://$secured/metrics" >"$work/none" || { echo 'the page is for anybody'; exit 1; }

curl -fsS "http://$address/metrics" >"$work/page"
promtool check metrics <"$work/page"
echo "ok: promtool finds nothing in $(grep -vc '^#' "$work/page") samples"

"$binaries/evercert-metrics" >"$work/service"
promtool check metrics <"$work/service"
for counted in 'grpc_server_tls_handshakes_total{.*"SUCCESS".*"FULL_HANDSHAKE"} 1' \
    'grpc_client_tls_handshakes_total{.*"CERTIFICATE_HOSTNAME_MISMATCH".*} 1' \
    'grpc_server_call_duration_seconds_count{grpc_method="greeter.v1.Greeter/SayHello",grpc_status="OK"} 1' \
    'evercert_calls_denied_total{grpc_method="greeter.v1.Greeter/KeepGreeting",grpc_status="PERMISSION_DENIED"} 1'; do
    grep -q "^$counted$" "$work/service" || { echo "a service does not count $counted"; exit 1; }
done
echo "ok: promtool finds nothing in a service's $(grep -vc '^#' "$work/service") samples"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' 2>/dev/null || echo 19090)
cat >"$work/rules.yml" <<EOF
groups:
  - name: evercert
    rules:
      - { alert: SubscriberBehind, expr: evercert_subscribers_behind > 0, for: 2m }
      - { alert: SubscriberLost, expr: evercert_subscribers_lost > 0, for: 2m }
EOF
promtool check rules "$work/rules.yml" >/dev/null
cat >"$work/prometheus.yml" <<EOF
global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }
rule_files: ["$work/rules.yml"]
scrape_configs:
  - job_name: evercertd
    static_configs: [{ targets: ["$address"] }]
  - job_name: secured
    scheme: https
    tls_config:
      ca_file: $work/certs/server/ca.crt
      cert_file: $work/certs/server/tls.crt
      key_file: $work/certs/server/tls.key
      server_name: server.example.org
    static_configs: [{ targets: ["$secured"] }]
EOF
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" --web.listen-address="127.0.0.1:$port" \
    >"$work/prometheus.log" 2>&1 &
pids+=($!)

holds() { # holds QUERY: it has a result
    curl -fsS --get "http://127.0.0.1:$port/api/v1/query" --data-urlencode "query=$1" | grep '"value":\[' >/dev/null
}
wait_for 'Prometheus scrapes the page' holds 'up{job="evercertd"} == 1'
wait_for 'and by mutual TLS' holds 'up{job="secured"} == 1'
wait_for 'the leaf on disk is the published one' holds \
    'max(x509_cert_not_after{subject_CN="server.example.org"}) == max(evercert_identity_not_after_timestamp_seconds{identity="server"})'
wait_for 'quotes and backslashes in a name arrive' holds 'x509_cert_not_after{subject_CN="Test CA", subject_O="Example \"Org\" \\ one"}'
wait_for 'the revocation list is fresh' holds 'x509_crl_stale{filename="ca.crl", issuer_CN="Test CA"} == 0 and x509_crl_next_update > time()'
wait_for 'what is broken is an error series' holds 'x509_cert_error{filepath=~".*/broken/tls.crt"} == 1'
wait_for 'and does not keep others off the page' holds 'evercert_identity_published{identity="server"} == 1'
wait_for 'an identity without files is not published' holds 'evercert_identity_published{identity="empty"} == 0'
issue "$work/certs/server"
wait_for 'a rotation shows' holds 'evercert_identity_generation{identity="server", job="evercertd"} == 2'
wait_for 'over the certificate that rotated, too' holds 'evercert_identity_generation{identity="server", job="secured"} == 2 and on(job) up == 1'
wait_for 'and its latency' holds 'histogram_quantile(0.99, evercert_reload_duration_seconds_bucket)'
wait_for 'the series of the old certificate is gone' holds 'count(x509_cert_not_after{job="evercertd", subject_CN="server.example.org"}) == 1'

"$binaries/evercert-observer" "$work/certs/server" "$work/agent/agent.sock" >"$work/observer" 2>"$work/observer.log" &
observer=$!
pids+=("$observer")
wait_for 'a service tells what it serves' holds \
    'evercert_subscribers{identity="server", job="evercertd"} == 1 and evercert_subscribers_unsettled{identity="server", job="evercertd"} == 0'
kill -STOP "$observer"
issue "$work/certs/server"
wait_for 'a stopped one is behind after a rotation' holds 'evercert_subscribers_behind{identity="server", job="evercertd"} == 1'
within=60 wait_for 'and is lost when it has not answered for long' holds 'evercert_subscribers_lost{identity="server", job="evercertd"} == 1'
wait_for 'it is connected no longer, and behind still' holds \
    'evercert_subscribers{identity="server", job="evercertd"} == 0 and evercert_subscribers_behind{identity="server", job="evercertd"} == 1'
named() {
    "$evercertd" status --long --socket "$work/admin/admin.sock" >"$work/status" || true
    grep -q "(pid $observer, .*lost since .*SIGSTOP" "$work/status"
}
wait_for 'the status names it' named
warned() { [ "$(grep -c "does not answer any more.* pid=$observer " "$work/evercertd.log")" = 1 ]; }
wait_for 'and the log, once' warned
fires() { holds "ALERTS{alertname=\"$1\", alertstate=\"firing\", identity=\"server\"}"; }
within=150 wait_for 'an alert on who is behind for two minutes fires' fires SubscriberBehind
within=60 wait_for 'and one on who is lost' fires SubscriberLost
kill -KILL "$observer"
wait_for 'with its process it is gone' holds \
    'evercert_subscribers_lost{identity="server", job="evercertd"} == 0 and evercert_subscribers_behind{identity="server", job="evercertd"} == 0'

printf '%s passed, 0 failed\n' "$passed"
