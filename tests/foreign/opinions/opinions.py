"""Second opinions: what evercertd, zlint and pkilint say of the same leaves, which are made here.

opinions.py EVERCERTD ZLINT DIRECTORY. A finding belongs to a topic of topics.toml; a topic that some tell and others do not is a difference,
whose reason is listed there. A finding without a topic, and a difference without a reason, fail.
"""

import collections, datetime, ipaddress, json, pathlib, subprocess, sys, tomllib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku, NameOID, ObjectIdentifier
from pkilint import loader, pkix
from pkilint.pkix import certificate, extension, name
from pkilint.validation import ValidationFindingSeverity as Severity

LEAVES = 300
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
DAY = datetime.timedelta(days=1)


def named(common): return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


ROOT_KEY, OTHER_KEY, KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
ROOT_ID = x509.SubjectKeyIdentifier.from_public_key(ROOT_KEY.public_key())


def usages(**wanted):
    names = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"]
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in names})


ROOT = (x509.CertificateBuilder().subject_name(named("root")).issuer_name(named("root")).serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 100 * DAY).not_valid_after(NOW + 1000 * DAY).public_key(ROOT_KEY.public_key())
        .add_extension(x509.BasicConstraints(True, None), True).add_extension(usages(key_cert_sign=True, crl_sign=True), True)
        .add_extension(ROOT_ID, False).sign(ROOT_KEY, hashes.SHA256()))


class Leaf:
    """A leaf without a defect, of which each kind changes something."""

    def __init__(self, number):
        self.serial = x509.random_serial_number()
        self.span = (NOW - DAY, NOW + (30 + number % 60) * DAY)
        self.subject, self.key, self.signer, self.hash = named("a.example.org"), KEY, ROOT_KEY, hashes.SHA256()
        self.extensions = {
            "san": (x509.SubjectAlternativeName([x509.DNSName(f"a{number}.example.org")]), False),
            "ku": (usages(digital_signature=True), True),
            "eku": (x509.ExtendedKeyUsage([Eku.SERVER_AUTH, Eku.CLIENT_AUTH]), False),
            "aki": (x509.AuthorityKeyIdentifier(ROOT_ID.digest, None, None), False),
            "ski": (x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False),
        }

    def issue(self):
        builder = (x509.CertificateBuilder().subject_name(self.subject).issuer_name(ROOT.subject).serial_number(self.serial)
                   .not_valid_before(self.span[0]).not_valid_after(self.span[1]).public_key(self.key.public_key()))
        for value, critical in self.extensions.values():
            builder = builder.add_extension(value, critical)
        return builder.sign(self.signer, self.hash)


def sets(**changes): return lambda leaf: leaf.__dict__.update(changes)
def has(**changes): return lambda leaf: leaf.extensions.update(changes)
def lacks(key): return lambda leaf: leaf.extensions.pop(key)
def san(*names, critical=False): return has(san=(x509.SubjectAlternativeName(list(names)), critical))


