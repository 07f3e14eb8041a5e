//! How the kubelet writes the UID of a pod.

/// The lengths of the parts of a UUID, in hexadecimal digits.
const UUID: [usize; 5] = [8, 4, 4, 4, 12];

/// The length of a static pod's UID: an MD5 in hexadecimal digits.
const DIGEST: [usize; 1] = [32];

/// Whether `text` is the UID of a pod: a UUID in lowercase, or, of a static pod, 32 hexadecimal digits.
pub(crate) fn is_uid(text: &str) -> bool {
    let lengths = || text.split('-').map(str::len);
    let is_known = |byte: u8| matches!(byte, b'-' | b'0'..=b'9' | b'a'..=b'f');
    (lengths().eq(UUID) || lengths().eq(DIGEST)) && text.bytes().all(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_a_uuid_or_the_digest_of_a_static_pod() {
        assert!(is_uid("2c48913c-b29f-11e7-9350-020968147796"));
        assert!(is_uid("0123456789abcdef0123456789abcdef"));
        for bad in [
            "",
            "..",
            "2C48913C-b29f-11e7-9350-020968147796",
            "2c48913cb-29f-11e7-9350-020968147796",
            "2c48913c-b29f-11e7-9350-020968147796-",
            "2c48913c-b29f-11e7-9350-02096814779g",
            "0123456789abcdef0123456789abcde",
        ] {
            assert!(!is_uid(bad), "{bad}");
        }
    }
}
