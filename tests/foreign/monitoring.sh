#!/usr/bin/env bash
# What monitors evercertd, held against a real Prometheus that scrapes a real daemon: alerts fire when they are for something and point to a section of
# the runbook, each question of the dashboard is answered, and so is what dashboards and alerts for the x509-certificate-exporter ask. EVERCERTD names
# the daemon; unset, it is built.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/foreign/needs.bash
. tests/foreign/checks.bash

needs promtool=prometheus curl=curl openssl=openssl python3=python3
needs_evercertd

work=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

# The runbook's sections, as links name them.
runbook() {
    local anchor
    for anchor in $(sed -n 's/.*runbook: docs\/runbook.md#//p' monitoring/rules.yaml); do
        grep -i "^## $anchor$" docs/runbook.md >/dev/null || { echo "the runbook has no section $anchor"; return 1; }
    done
}
rules() {
    cp monitoring/rules.yaml tests/foreign/monitoring/rules_test.yaml "$work" &&
        promtool check rules "$work/rules.yaml" && promtool test rules "$work/rules_test.yaml"
}
check 'the dashboard and the rules are what the code says' monitoring/generate.py --check
check 'alerts fire for certificates of an hour, of six days, of 47 days and of a year' rules
check 'each alert has a section in the runbook' runbook

# An identity that is served where it says so, another whose certificate is another one's, and a broken one.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/ca.key" -out "$work/ca.crt" -days 30 -subj '/C=DE/O=Example/OU=PKI/CN=Test CA' 2>/dev/null
issue() { # issue DIRECTORY
    mkdir -p "$1"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1/tls.key" -out "$1/tls.crt" -days 7 \
        -CA "$work/ca.crt" -CAkey "$work/ca.key" -subj '/C=DE/ST=Berlin/L=Berlin/O=Example/OU=Shop/CN=server.example.org' \
        -addext 'subjectAltName=DNS:server.example.org' -addext 'basicConstraints=critical,CA:FALSE' \
        -addext 'keyUsage=critical,digitalSignature' -addext 'extendedKeyUsage=serverAuth,clientAuth' 2>/dev/null
    cp "$work/ca.crt" "$1/ca.crt"
}
issue "$work/certs/server"
mkdir -p "$work/certs/broken"
echo nonsense | tee "$work/certs/broken/tls.crt" >"$work/certs/broken/tls.key"
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
served=$(port)
openssl s_server -www -accept "127.0.0.1:$served" -cert "$work/certs/server/tls.crt" -key "$work/certs/server/tls.key" >"$work/s_server.log" 2>&1 </dev/null &
pids+=($!)
# An endpoint that does not answer when it is first asked is asked again two minutes later.
until grep ACCEPT "$work/s_server.log" >/dev/null; do sleep 0.1; done
cat >"$work/evercertd.toml" <<EOF
[sockets]
agent = "$work/agent/agent.sock"
admin = "$work/admin/admin.sock"
[state]
directory = "$work/state"
[http]
listen = "127.0.0.1:0"
[watch]
directories = []
[[identity]]
name = "server"
path = "$work/certs/server"
serves = ["localhost:$served"]
federated = { "partner.example.org" = "$work/ca.crt" }
[[identity]]
name = "broken"
path = "$work/certs/broken"
EOF
"$EVERCERTD" run --config "$work/evercertd.toml" 2>"$work/evercertd.log" &
pids+=($!)
until address=$(sed -n 's/.*the HTTP socket is open address=\([0-9.:]*\).*/\1/p' "$work/evercertd.log") && [ -n "$address" ]; do sleep 0.1; done
prometheus=$(port)
cat >"$work/prometheus.yml" <<EOF
global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }
rule_files: ["$PWD/monitoring/rules.yaml"]
scrape_configs:
  - job_name: evercertd
    static_configs: [{ targets: ["$address"] }]
EOF
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" --web.listen-address="127.0.0.1:$prometheus" >"$work/prometheus.log" 2>&1 &
pids+=($!)

