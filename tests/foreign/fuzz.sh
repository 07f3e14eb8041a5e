#!/usr/bin/env bash
# Fuzzes what is parsed: the targets that are named, or all, each for SECONDS_EACH seconds (default 30), from seeds made by openssl.
set -euo pipefail
cd "$(dirname "$0")/../.."

. tests/foreign/needs.bash
needs openssl=openssl
cargo fuzz --version >/dev/null 2>&1 || cargo install --debug --locked cargo-fuzz

seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
targets=(a43 cgroup check config files paths policy state token trust update)
for target in "${targets[@]}"; do mkdir "$seeds/$target"; done
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 9999 -subj /CN=a.example.org \
    -addext subjectAltName=DNS:a.example.org -keyout "$seeds/key" -out "$seeds/crt" 2>/dev/null
{ cat "$seeds/crt"; printf '\036'; cat "$seeds/key"; printf '\036'; cat "$seeds/crt"; } >"$seeds/files/pair"
{ openssl x509 -in "$seeds/crt" -outform DER; printf '\036'; openssl ec -in "$seeds/key" -outform DER 2>/dev/null; } >"$seeds/files/der"
# A bundle in every shape in which certificates come, after a pair.
bundle() { { cat "$seeds/crt"; printf '\036'; cat "$seeds/key"; printf '\036'; cat; } >"$seeds/files/bundle-$1"; }
{ cat "$seeds/crt"; openssl x509 -in "$seeds/crt" -trustout -addtrust serverAuth -addreject emailProtection; } | bundle trusted
{ cat "$seeds/crt"; openssl crl2pkcs7 -nocrl -certfile "$seeds/crt"; } | bundle pkcs7
openssl crl2pkcs7 -nocrl -certfile "$seeds/crt" -outform DER | bundle pkcs7-der
openssl x509 -in "$seeds/crt" -outform DER | bundle der
base64 -w0 "$seeds/crt" | bundle base64
iconv -f ASCII -t UTF-16 "$seeds/crt" | bundle utf-16
tr -d '\n' <"$seeds/crt" | bundle one-line
sed 's/-----/=====/' "$seeds/crt" | bundle damaged
openssl x509 -in "$seeds/crt" -outform DER >"$seeds/update/certificate"
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\ncrlnumber=%s/number\ndefault_md=sha256\ndefault_crl_days=9999\ncrl_extensions=e\n[e]\nissuingDistributionPoint=critical,@p\n[p]\nfullname=URI:http://crl.example.org/x\n' \
    "$seeds" "$seeds" >"$seeds/ca.conf"
echo 01 >"$seeds/number"
printf 'R\t491231235959Z\t260101000000Z,keyCompromise\t07\tunknown\t/CN=x\n' >"$seeds/index"
openssl ca -config "$seeds/ca.conf" -keyfile "$seeds/key" -cert "$seeds/crt" -gencrl -out "$seeds/crl" 2>/dev/null
{ cat "$seeds/crt"; printf '\036'; cat "$seeds/key"; printf '\036'; cat "$seeds/crt"; printf '\036'; cat "$seeds/crl"; } >"$seeds/files/crl"
{ openssl x509 -in "$seeds/crt" -outform DER; printf '\036'; openssl crl -in "$seeds/crl" -outform DER; printf '\036'
  openssl x509 -in "$seeds/crt" -outform DER; printf '\036'; openssl x509 -in "$seeds/crt" -outform DER; } >"$seeds/trust/crl"
claims='{"iss":"https://issuer.example.org","aud":%s,"sub":"alice","exp":1767225900,"iat":1767225600}'
printf '{"alg":"EdDSA","kid":"one","typ":"JWT"}\036'"$claims" '"payments"' >"$seeds/token/named"
printf '{"alg":"EdDSA"}\036'"$claims" '["orders","payments"]' >"$seeds/token/nameless"
printf '{"alg":"EdDSA","kid":"one","crit":["exp"]}\036'"$claims" '"payments","cnf":{"x5t#S256":"AAAA"}' >"$seeds/token/critical"
printf 'e30.e30.AAAA' >"$seeds/token/compact"
id=$(printf '0f1e2d3c4b5a6978%.0s' 1 2 3 4)
uid=2c48913c-b29f-11e7-9350-020968147796
printf '11:pids:/kubepods/burstable/pod%s/%s\n0::/\n' "$uid" "$id" >"$seeds/cgroup/groups"
printf '0::/kubepods.slice/kubepods-pod%s.slice/cri-containerd-%s.scope\n' "${uid//-/_}" "$id" >"$seeds/cgroup/slices"
printf '0::/../../pod%s/%s\n' "$uid" "$id" >"$seeds/cgroup/outside"
printf '11:pids:/docker/%s/kubepods/pod%s/%s\n' "$id" "$uid" "$id" >"$seeds/cgroup/prefixed"
printf '1:name=systemd:/system.slice/payments.service\n' >"$seeds/cgroup/unit"
printf '[methods]\n"/a.B/C" = ["admin", { scopes = ["a"], spiffe_ids = ["spiffe://example.org/ns/web/*"] }]\n"/a.B/*" = "anyone"\n' \
    >"$seeds/policy/table"
