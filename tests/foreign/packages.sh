#!/usr/bin/env bash
# What is given to others: the static binary, the image, the packages with their manual pages and completions, and the life of the Debian
# package on a machine that systemd really boots. Needs root; see machine.bash.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/foreign/machine.bash
. tests/foreign/previous.bash

needs umoci=umoci jq=jq zsh=zsh fish=fish rpm=rpm man=man-db strings=binutils
# Optimized a little: more would be compiled for minutes, and without any they compress for as long.
for tool in cargo-deb cargo-generate-rpm; do
    command -v "$tool" >/dev/null || CARGO_PROFILE_DEV_OPT_LEVEL=1 cargo install -q --debug --locked "$tool"
done
cargo build -q --release --workspace --bins
dynamic=$target/release/evercertd

# The static binary.
static=$(packaging/static.sh)
readelf -l "$static" >"$work/segments" && readelf -d "$static" >"$work/needs" && strings -a "$static" >"$work/strings"
no_interpreter() { ! grep -q INTERP "$work/segments" && ! grep -q NEEDED "$work/needs"; }
check 'the static binary needs nothing of its system' no_interpreter
check "it has at most 15 MB ($(stat -c %s "$static") bytes)" test "$(stat -c %s "$static")" -le 15000000
no_paths() { ! grep -F -e "$PWD" -e "$HOME/" -e "$target/" -e .cargo/ -e .rustup/ "$work/strings"; }
check 'no path of the machine that built it is in it' no_paths

empty=$work/empty
mkdir -p "$empty/tls"
cp "$static" "$empty/evercertd"
chroot=$(command -v chroot)
bare() { env -i "$chroot" "$empty" /evercertd "$@"; }
check 'it runs where nothing else is' bare config
# Who asks is known by /proc, which every container has.
mkdir "$empty/proc"
mount -t proc proc "$empty/proc"
cat >"$empty/evercertd.toml" <<'END'
[http]
listen = "off"
[sockets]
agent = "/agent/agent.sock"
admin = "/admin/admin.sock"
[state]
directory = "/state"
[[identity]]
name = "server"
path = "/tls"
allow = ["user:payments", "group:tls"]
END
authority "$work/ca"
issue "$work/ca" "$empty/tls" server.example.org
env -i "$chroot" "$empty" /evercertd run --config /evercertd.toml 2>"$work/bare.log" &
bare=$!
wait_for 10 'and publishes' eval 'bare status --long --socket /admin/admin.sock | grep "server.example.org" >/dev/null'
says_once() { [ "$(grep -cF "$1" "$2")" = 1 ] || { cat "$2" && return 1; }; }
check 'it says once that it knows only the accounts in files' says_once 'this evercertd is linked statically' "$work/bare.log"
check 'of which there are none' says_once 'account=user:payments' "$work/bare.log"
mkdir "$empty/etc"
# A module that would have to be loaded, before the files.
printf 'passwd: ldap files\ngroup: ldap files\nhosts: ldap files\n' >"$empty/etc/nsswitch.conf"
echo 'payments:x:1001:1001::/:/bin/false' >"$empty/etc/passwd"
echo 'tls:x:1002:' >"$empty/etc/group"
echo '127.0.0.1 here' >"$empty/etc/hosts"
bare reload --socket /admin/admin.sock >/dev/null
wait_for 10 'until there are, whatever nsswitch.conf says' grep -qF 'a name of `allow` has appeared account=user:payments' "$work/bare.log"
kill "$bare"
wait "$bare"
exits() { # exits STATUS TEXT COMMAND…
    local status=$1 text=$2 code=0
    shift 2
    "$@" >"$work/said" 2>&1 || code=$?
    cat "$work/said"
    [ "$code" = "$status" ] && grep -qF "$text" "$work/said"
}
check 'names of hosts are looked up' exits 2 'Connection refused' bare probe -addr=here:1
cp "$empty"/evercertd* "$root/"
check 'and it runs on Debian 13, where accounts are known by systemd, too' exits 0 '"user:payments" of `allow` fits nobody: /etc/passwd or /etc/group has no such name' \
    env -i "$chroot" "$root" /evercertd config --check /evercertd.toml
rm "$root"/evercertd*

# The image.
for copy in 1 2; do
    packaging/image.sh "$work/image$copy" "$static" >"$work/digest$copy"
