//! How the kubelet writes the UID of a pod.

/// Whether `text` is the UID of a pod: a UUID in lowercase, or, of a static pod, 32 hexadecimal digits.
pub(super) fn is_uid(text: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let lengths: Vec<_> = text.split('-').map(str::len).collect();
    (lengths == [8, 4, 4, 4, 12] || lengths == [32]) && text.split('-').all(is_hex)
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