printf 'name: p\nclaims: { roles: realm_access.roles }\nmethods:\n  /a.B/C: [admin, { scopes: [a], spiffe_ids: ["spiffe://example.org/ns/web/*"] }]\n%s' \
    '  /a.B/*: anyone
deny:
- name: d
  methods: ["/*"]
  callers: { namespaces: [web], trust_domains: [example.org] }
  dry_run: true
' >"$seeds/policy/yaml"
printf 'name = "p"\naudit = "on-deny"\ndry_run = true\n[claims]\nroles = "realm_access.roles"\n[[deny]]\nname = "d"\nmethods = ["/*"]\n%s' \
    'callers = { trust_domains = ["example.org"], namespaces = ["web"], request_principals = ["https://a.org/*"] }
[[allow]]
name = "a"
methods = ["/a.B/C"]
callers = { when = [{ key = "request.auth.claims[a][b]", not_values = ["x"] }], token = true, certificate = true, dns_names = ["a.example.org"] }
' >"$seeds/policy/rules"
printf '{"name":"p","deny_rules":[{"name":"d","request":{"paths":["/pay.v1.Pay/*"],"headers":[{"key":"x-env","values":["dev*","*"]},{"key":"x-bin","values":["ab"]}]}}],"allow_rules":[{"name":"a","source":{"principals":["spiffe://example.org/*",""]}}],"audit_logging_options":{"audit_condition":"ON_DENY_AND_ALLOW","audit_loggers":[{"name":"stdout_logger","config":{"a":[1,null]},"is_optional":true}]}}' >"$seeds/a43/policy"
# What `check` is given, each by itself; a kubeconfig with all of it in base64.
cp "$seeds/crt" "$seeds/check/pem"
cp "$seeds/key" "$seeds/check/key"
cat "$seeds/crt" "$seeds/key" >"$seeds/check/both"
cp "$seeds/crl" "$seeds/check/crl"
openssl x509 -in "$seeds/crt" -outform DER >"$seeds/check/der"
openssl ec -in "$seeds/key" -outform DER >"$seeds/check/key-der" 2>/dev/null
openssl crl2pkcs7 -nocrl -certfile "$seeds/crt" -outform DER >"$seeds/check/pkcs7-der"
printf 'apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters:\n- name: c\n  cluster:\n    server: https://c.example.org\n    certificate-authority-data: %s\n%s' \
    "$(base64 -w0 "$seeds/crt")" "users:
- name: u
  user:
    client-certificate-data: $(base64 -w0 "$seeds/crt")
    client-key-data: $(base64 -w0 "$seeds/key")
contexts:
- {name: a, context: {cluster: c, user: u}}
" >"$seeds/check/kubeconfig"
printf 'kind: Config\nclusters: [{name: c, cluster: {certificate-authority: ca.crt}}]\nusers: []\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n' \
    >"$seeds/check/kubeconfig-files"
# The settings alone, those too that are written as examples.
sed -E '/^#( |$)/d; s/^#//; /^$/d' daemon/src/config/default.toml >"$seeds/config/default"
printf '[[identity]]\nname = "a"\npath = "/x"\nallow = ["uid:7", "readers"]\nserves = ["a.example.org:443"]\n[identity.severities]\nexpired = "warn"\n[[pods]]\nnamespace = "shop"\nusages = ["server auth"]\n' \
    >"$seeds/config/identities"
printf '{"version":1,"pods":{"%s":{"name":{"namespace":"shop","name":"cart-0"}}}}' "$uid" >"$seeds/state/names"
printf '{"version":1,"identities":{"x":{"digest":"%s","unix_ms":1767225600000}}}' "$id" >"$seeds/state/rotations"
printf '{"version":1,"identity":"x","bundle":"/x/ca.crt","anchors":[{"until_unix_ms":1767225600000,"certificate":"%s"}],"crls":["%s"]}' \
    "$(openssl x509 -in "$seeds/crt" -outform DER | base64 -w0)" "$(openssl crl -in "$seeds/crl" -outform DER | base64 -w0)" >"$seeds/state/overlap"
printf '/pay.v1.Pay/Charge\n/pay.v1.Pay/Refund\n*e\n/pay.v1.*\n/pay.v1.Pay/*\n*\n' >"$seeds/paths/patterns"

[ $# -gt 0 ] || set -- "${targets[@]}"
passed=0
for target in "$@"; do
    # What is ours here is safe Rust, in which the sanitizer of addresses has nothing to find.
    cargo fuzz run --fuzz-dir fuzz --sanitizer none "$target" "$seeds/$target" -- -max_total_time="${SECONDS_EACH:-30}" -max_len=16384 \
        -timeout=10 -verbosity=0
    passed=$((passed + 1))
done
printf '%s passed, 0 failed\n' "$passed"