done
check "two images of one binary are one ($(cat "$work/digest1"))" cmp "$work/digest1" "$work/digest2"
blob() { printf '%s/blobs/%s' "$work/image1" "${1/://}"; }
layer=$(jq -r '.layers[0].digest' "$(blob "$(jq -r '.manifests[0].digest' "$work/image1/index.json")")")
check 'its layer is an archive that tar reads to the end' tar -tzf "$(blob "$layer")"
version=$(jq -r '.manifests[0].annotations["org.opencontainers.image.ref.name"]' "$work/image1/index.json")
umoci unpack --image "$work/image1:$version" "$work/bundle"
check 'an image has the binary' cmp "$static" "$work/bundle/rootfs/usr/bin/evercertd"
check 'and nothing else' test "$(cd "$work/bundle/rootfs" && find . -mindepth 1 | sort | xargs)" = './usr ./usr/bin ./usr/bin/evercertd'
# For those who build with an engine: the words of both are held together here.
config=$(blob "$(jq -r .config.digest "$(blob "$(jq -r '.manifests[0].digest' "$work/image1/index.json")")")")
of_image() {
    jq -r '.config | "USER \(.User)", "WORKDIR \(.WorkingDir)", "ENTRYPOINT \(.Entrypoint | tojson)", "CMD \(.Cmd | tojson)",
        (.Labels | to_entries[] | select(.key | test("title|description|licenses")) | "\(.key)=\(.value | tojson)")' "$config" | sort
}
of_containerfile() { sed -nE 's/ *\\$//; s/^(LABEL| ) *//; /^(USER|WORKDIR|ENTRYPOINT|CMD|org\.)/p' packaging/Containerfile | sort; }
check 'the Containerfile says the same' diff <(of_image) <(of_containerfile)
check 'it runs the daemon as nobody' test "$(jq -c '.process | [.args, .user.uid, .user.gid]' "$work/bundle/config.json")" = \
    '[["/usr/bin/evercertd","run"],65532,65532]'

# The packages. The older one holds the previous release's program, and another default configuration, as one of another release may have.
for copy in 1 2; do
    deb=$(packaging/deb.sh "$work/deb$copy" "$dynamic")
    rpm=$(packaging/rpm.sh "$work/rpm$copy" "$dynamic")
done
check 'two packages of one binary are one' cmp "$work/deb1/${deb##*/}" "$deb"
check 'in both formats' cmp "$work/rpm1/${rpm##*/}" "$rpm"
check 'the configuration is the operator'"'"'s' test "$(dpkg-deb --info "$deb" conffiles)" = /etc/evercert/evercertd.toml
check 'in both' test "$(rpm -qp --configfiles "$rpm")" = /etc/evercert/evercertd.toml
dpkg-deb -x "$deb" "$work/files"
(cd "$work/files" && find . -type f -printf '/%P\n' | sort) >"$work/of-deb"
rpm -qpl "$rpm" | sort >"$work/of-rpm"
places() { sed -e 's|/usr/share/zsh/vendor-completions/|/usr/share/zsh/site-functions/|' -e '/^.usr.share.\(doc\|licenses\)/ d' "$1"; }
check 'both have the same files' diff <(places "$work/of-deb") <(places "$work/of-rpm")
check 'the scripts of the second are read' eval 'rpm -qp --scripts "$rpm" | grep -v "scriptlet:$\|scriptlet (using" | sh -n'
previous
older=$(EVERCERT_VERSION=0.0.9 packaging/deb.sh "$work/old" "$old/evercertd")
dpkg-deb -R "$older" "$work/unpacked"
sed -i '1 i # An older default.' "$work/unpacked/etc/evercert/evercertd.toml"
(cd "$work/unpacked" && find . -type f -not -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) >"$work/md5sums"
mv "$work/md5sums" "$work/unpacked/DEBIAN/md5sums"
dpkg-deb --root-owner-group -b "$work/unpacked" "$older" >/dev/null

# The manual pages and the completions, as they are installed.
pages=("$work"/files/usr/share/man/man?/*)
check "there are ${#pages[@]} manual pages" test "${#pages[@]}" -ge 11
page_is_fine() { # Nothing that the formatter warns of, and a page with its head and its end.
    local said
    said=$(man --warnings -E UTF-8 -l -Tutf8 -Z "$1" 2>&1 >/dev/null)
    [ -z "$said" ] || { echo "$said" && return 1; }
    man -E UTF-8 -l "$1" >"$work/page"
    grep -q '^NAME' "$work/page" && grep -q '^SEE ALSO' "$work/page"
}
for page in "${pages[@]}"; do
    check "${page##*/} is fine" page_is_fine "$page"
