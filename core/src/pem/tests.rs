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
    ] {
        let text = format!("{comment}\n{TEXT}\n{comment}\n");
        assert_eq!(read(&text), Ok(expected()), "{comment}");
    }
    let latin = [b"\xc3\x28 caf\xe9\n".as_slice(), TEXT.as_bytes(), b"\n\xff\xfe\n# \xe9\n"].concat();
    assert_eq!(read(latin), Ok(expected()));
}