query() { curl -fsS --get "http://127.0.0.1:$prometheus/api/v1/query" --data-urlencode "query=$1"; }
holds() { # holds QUERY: it has a result within half a minute
    local deadline=$((SECONDS + 30))
    until query "$1" 2>/dev/null | grep '"value":\[' >/dev/null; do
        [ $SECONDS -lt $deadline ] || { echo "nothing answers $1"; tail -n 20 "$work"/*.log; return 1; }
        sleep 0.3
    done
}
curl -fsS "http://$address/metrics" >"$work/page"
linted() { promtool check metrics <"$work/page"; }
check 'promtool finds nothing in the page' linted
check 'Prometheus scrapes the daemon' holds 'up{job="evercertd"} == 1'
check 'what is served where an identity says so is what is published' holds 'evercert_endpoint_stale{identity="server"} == 0'
check 'a CA that is in use is told to be' holds 'sum by (sha256) (evercert_ca_identities{use="presents"}) > 0'
check 'the process tells of itself' holds 'process_resident_memory_bytes > 0 and process_open_fds > 0 and process_start_time_seconds < time()'
check 'a set that is rejected is told' holds 'evercert_identity_rejected{identity="broken"} == 1'
check 'and is an alert in waiting' holds 'ALERTS{alertname="EvercertRejected", identity="broken"}'

dashboard() { # Every expression is taken, and what only shows exceptions may be empty.
    python3 - "$prometheus" <<'PYTHON'
import json, re, sys, time, urllib.parse, urllib.request

def ask(expression):
    query = urllib.parse.urlencode({"query": expression.replace("$__rate_interval", "30s")})
    return json.load(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/api/v1/query?{query}"))["data"]["result"]

asked, deadline = 0, time.monotonic() + 60
for panel in json.load(open("kubernetes/chart/files/dashboard.json"))["panels"]:
    for target in panel.get("targets", []):
        expression = target["expr"]
        # What is compared is there in trouble alone; what it is compared of has to be there.
        while not ask(re.sub(r" (>|==) 0(?= or |$)", "", expression)):
            if time.monotonic() > deadline:
                sys.exit(f"{panel['title']}: nothing answers {expression}")
            time.sleep(0.5)
        ask(expression)
        asked += 1
print(f"{asked} expressions")
PYTHON
}
check 'every expression of the dashboard is answered' dashboard

# What those ask who know certificates by the names of the exporter: times, errors, and who a certificate is of.
while IFS='|' read -r sentence expression; do
    check "$sentence" holds "$expression"
done <<'EOF'
exporter: what is left of each certificate|(x509_cert_not_after - time()) / 86400 > 0
exporter: certificates that end within 28 days|((x509_cert_not_after - time()) / 86400) < 28
exporter: how old a certificate is|(time() - x509_cert_not_before) / (x509_cert_not_after - x509_cert_not_before) >= 0
exporter: certificates that have expired|count(x509_cert_expired == 0) > 0
exporter: files that give none|x509_cert_error{filename="tls.crt"} > 0
exporter: reading fails now|x509_read_errors > 0
exporter: the errors of each source|sum by (source_kind, source_name, reason) (x509_source_errors_total) >= 0
exporter: sources are up and have bundles|x509_source_up{source_kind="file"} == 1 and on(source_name) x509_source_bundles > 0
exporter: by every field of subject and issuer|x509_cert_not_after{subject_C="DE", subject_ST="Berlin", subject_L="Berlin", subject_O="Example", subject_OU="Shop", subject_CN="server.example.org", issuer_C="DE", issuer_O="Example", issuer_OU="PKI", issuer_CN="Test CA"}
exporter: a table by subject, issuer and file|sort(min by (subject_CN, issuer_CN, filepath, serial_number) (x509_cert_not_after{serial_number=~"[0-9]+", secret_name=""} - time()))
exporter: certificates that nothing tells apart|rate(x509_cert_collision_dropped_total[30s]) == 0
exporter: what tells of them|x509_exporter_build_info == 1
EOF
summary
