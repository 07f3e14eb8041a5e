use super::*;

const CERTIFICATE: Label = Label(Some("CERTIFICATE"));

fn read(text: impl AsRef<[u8]>) -> Result<Vec<(&'static str, Vec<u8>)>, Damage> {
    let blocks = blocks(text.as_ref()).map(|block| block.map(|block| (block.label, block.der.to_vec())));
    blocks.collect::<Result<_, _>>().map_err(|error| error.damage)
}

/// A certificate and a CRL with text around them.
const TEXT: &str = "subject=/CN=x\n-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\nand\n\
                    -----BEGIN X509 CRL-----\nBA==\n-----END X509 CRL-----\n.";

fn expected() -> Vec<(&'static str, Vec<u8>)> {
    vec![("CERTIFICATE", vec![1, 2, 3]), ("X509 CRL", vec![4])]
}

#[test]
fn blocks_are_found_among_other_text() {
    for text in [
        TEXT.to_owned(),
        TEXT.replace('\n', "\r\n"),
        TEXT.replace('\n', "\r"),
        TEXT.replace('\n', " \t\n"),
        format!("\u{feff}{}", &TEXT[14..]),
        TEXT.replace("\n-----BEGIN", "\n\t-----BEGIN"),
        TEXT.replace("\n-----BEGIN", "\nca=\"-----BEGIN"),
        TEXT.replace("-----BEGIN", "\0\0\u{feff}-----BEGIN"),
        TEXT.replace("\n-----BEGIN", "\n--------BEGIN"),
    ] {
        assert_eq!(read(&text), Ok(expected()), "{text}");
    }
}

#[test]
fn blocks_that_lost_their_line_breaks_are_read_all_the_same() {
    for instead in ["", " ", "\\n", "\\r\\n", "\\\\n"] {
        assert_eq!(read(TEXT.replace('\n', instead)), Ok(expected()), "{instead:?}");
    }
    let glued =
        "-----BEGIN CERTIFICATE-----AQID-----END CERTIFICATE----------BEGIN X509 CRL-----BA==-----END X509 CRL-----";
    assert_eq!(read(glued), Ok(expected()));
}

#[test]
fn a_block_may_be_empty_or_have_headers() {
    for content in ["", "\n", "\n\n"] {
        let text = format!("-----BEGIN CERTIFICATE-----{content}-----END CERTIFICATE-----");
        assert_eq!(read(&text), Ok(vec![("CERTIFICATE", Vec::new())]), "{text}");
    }
    let text = "-----BEGIN CERTIFICATE-----\nX: y\n\nAQID\n-----END CERTIFICATE-----";
    assert_eq!(read(text), Ok(vec![("CERTIFICATE", vec![1, 2, 3])]));
}

#[test]
fn a_block_that_is_cut_off_is_an_error() {
    for text in [
        "-----BEGIN CERTIFICATE-----\nAQID\n",
        "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE--",
        "-----BEGIN CERTIFICATE-----\nAQ",
        "-----BEGIN CERTIFICATE-----\nAQID\n-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n",
    ] {
        assert_eq!(read(text), Err(Damage::Unterminated(CERTIFICATE)), "{text}");
    }
    assert_eq!(read("-----BEGIN CERTIF"), Err(Damage::Boundary));
    assert_eq!(read("AQID\n-----END CERTIFICATE-----\n"), Err(Damage::StrayEnd(CERTIFICATE)));
}

#[test]
fn a_block_that_is_damaged_is_an_error_with_its_line() {
    for content in ["AQI", "AQ!D", "AQID=", "=", "AQIDBA=", "A\\QID", "# AQID", "AQ\0ID"] {
        let text = format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n");
        assert_eq!(read(text), Err(Damage::NotBase64(CERTIFICATE)), "{content}");
    }
    let text = "-----BEGIN CERTIFICATE-----\nAQID\n-----END X509 CRL-----\n";
    assert_eq!(read(text), Err(Damage::Mismatched { begin: CERTIFICATE, end: Label(Some("X509 CRL")) }));
    let line = |text: &str| blocks(text.as_bytes()).find_map(Result::err).unwrap().line;
    assert_eq!(line("\n\n-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"), 3);
    assert_eq!(line(&format!("{TEXT}\n\n-----END CERTIFICATE-----\n")), 11);
    assert_eq!(line(&format!("{TEXT}\n\nBEGIN CERTIFICATE\n").replace('\n', "\r\n")), 11);
}

#[test]
fn an_encrypted_block_says_so_and_the_next_is_read() {
    let block = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAQID\n-----END RSA PRIVATE KEY-----\n";
    for block in [block.to_owned(), block.replace('\n', "")] {
        let text = format!("{block}{TEXT}");
        let read: Vec<_> = blocks(text.as_bytes()).map(|block| block.map(|block| block.label)).collect();
        assert_eq!(
            read,
            [
                Err(PemError { line: 1, damage: Damage::Encrypted(Label(Some("RSA PRIVATE KEY"))) }),
                Ok("CERTIFICATE"),
                Ok("X509 CRL")
            ]
        );
    }
}

