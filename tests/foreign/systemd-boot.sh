#!/usr/bin/env bash
# The units on a machine that systemd really boots: sandbox, socket activation, reload, watchdog. Needs root; see machine.bash.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/foreign/machine.bash

cargo build -q --release --workspace --bin evercertd
install -D "$target/release/evercertd" "$root/usr/bin/evercertd"
install -Dm644 -t "$root/usr/lib/systemd/system" systemd/*.service systemd/*.socket
install -Dm644 systemd/sysusers.d/evercert.conf -t "$root/usr/lib/sysusers.d"
install -Dm644 systemd/tmpfiles.d/evercert.conf -t "$root/usr/lib/tmpfiles.d"
install -Dm644 systemd/evercertd.toml -t "$root/etc/evercert"

certs=$root/etc/evercert/certs/server
authority "$work/ca"
issue "$work/ca" "$certs" server.example.org
# Another user's, and nobody else's: what CAP_DAC_READ_SEARCH is for.
chown 12345 "$certs/tls.key"
chmod 0600 "$certs/tls.key"

boot
starts() { machine journalctl -b --no-pager -u evercertd | grep -cF 'Starting evercertd.service'; }
says() { # says TEXT COMMAND…: the command fails, and says so
    local text=$1
    shift
    ! "$@" >"$work/said" 2>&1 || { echo 'it succeeded'; return 1; }
    grep -qF "$text" "$work/said" || { cat "$work/said"; return 1; }
}
mode_is() { [ "$(machine stat -c '%U:%G %a' "$1")" = "$2" ]; }

wait_for 30 'the machine is up' machine systemctl is-system-running
check 'the service starts' machine systemctl enable --now evercertd
wait_for 10 'and publishes a key that only its owner and the daemon may read' status_says '1 of 1 identities published'
check 'the workload socket is for everybody' mode_is /run/evercert/agent/agent.sock 'root:root 666'
check 'the admin socket is another group'"'"'s' mode_is /run/evercert-admin/admin.sock 'root:evercert-admin 660'
check 'status answers' machine evercertd status
priorities() { machine ps -L -o comm= -o ni= -p "$(property MainPID)"; }
if machine prlimit --nice=40 true 2>/dev/null; then
    check 'the threads that accept connections come before others' eval 'priorities | grep -E "^door +-20$" >/dev/null'
else
    echo 'skipped: the threads that accept connections come before others (this machine may not raise its limits)'
fi
check 'the metrics socket answers, with no other network' machine curl -fsS http://127.0.0.1:9793/readyz

status_has() { # Whatever it exits with: a finding is not success.
    machine evercertd status --long >"$work/status" || true
    grep -qF "$1" "$work/status"
}
check 'the address of the metrics socket is the configured one, which is no finding' fails status_has listen-ignored
machine sh -c 'sed -i "s/^listen = .*/listen = \"127.0.0.1:9794\"/" /etc/evercert/evercertd.toml; systemctl restart evercertd'
wait_for 10 'a configured address that is not the one of the metrics socket is a finding' status_has 'warn: listen-ignored'
check 'which says what is used instead' status_has 'handed over 127.0.0.1:9793'
check 'and so does the journal' journal_says '`listen` of [http] is 127.0.0.1:9794 and is not used'
check 'the page is where the socket is' machine curl -fsS http://127.0.0.1:9793/readyz
check 'and not where it is configured' fails machine curl -fsS http://127.0.0.1:9794/readyz
machine sh -c 'sed -i "s/^listen = .*/listen = \"127.0.0.1:9793\"/" /etc/evercert/evercertd.toml; systemctl restart evercertd'
wait_for 10 'with the same address again it is gone' eval 'machine evercertd status >/dev/null && fails status_has listen-ignored'
wait_for 10 'and the identity is published again' status_says '1 of 1 identities published'

machine sh -c 'echo bad = 1 >>/etc/evercert/evercertd.toml'
check 'a reload of a configuration that is refused fails' fails machine systemctl reload evercertd
check 'the journal says why' journal_says 'unknown key `bad`'
check 'and so does the status' status_says 'the configuration was refused'
check 'though the service goes on' machine curl -fsS http://127.0.0.1:9793/readyz
machine sed -i '/^bad/d' /etc/evercert/evercertd.toml
check 'a good one is read again' machine systemctl reload evercertd
check 'and is no longer refused' status_says '1 of 1 identities published'

machine cp -r /etc/evercert/certs/server /etc/evercert/certs/other
wait_for 10 'a directory that appears is published' status_says '2 of 2 identities published'

process=$(property MainPID)
machine kill -STOP "$process"
wait_for 60 'a daemon that hangs is restarted by the watchdog' eval '[ "$(property NRestarts)" = 1 ] && status_says "2 of 2"'
machine systemctl stop -q evercertd
check 'it stops cleanly' test "$(property Result)" = success
check 'the directories outlive it' machine test -d /run/evercert/agent -a -d /run/evercert-admin
check 'and its sockets start it again' machine evercertd status

machine sh -c 'echo bad = 1 >>/etc/evercert/evercertd.toml; systemctl restart -q evercertd || true' 2>/dev/null
check 'a configuration that is refused at the start is not tried again by itself' \
    test "$(property ExecMainStatus) $(property SubState)" = '78 failed'
before=$(starts)
check 'who asks for the status is told where to look' says 'evercertd config --check' machine evercertd status
wait_for 20 'the sockets are closed when their callers have started it often enough' sockets_are failed
check 'which is not often' test $(($(starts) - before)) -le 10
check 'and a caller is refused at once from then on' says 'nobody listens' machine evercertd status
before=$(starts)
machine sh -c 'for i in 1 2 3 4 5; do curl -s http://127.0.0.1:9793/readyz; evercertd status; sleep 0.2; done' >/dev/null 2>&1 || true
check 'without another start' test "$(starts)" = "$before"
machine sed -i '/^bad/d' /etc/evercert/evercertd.toml
wait_for 10 'a start brings all back when the configuration is mended' machine systemctl start evercertd
check 'the sockets too' sockets_are active
wait_for 10 'and the identities' status_says '2 of 2 identities published'
check 'the page too' machine curl -fsS http://127.0.0.1:9793/readyz

crash() { machine kill -KILL "$(property MainPID)"; }
for n in $(seq 1 18); do
    crash
    wait_for 10 "it is started again after crash $n" eval '[ "$(property NRestarts)" = '"$n"' ] && status_says "2 of 2"'
done
check 'and its sockets stay' sockets_are active

printf '%s passed, 0 failed\n' "$passed"
