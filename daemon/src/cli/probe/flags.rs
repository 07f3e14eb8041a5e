//! Flags as Go's package flag reads them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::time::Duration;

use clap::{Arg, Args as _, Command};
use jiff::SignedDuration;

use super::Args;

/// The words of a command line with the flags of `probe` as clap reads them: one dash in front of a name is as good as two, and a value may
/// follow as a word of its own, whatever it begins with. `None`: it is another command's.
pub(in crate::cli) fn as_words(words: &[OsString]) -> Option<Vec<OsString>> {
    let [program, command, rest @ ..] = words else { return None };
    if command != "probe" {
        return None;
    }
    let known = Args::augment_args(Command::new("probe"));
    let mut read = vec![program.clone(), command.clone()];
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        let Some(flag) = flag(word) else {
            read.push(word.clone());
            continue;
        };
        let (name, given) = match flag.iter().position(|byte| *byte == b'=') {
            Some(at) => (&flag[..at], Some(&flag[at + 1..])),
            None => (flag, None),
        };
        let dashed = |name: &[u8]| OsString::from_vec([b"--", name].concat());
        match (given, takes_a_value(&known, name)) {
            (None, Some(true)) => {
                let value = rest.next().map(|value| [b"=", value.as_bytes()].concat());
                read.push(dashed(&[name, &value.unwrap_or_default()].concat()));
            }
            (Some(given), Some(false)) => match boolean(given) {
                Some(is_on) => {
                    read.retain(|earlier| *earlier != dashed(name));
                    read.extend(is_on.then(|| dashed(name)));
                }
                None => read.push(dashed(flag)),
            },
            _ => read.push(dashed(flag)),
        }
    }
    Some(read)
}

/// The name of a flag and what is behind it, without the dashes; `None` for what is none.
fn flag(word: &OsStr) -> Option<&[u8]> {
    let one = word.as_bytes().strip_prefix(b"-")?;
    let name = one.strip_prefix(b"-").unwrap_or(one);
    (!name.is_empty() && !name.starts_with(b"-")).then_some(name)
}

/// Whether a flag takes a value; `None` for one that is not known.
fn takes_a_value(known: &Command, name: &[u8]) -> Option<bool> {
    let is_it = |arg: &&Arg| arg.get_long().is_some_and(|long| long.as_bytes() == name);
    known.get_arguments().find(is_it).map(|arg| arg.get_action().takes_values())
}

/// What Go's `strconv.ParseBool` takes.
fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"FALSE" | b"false" | b"False" => Some(false),
        _ => None,
    }
}

/// A duration such as 1s, 500ms or 1m30s, longer than nothing.
pub(super) fn duration(text: &str) -> Result<Duration, NotADuration> {
    let duration = text.parse::<SignedDuration>().map_err(|_| NotADuration)?;
    Duration::try_from(duration).ok().filter(|duration| !duration.is_zero()).ok_or(NotADuration)
}

#[derive(Debug, thiserror::Error)]
#[error("write a duration that is longer than nothing, such as 500ms, 1s or 1m30s")]
pub(super) struct NotADuration;

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Option<Vec<OsString>> {
        as_words(&line.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn one_dash_is_as_good_as_two_and_a_value_may_be_a_word_of_its_own() {
        let read = words(&["evercertd", "probe", "-addr=:1", "--service", "-a", "-tls", "-tls-ca-cert", "f", "-v"]);
        let expected = ["evercertd", "probe", "--addr=:1", "--service=-a", "--tls", "--tls-ca-cert=f", "--v"];
        assert_eq!(read.unwrap(), expected.map(OsString::from));
        let read = words(&["evercertd", "probe", "x", "-", "--", "-rpc-header", "a: b", "-unheard=of", "-addr"]);
        let expected = ["evercertd", "probe", "x", "-", "--", "--rpc-header=a: b", "--unheard=of", "--addr"];
        assert_eq!(read.unwrap(), expected.map(OsString::from));
    }

    #[test]
    fn a_flag_without_a_value_may_say_that_it_is_off() {
        let read = words(&["evercertd", "probe", "-tls", "-v=T", "-gzip=0", "-tls=false", "-version=maybe"]);
        assert_eq!(read.unwrap(), ["evercertd", "probe", "--v", "--version=maybe"].map(OsString::from));
    }

    #[test]
    fn other_commands_are_left_alone() {
        assert_eq!(words(&["evercertd", "status", "-addr"]), None);
        assert_eq!(words(&["evercertd"]), None);
    }

    #[test]
    fn a_duration_is_read_as_go_writes_it_and_is_longer_than_nothing() {
        for (text, millis) in [("1s", 1000), ("500ms", 500), ("1m30s", 90_000), ("1.5s", 1500), ("2h", 7_200_000)] {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["", "5", "0s", "-1s", "soon", "1 fortnight"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