#[test]
fn ten_thousand_encrypted_blocks_are_told_with_their_lines_in_no_time() {
    let block = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n-----END RSA PRIVATE KEY-----\n";
    for text in [block.repeat(10_000), block.repeat(10_000).replace('\n', "\r")] {
        let start = std::time::Instant::now();
        let lines: Vec<_> = blocks(text.as_bytes()).map(|block| block.err().unwrap().line).collect();
        assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!(lines.len(), 10_000);
        assert!(lines.iter().enumerate().all(|(i, line)| *line == 3 * i + 1));
    }
}

#[test]
fn a_label_that_is_not_known_is_damage_and_is_not_shown() {
    for label in ["CERTIFCATE", "EC PRIVATE KEYMHCCAQEEI", "A"] {
        let text = format!("-----BEGIN {label}-----\nAQID\n-----END {label}-----\n");
        assert_eq!(read(&text), Err(Damage::UnknownLabel), "{label}");
        let ends = format!("-----END {label}-----");
        let shown = blocks(ends.as_bytes()).find_map(Result::err).unwrap().to_string();
        assert!(
            shown.starts_with("in line 1, there is the END line of a PEM block of an unknown kind without"),
            "{shown}"
        );
    }
    for label in ["EC PRIVATE KEYMHcCAQ", "", "certificate"] {
        let text = format!("-----BEGIN {label}-----\nAQID\n-----END {label}-----\n");
        assert_eq!(read(&text), Err(Damage::Boundary), "{label}");
    }
}

/// The same certificate with something done to its lines, after one that is whole.
fn after_a_whole_one(disturb: impl Fn(&str) -> String) -> String {
    let base64 = format!("MII{}", "B7x+/Q".repeat(30));
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let body = lines.join("\n");
    let certificate = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    format!("-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n{}", disturb(&certificate))
}

#[test]
fn what_looks_like_a_block_and_is_none_is_damage() {
    type Disturb = fn(&str) -> String;
    let disturb: [Disturb; 16] = [
        |text| text.replace("-----", "====="),
        |text| text.replacen("-----BEGIN", "\u{2014}---BEGIN", 1),
        |text| text.replace("-----", "\u{2013}\u{2013}"),
        |text| text.replace("-----", "----"),
        |text| text.replace("-----", ""),
        |text| text.replace("-----", "----- "),
        |text| text.replace("BEGIN ", "BEGIN"),
        |text| text.replace("BEGIN", "BEGN").replace("END", "EDN"),
        |text| text.to_lowercase(),
        |text| text.lines().skip(1).collect::<Vec<_>>().join("\n"),
        |text| text.lines().take(3).collect::<Vec<_>>().join("\n"),
        |text| text.lines().filter(|line| !line.contains("-----")).collect::<Vec<_>>().join("\n"),
        |text| text.lines().map(|line| format!("# {line}\n")).collect(),
        |text| text.lines().map(|line| format!("\"{line}\\n\"\n")).collect(),
        |text| text.chars().flat_map(|char| [char, '\0']).collect(),
        |text| text.replace("-----BEGIN", "-----BEGIN-"),
    ];
    for (i, disturb) in disturb.iter().enumerate() {
        let text = after_a_whole_one(disturb);
        assert!(read(&text).is_err(), "{i}: {text}");
    }
    let der = [TEXT.as_bytes(), &[0x30, 0x82, 1, 1, 0x30, 0x82, 1, 1]].concat();
    assert_eq!(read(der), Err(Damage::Der));
    let windows = [TEXT.as_bytes(), b"\n\x97\x97BEGIN CERTIFICATE\x97\x97\n"].concat();
    assert_eq!(read(windows), Err(Damage::Boundary));
}

/// Base64 of a certificate as it is, with and without digits in its first characters.
const BASE64: &str = "MIIC+TCCAeGgAwIBAgIULnTKKEqX1HG9/Iy6ZdrzHicf/TAwDQYJKoZIhvcNAQELBQAwDDEKMAgGA1UEAwwBeDAeFw0yNjExMjkwMjM5\
                      NDJaFw0yNjEyMjkwMjM5NDJaMAwxCjAIBgNVBAMMAXgwggEiMA0GCSqGSIb3DQEBAQUAA4IBDwAwggEKAoIBAQD5bcS2q7639OE7";

#[test]
fn a_block_that_lost_its_boundaries_is_damage_however_it_is_wrapped() {
    let wrapped = |text: &str, width| {
        text.as_bytes().chunks(width).map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect::<String>()
    };
    for width in [4, 10, 20, 48, 63, 64, 65, 76, 300] {
        for text in [BASE64.to_owned(), BASE64.replace('+', "-").replace('/', "_")] {
            let whole = wrapped(&text, width);
            assert_eq!(read(format!("{TEXT}\n{whole}")), Err(Damage::Base64), "{whole}");
            assert_eq!(read(format!("a\n{whole}=\n{TEXT}").replace('\n', "\r\n")), Err(Damage::Base64), "{whole}");
            if width < 100 {
                let rest: String = whole.lines().skip(1).map(|line| format!("{line}\n")).collect();
                assert_eq!(read(format!("{TEXT}\n{rest}")), Err(Damage::Base64), "{rest}");
            }
        }
    }
    let lines = format!("# one\n\n{}", wrapped(BASE64, 10));
    assert_eq!(blocks(format!("{lines}{TEXT}").as_bytes()).find_map(Result::err).map(|error| error.line), Some(3));
}