done
mkdir "$work/bin"
cp "$dynamic" "$work/bin/"
export PATH=$work/bin:$PATH
in_bash() {
    bash --norc -c '. "$1"
        COMP_WORDS=(evercertd trust l) COMP_CWORD=2 COMP_LINE="evercertd trust l" COMP_POINT=17
        _evercertd evercertd l trust
        printf "%s\n" "${COMPREPLY[@]}"' bash "$work/files/usr/share/bash-completion/completions/evercertd" | grep -x list >/dev/null
}
check 'bash completes' in_bash
# A terminal, as zsh completes in nothing else.
cat >"$work/complete.zsh" <<'END'
zmodload zsh/zpty
zpty -b shell 'TERM=vt100 zsh -f -i'
shown=
until_shown() {
    for _ in {1..100}; do
        while zpty -r -t shell part; do shown+=$part; done
        [[ $shown == *$1* ]] && return
        sleep 0.1
    done
    print -r -- "$shown"
    exit 1
}
zpty -w shell "PS1=; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; echo re''ady"
until_shown ready
zpty -n -w shell $'evercertd trust li\t'
until_shown 'trust list'
END
in_zsh() { zsh -f "$work/complete.zsh" "$work/files/usr/share/zsh/vendor-completions"; }
check 'zsh completes' in_zsh
in_fish() {
    HOME=$work fish --no-config -c "source $work/files/usr/share/fish/vendor_completions.d/evercertd.fish; complete -C 'evercertd trust l'" |
        grep -q '^list'
}
check 'fish completes' in_fish

# The life of the package.
cp "$older" "$root/root/old.deb"
cp "$deb" "$root/root/new.deb"
cp "$(EVERCERT_VERSION=0.0.9 packaging/rpm.sh "$work/old" "$old/evercertd")" "$root/root/old.rpm"
cp "$rpm" "$root/root/new.rpm"
install -t "$root/usr/local/bin" "$target/release/greeter-server" "$target/release/greeter-client"
issue "$work/ca" "$root/etc/evercert/certs/greeter" localhost
echo '127.0.0.1 localhost' >"$root/etc/hosts"
echo 'greeter:x:12345:12345::/:/bin/false' >>"$root/etc/passwd"
chown -R 12345 "$root/etc/evercert/certs/greeter"
chmod 0600 "$root/etc/evercert/certs/greeter/tls.key"
boot
wait_for 30 'the machine is up' machine systemctl is-system-running
apt() { machine env DEBIAN_FRONTEND=noninteractive apt-get -qy -o Dpkg::Options::=--force-confdef "$@" </dev/null; }
check 'the package installs' apt install /root/old.deb
wait_for 10 'which starts the daemon, and what it finds is published' status_says '1 of 1 identities published'
check 'and its sockets' sockets_are active
is_enabled() { [ "$(machine systemctl is-enabled evercertd.service evercertd-{agent,admin,metrics}.socket | sort -u)" = enabled ]; }
check 'from the next boot on, too' is_enabled
check 'status shows the identity' eval 'machine evercertd status | grep "^greeter" >/dev/null'
check 'so do the metrics' eval 'machine curl -fsS http://127.0.0.1:9793/metrics | grep "^evercert_identity_not_after.*greeter" >/dev/null'
check 'the group of the admin socket is there' machine getent group evercert-admin

service() { # service NAME COMMAND…
    local name=$1
    shift
    machine systemd-run -q --unit="$name" -p User=greeter -E EVERCERT_IDENTITY=greeter "$@"
}
calls() { machine journalctl -b --no-pager -o cat -u "$1" | grep -c 'Hello' || true; }
also=(-u greeter-server -u calling -u starting)
service greeter-server /usr/local/bin/greeter-server
service calling /usr/local/bin/greeter-client --times 0
# Each of these asks the daemon for its identity before it calls.
service starting /bin/sh -c 'while greeter-client; do :; done; exit 1'
wait_for 10 'a service is called' eval '[ "$(calls calling)" -ge 3 ] && [ "$(calls starting)" -ge 3 ]'
machine sed -i 's/^tick = .*/tick = "20s"/' /etc/evercert/evercertd.toml
kept=$(machine sha256sum /etc/evercert/evercertd.toml)
process=$(property MainPID)
check 'the package is upgraded' apt install /root/new.deb
check 'to the other one' test "$(machine dpkg-query -W -f '${Version}' evercertd)" = "$version-1"
check 'another process runs' test "$(property MainPID)" != "$process"
check 'which is the new program' eval 'machine cmp "/proc/$(property MainPID)/exe" /usr/bin/evercertd'
check 'a configuration that was changed stays' test "$(machine sha256sum /etc/evercert/evercertd.toml)" = "$kept"
before=$(calls calling) started=$(calls starting)
wait_for 20 'the service is called on' eval '[ "$(calls calling)" -ge $((before + 5)) ] && [ "$(calls starting)" -ge $((started + 20)) ]'
check "no call failed, of $(calls calling) by one client and one each by $(calls starting)" \
    test "$(machine systemctl is-active greeter-server calling starting | sort -u)" = active

