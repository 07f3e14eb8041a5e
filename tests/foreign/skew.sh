#!/usr/bin/env bash
# Two releases on one node: services that link the SDK of the previous one and of this one, under the daemon of the previous one, then of this
# one, then of the previous one again, as in an upgrade that is taken back. Each service gets each rotation and acknowledges it, a CA that left stays trusted over the
# restarts, either command line understands either daemon, and no call fails.
# See previous.bash for what the previous release is.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The longest that one state is waited for, in seconds.
LIMIT=60

. tests/foreign/needs.bash
needs openssl=openssl python3=python3
. tests/foreign/previous.bash

work=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

previous
build_programs .
keep_programs "$work/new"
declare -A programs=([old]=$old [new]=$work/new)
for program in "${PROGRAMS[@]}"; do
    if cmp -s "$old/$program" "$work/new/$program"; then
        echo "$program of the previous release is the one of this release: nothing is shown by this" >&2
        exit 1
    fi
done
echo "built: $SECONDS s"

passed=0
ok() { # ok SENTENCE
    passed=$((passed + 1))
    echo "ok: $1"
}
failed() { # failed SENTENCE
    tail -n 5 "$work"/*.log >&2
    echo "FAILED: $1" >&2
    exit 1
}
wait_for() { # wait_for SENTENCE COMMAND…
    local sentence=$1 deadline=$((SECONDS + LIMIT))
    shift
    until "$@"; do
        [ $SECONDS -lt $deadline ] || failed "$sentence"
        sleep 0.1
    done
    ok "$sentence"
}

authority() { # authority NAME
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/$1.key" -out "$work/$1.crt" -days 30 \
        -subj "/CN=$1" 2>/dev/null
}
volume=$work/greeter
rotate() { # rotate AUTHORITY: a leaf of it, swapped in whole as the kubelet does it; its fingerprint is in $leaf then
    local set
    set=$(mktemp -d "$volume/..$(date +%Y_%m_%d_%H_%M_%S).XXXXXX")
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$set/tls.key" -out "$set/tls.crt" -days 7 \
        -CA "$work/$1.crt" -CAkey "$work/$1.key" -subj '/CN=greeter' -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' \
        -addext 'basicConstraints=critical,CA:FALSE' -addext 'keyUsage=critical,digitalSignature' \
        -addext 'extendedKeyUsage=serverAuth,clientAuth' 2>/dev/null
    cp "$work/$1.crt" "$set/ca.crt"
    chmod 0755 "$set"
    ln -sfn "$(basename "$set")" "$volume/..data_tmp"
    mv -T "$volume/..data_tmp" "$volume/..data"
    for name in tls.crt tls.key ca.crt; do ln -sfn "..data/$name" "$volume/$name"; done
    leaf=$(openssl x509 -in "$set/tls.crt" -outform DER | sha256sum | cut -d' ' -f1)
}
mkdir "$volume"
authority 'First CA'
authority 'Second CA'
rotate 'First CA'

agent=$work/agent/agent.sock
admin=$work/admin/admin.sock
cat >"$work/evercertd.toml" <<END
[watch]
directories = []
[sockets]
agent = "$agent"
admin = "$admin"
[state]
directory = "$work/state"
[http]
listen = "off"
[kubelet]
directory = ""
[[identity]]
name = "greeter"
path = "$volume"
END

daemon=
start() { # start RELEASE: its daemon
    "${programs[$1]}/evercertd" run --config "$work/evercertd.toml" 2>>"$work/evercertd-$1.log" &
    daemon=$!
    pids+=("$daemon")
}
stop() {
    kill "$daemon"
    wait "$daemon" || failed 'the daemon ends as it should'
}
subscribers=()
run() { # run RELEASE SOURCE LOG PROGRAM ARGUMENT…: a service that gets its certificate from the agent or the directory
    local release=$1 source=$2 log=$3 program=$4 directory=()
    shift 4
    [ "$source" = agent ] || directory=("EVERCERT_DIR=$volume")
    env EVERCERT_SOCKET="$agent" EVERCERT_IDENTITY=greeter "${directory[@]}" "${programs[$release]}/$program" "$@" \
        >"$work/$log.out" 2>"$work/$log.log" &
    pids+=($!)
    subscribers+=($!)
}
# Whether the daemon publishes the leaf, and every service acknowledges what it publishes; as the command line of a release tells it.
acknowledged() { # acknowledged RELEASE
    "${programs[$1]}/evercertd" status --json --socket "$admin" >"$work/status.json" 2>/dev/null || return 1
    python3 - "$work/status.json" "$leaf" "${subscribers[@]}" <<'END'
import json, sys
identity = json.load(open(sys.argv[1]))["identities"][0]
published = identity["leaf"] is not None and identity["leaf"]["sha256"] == sys.argv[2]
acknowledged = {
    str(subscriber["pid"])
    for subscriber in identity["subscribers"]
    if subscriber["state"] in ("current", "settled")
    and subscriber["reported_generation"] == identity["generation"]
    and subscriber["lost_since"] is None
}
sys.exit(not (published and acknowledged == set(sys.argv[3:])))
END
}
retained() { # retained: the anchors that left, and until when they are trusted
    python3 -c 'import json, sys
print([(anchor["sha256"], anchor["until"]) for anchor in json.load(open(sys.argv[1]))["identities"][0]["retained"]])' "$work/status.json"
}

start old
wait_for 'the previous daemon serves' acknowledged old
ports=()
for release in old new; do
    for source in agent directory; do
        log=server-$release-$source
        run $release $source "$log" greeter-server 127.0.0.1:0
        wait_for "a server of the $release SDK, by its $source, is ready" grep -q . "$work/$log.out"
        ports+=("$(sed -n 's/.*://p' "$work/$log.out")")
    done
done
clients=()
for release in old new; do
    for source in agent directory; do
        for port in "${ports[@]}"; do
            log=client-$release-$source-$port
            clients+=("$log")
            run $release $source "$log" greeter-client "https://localhost:$port" --times 0
        done
    done
done

other() { if [ "$1" = old ]; then echo new; else echo old; fi; }
rotations() { # rotations RELEASE: whose daemon runs
    local cli
    wait_for "all ${#subscribers[@]} services are with the daemon of the $1 release" acknowledged "$1"
    cli=$(other "$1")
    for number in 1 2 3; do
        rotate "$authority"
        wait_for "rotation $number under it is acknowledged by all, says the command line of the $cli release" acknowledged "$cli"
    done
    "${programs[$cli]}/evercertd" reload --socket "$admin" >"$work/reload.out" 2>&1 || failed "$(cat "$work/reload.out")"
    ok "the command line of the $cli release reloads it"
}
authority='First CA'
rotations old
authority='Second CA'
rotate "$authority"
wait_for 'another CA is acknowledged by all' acknowledged old
left=$(retained)
[ "$left" != '[]' ] || failed 'the CA that left stays trusted for a while'
for release in new old; do
    stop
    # Calls go on without a daemon.
    sleep 2
    start $release
    rotations $release
    [ "$(retained)" = "$left" ] || failed "the $release daemon keeps to the end of the trust in the CA that left"
    ok "the $release daemon keeps to the end of the trust in the CA that left"
done

calls=0
for pid in "${subscribers[@]}"; do kill -0 "$pid" 2>/dev/null || failed 'every service still runs, so no call has failed'; done
for log in "${clients[@]}"; do
    lines=$(wc -l <"$work/$log.out")
    [ "$lines" -ge 5 ] || failed "$log has made $lines calls only"
    calls=$((calls + lines))
done
ok "$calls calls between either SDK under either daemon, 0 failed"
printf '%s passed, 0 failed (%s s)\n' "$passed" "$SECONDS"
