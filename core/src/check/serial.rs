//! Serial numbers that some peers, or some CAs' own tools, do not take (RFC 5280 §4.1.2.2).

use super::Case;
use super::findings::Findings;
use super::lineage::name_in_chain;
use crate::finding::{Check, Finding, Severity};
use crate::loading;

/// The most octets that a serial number may have.
const LIMIT: usize = 20;

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let mut numbered = case.certificates.iter().zip(1..);
    let found = numbered.find_map(|(certificate, number)| {
        Some((certificate, number, fault(certificate.tbs_certificate.raw_serial())?))
    });
    let Some((certificate, number, fault)) = found else { return };
    let whose = match number {
        1 => "the leaf".to_owned(),
        _ => name_in_chain(certificate, number, case.files.chain()),
    };
    let sentence = format!("the serial number of {whose} {fault}; have it issued again");
    findings.add(Finding::new(Check::SerialNumber, Severity::Warn, sentence).in_file(case.files.chain()));
}

/// What is odd about a serial number that can be read.
fn fault(serial: &[u8]) -> Option<&'static str> {
    match serial {
        [0x80..=0xff, ..] if loading::is_minimal(serial) => {
            Some("is negative, and peers written in Go refuse a chain with such a certificate")
        }
        [0] => Some("is zero, which no CA may give, and by which it cannot be revoked for sure"),
        _ if serial.len() > LIMIT => Some("has more than 20 octets, and not every peer and no CRL has to take it"),
        _ => None,
    }
}