machine systemctl stop calling starting greeter-server evercertd-{agent,admin,metrics}.socket evercertd
check 'the same package again installs' apt install --reinstall /root/new.deb
check 'a daemon that somebody stopped stays stopped' eval '[ "$(property ActiveState)" = inactive ]'
machine systemctl start evercertd
check 'the package is removed' apt remove evercertd
check 'the daemon is gone' eval '[ "$(property LoadState)" = masked ] || [ "$(property LoadState)" = not-found ]'
check 'so are its sockets' fails machine test -e /run/evercert -o -e /run/evercert-admin
check 'the configuration stays' machine test -e /etc/evercert/evercertd.toml
check 'it is installed again' apt install /root/new.deb
wait_for 10 'which starts it, as a removed daemon is no stopped one' status_says '1 of 1 identities published'
machine sed -i '1 i misspelt = 1' /etc/evercert/evercertd.toml
process=$(property MainPID)
check 'a release that refuses the configuration says so' eval 'apt install --reinstall /root/new.deb 2>&1 | grep "not restarted, as this release refuses"'
check 'and leaves the daemon as it was' test "$(property MainPID)" = "$process"
check 'it is removed again' apt remove evercertd
check 'the package is purged' apt purge evercertd
rests() { machine find / -xdev -path /proc -prune -o -iname '*evercert*' -not -path '/root/*' -print | sort | xargs; }
check 'certificates that somebody put there stay' test "$(rests)" = /etc/evercert
machine rm -r /etc/evercert
check 'the package is installed once more' apt install /root/new.deb
check 'and purged at once' apt purge evercertd
check 'which leaves nothing' test -z "$(rests)"

# The life of the other package. Its database knows nothing of what is installed otherwise.
rpm_in() { machine rpm --nodeps "$@"; }
issue "$work/ca" "$root/etc/evercert/certs/greeter" localhost
check 'the rpm installs' rpm_in -i /root/old.rpm
check 'and starts nothing by itself' eval '[ "$(property ActiveState)" = inactive ]'
check 'the group of the admin socket is there, too' machine getent group evercert-admin
check 'it is enabled and started, as its readers are told to' machine systemctl enable --now evercertd
wait_for 10 'what it finds is published' status_says '1 of 1 identities published'
machine sed -i 's/^tick = .*/tick = "20s"/' /etc/evercert/evercertd.toml
kept=$(machine sha256sum /etc/evercert/evercertd.toml)
process=$(property MainPID)
check 'the rpm is upgraded' rpm_in -U /root/new.rpm
check 'to the other one, too' test "$(machine rpm -q --qf '%{VERSION}' evercertd)" = "$version"
check 'another process runs then' test "$(property MainPID)" != "$process"
check 'of the new program' eval 'machine cmp "/proc/$(property MainPID)/exe" /usr/bin/evercertd'
check 'the configuration is kept' test "$(machine sha256sum /etc/evercert/evercertd.toml)" = "$kept"
machine sed -i '1 i misspelt = 1' /etc/evercert/evercertd.toml
process=$(property MainPID)
check 'one that is refused is told' eval 'rpm_in -U --force /root/new.rpm 2>&1 | grep "not restarted, as this release refuses"'
check 'and the daemon is left as it was' test "$(property MainPID)" = "$process"
check 'the rpm is erased' rpm_in -e evercertd
check 'then the daemon is gone' eval '[ "$(property LoadState)" = not-found ]'
check 'and its sockets' fails machine test -e /run/evercert -o -e /run/evercert-admin
# The default of the release that came stays beside what was changed, as for every package of this kind.
left='/etc/evercert /etc/evercert/evercertd.toml.rpmnew /etc/evercert/evercertd.toml.rpmsave /var/lib/evercert'
check 'what is left is the certificates, the configuration that was changed, and the state' diff <(rests) <(printf '%s\n' "$left")

printf '%s passed, 0 failed\n' "$passed"