#[test]
fn a_certificate_in_hexadecimal_among_blocks_is_damage() {
    for hex in [
        "308202f9308201e1a0030201020214",
        "30820102020100028101001122334455",
        "30:82:02:F9:30:82:01:E1:A0:03:02:01:02:02:14",
        "00000000: 3082 02f9 3082 01e1 a003 0201 0202 142e  0...0...........",
        "00000000  30 82 02 f9 30 82 01 e1  a0 03 02 01 02 02 14 2e  |0...0...........|",
        "  0x30, 0x82, 0x02, 0xf9, 0x30, 0x82, 0x01, 0xe1, 0xa0, 0x03, 0x02, 0x01,",
    ] {
        assert_eq!(read(format!("{TEXT}\n{hex}\n")), Err(Damage::Hex), "{hex}");
    }
}

#[test]
fn binary_data_among_blocks_is_damage() {
    for binary in [b"\x1f\x8b\x08\0".as_slice(), b"\x30\x45\x02\x01", b"a\x7f"] {
        assert_eq!(read([TEXT.as_bytes(), binary].concat()), Err(Damage::Binary), "{binary:?}");
        assert_eq!(read([binary, TEXT.as_bytes()].concat()), Err(Damage::Binary), "{binary:?}");
    }
}

#[test]
fn comments_are_lawful_company() {
    for comment in [
        "Corporate Root CA\n=================",
        "# --- Begin CA certificates ---",
        "=== END OF CA LIST ===",
        "# BEGIN ANSIBLE MANAGED BLOCK\n# END ANSIBLE MANAGED BLOCK",
        "# the end certificate of the chain",
        "--------------------------------------------------------------------------",
        "# SHA256 3082AF12 fingerprint: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "# https://example.org/certs/roots/internal/production/main/Corporate/Root2/certificate",
        "Bag Attributes\n    friendlyName: x\n    localKeyID: 54 69 6D 65 20 31\nKey Attributes: <No Attributes>",
        "# pin-sha256=\"d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM=\"",
        "\u{e9}\u{96}\u{2014} caf\u{e9}",
        "Modulus=C0FFEE1234567890ABCDEF1234567890ABCDEF1234567890ABCDEF1234567890ABCDEF",
        "c0ffee1234567890ABCDEF1234567890abcdef1234567890abcdef1234567890abcdef",
        "3082af1234567890abcdef1234567890abcdef1234567890abcdef1234567890",
        "/etc/ssl/certs/Internal/RootCA2024/PrimaryIssuingCertificateAuthorityG2/bundle",
        "srv/Certs/Internal/RootCA2024/PrimaryIssuingCertificateAuthorityG2/bundle",
        "Primary-Issuing-Certificate-Authority-G2_Of-The-Internal-Root-CA-Of-2024-And-Later",
        "Some/Root\n/etc/R1/a\n/etc/R2/b\n/etc/R3/c\n/etc/R4/d\n/etc/R5/e\n/etc/R6/f",
        "MIMEContentTypeHandler MIGrationToTheNewRoot",
        "d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYkYVoZWmM=\nd6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYkYVoZWmM=",
        "##\n## Bundle of CA Root Certificates\n##\n## SHA256: 36105b01631f9fc03b1eca779b44a30a1a5890b9bf8dc07ccb001a07301e01cf\n##",
        "# Issuer: CN=Root O=Example\n# Label: \"Root\"\n# Serial: 123456789012345678901234567890\n\
         # SHA256 Fingerprint: 73:c1:76:43:4f:1b:c6:d5:ad:f4:5b:0e:76:e7:27:28:7c:8d:e5:76:16:c1:e6:e6:14:1a:2b:2c:bc:7d:8e:4c",
        "SHA1 Fingerprint=FD:4B:8D:6B:0F:3A:1E:7F:5A:AF:DF:4E:F1:BA:01:51:F1:6C:E2:93",
        "        Serial Number:\n            30:82:28:4a:97:d4:71:bd:fc:8c:ba:65:da:f3:1e:27:1f:fd:30\n                Modulus:\n\
         \x20                   00:f9:6d:c4:b6:ab:be:b7:f4:e1:3b:93:cc:8b:de:\n                    5e:87\n                Exponent: 65537 (0x10001)\n\
         \x20   Signature Value:\n        30:81:88:02:42:01:4f:17:d0:84:db:05:7b:9e:e7:6c:57:83:\n        b4:dd:9c:a8",
        "text\x0c\0\0\x0b\x1a",
    ] {
        let text = format!("{comment}\n{TEXT}\n{comment}\n");
        assert_eq!(read(&text), Ok(expected()), "{comment}");
    }
    let latin = [b"\xc3\x28 caf\xe9\n".as_slice(), TEXT.as_bytes(), b"\n\xff\xfe\n# \xe9\n"].concat();
    assert_eq!(read(latin), Ok(expected()));
}