KINDS = {
    "good": lambda leaf: None,
    "expired": sets(span=(NOW - 9 * DAY, NOW - DAY)),
    "not-yet-valid": sets(span=(NOW + DAY, NOW + 9 * DAY)),
    "long-lived": sets(span=(NOW - DAY, NOW + 900 * DAY)),
    "renewal-overdue": sets(span=(NOW - 90 * DAY, NOW + 3 * DAY)),
    "serial-too-long": sets(serial=(1 << 158) + 1),
    "no-name": lacks("san"),
    "spiffe": san(x509.UniformResourceIdentifier("spiffe://example.org/a")),
    "two-spiffe-ids": san(*(x509.UniformResourceIdentifier(f"spiffe://example.org/{x}") for x in "ab")),
    "ip-address": san(x509.IPAddress(ipaddress.ip_address("10.0.0.1"))),
    "underscore": san(x509.DNSName("a_b.example.org")),
    "wildcard": san(x509.DNSName("*.example.org")),
    "critical-names": san(x509.DNSName("a.example.org"), critical=True),
    "no-key-usage": lacks("ku"),
    "key-usage-not-critical": has(ku=(usages(digital_signature=True), False)),
    "key-usage-lacks-signature": has(ku=(usages(key_agreement=True), True)),
    "may-sign": has(ku=(usages(digital_signature=True, key_cert_sign=True), True)),
    "no-extended-key-usage": lacks("eku"),
    "any-usage": has(eku=(x509.ExtendedKeyUsage([Eku.ANY_EXTENDED_KEY_USAGE]), False)),
    "code-signing": has(eku=(x509.ExtendedKeyUsage([Eku.CODE_SIGNING]), False)),
    "ca-as-the-leaf": has(bc=(x509.BasicConstraints(True, None), True), ku=(usages(digital_signature=True, key_cert_sign=True), True)),
    "no-authority-key-identifier": lacks("aki"),
    "no-subject-key-identifier": lacks("ski"),
    "other-authority-key-identifier": has(aki=(x509.AuthorityKeyIdentifier(b"\1" * 20, None, None), False)),
    "foreign-signature": sets(signer=OTHER_KEY),
    "unknown-critical": has(x=(x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\5\0"), True)),
    "name-constraints": has(x=(x509.NameConstraints([x509.DNSName("example.org")], None), True)),
    "sha-512": sets(hash=hashes.SHA512()),
    "no-subject": sets(subject=x509.Name([])),
    "short-lived": sets(span=(NOW - DAY / 24, NOW + DAY / 12)),
}


def make(directory):
    for number in range(LEAVES):
        kind = list(KINDS)[number % len(KINDS)]
        leaf = Leaf(number)
        KINDS[kind](leaf)
        (directory / f"{kind}.{number}.pem").write_bytes(leaf.issue().public_bytes(serialization.Encoding.PEM))
    (directory / "ca.crt").write_bytes(ROOT.public_bytes(serialization.Encoding.PEM))


def by_evercertd(program, files):
    asked = subprocess.run([program, "check", "--usage", "server", "--format", "json", *files], capture_output=True, text=True)
    inputs = json.loads(asked.stdout)["inputs"]
    # All leaves here are of one key, whatever their names.
    told = [{told["check"] for told in judged["findings"] if told["severity"] != "info"} for judged in inputs]
    return [checks - {"key-shared"} for checks in told]


def by_zlint(program, files):
    asked = subprocess.run([program, *files], capture_output=True, text=True, check=True).stdout
    told = [json.loads(line) for line in asked.splitlines()]
    return [{lint for lint, result in of.items() if result["result"] in ("warn", "error", "fatal")} for of in told]


def by_pkilint(files):
    validators = certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [certificate.create_issuer_validator_container([]), certificate.create_validity_validator_container(),
         certificate.create_subject_validator_container([]), certificate.create_extensions_validator_container([])])
    def told(file):
        results = validators.validate(loader.load_pem_certificate(pathlib.Path(file).read_text(), file).root)
        return {finding.finding.code for result in results for finding in result.finding_descriptions
                if finding.finding.severity <= Severity.WARNING}
    return [told(file) for file in files]


def main():
    evercertd, zlint, directory = sys.argv[1:]
    directory = pathlib.Path(directory)
    make(directory)
    files = sorted(str(file) for file in directory.glob("*.pem"))
    said = {"evercertd": by_evercertd(evercertd, files), "zlint": by_zlint(zlint, files), "pkilint": by_pkilint(files)}
    for who, told in said.items():
        assert len(told) == LEAVES == len(files), (who, len(told))
    topics = tomllib.loads((pathlib.Path(__file__).parent / "topics.toml").read_text())
    topic_of = {(who, finding): topic for topic, of in topics.items() for who in said for finding in of.get(who, [])}
    unknown, unlisted, differences, seen = collections.Counter(), collections.Counter(), collections.Counter(), set()
    for number, file in enumerate(files):
        kind = pathlib.Path(file).name.split(".")[0]
        tellers = collections.defaultdict(set)
        for who, told in said.items():
            for finding in told[number]:
                seen.add((who, finding))
                if topic := topic_of.get((who, finding)):
                    tellers[topic].add(who)
                else:
                    unknown[f"{who} {finding} of {kind}"] += 1
        for topic, who in tellers.items():
            for silent in set(said) - who:
                difference = f"{topic}: {silent} is silent, of {kind}"
                differences[difference] += 1
                if silent not in topics[topic].get("silent", {}):
                    unlisted[difference] += 1
    for title, of in [("no topic", unknown), ("no reason", unlisted)]:
        for what, count in sorted(of.items()):
            print(f"{title}: {what} ({count} leaves)")
    gone = sorted(f"{who} {finding}" for who, finding in topic_of if (who, finding) not in seen)
    for what in gone:
        print(f"listed, but never said: {what}")
    print(f"{LEAVES} leaves of {len(KINDS)} kinds, {len(differences)} kinds of differences, {len(unknown) + len(unlisted) + len(gone)} not listed")
    sys.exit(bool(unknown or unlisted or gone))


main()
