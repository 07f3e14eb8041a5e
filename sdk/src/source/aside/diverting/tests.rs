use proptest::prelude::*;

use super::*;

const HEADERS: u8 = 1;

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &[0, 0, 0, 1], payload].concat()
}

fn prefixed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

/// The bytes passed on when read in pieces of these lengths, and those put aside.
fn diverted(read: &[u8], pieces: &[usize]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let aside = Aside::default();
    let mut frames = Frames::new(aside.clone());
    let mut passed = read.to_vec();
    let mut left = &mut passed[..];
    for piece in pieces.iter().cycle() {
        let (now, later) = left.split_at_mut(left.len().min(*piece));
        frames.divert(now).unwrap();
        left = later;
        if left.is_empty() {
            break;
        }
    }
    let put = std::iter::from_fn(|| aside.take()).map(|message| message.to_vec()).collect();
    (passed, put)
}

proptest! {
    #[test]
    fn messages_are_put_aside_whole_however_they_are_cut_into_frames_and_reads(
        messages in prop::collection::vec(prop::collection::vec(1..=u8::MAX, 0..40), 0..6),
        frames in prop::collection::vec(0_usize..20, 1..8),
        reads in prop::collection::vec(1_usize..30, 1..8),
    ) {
        let data: Vec<u8> = messages.iter().flat_map(|message| prefixed(message)).collect();
        let zeros: Vec<u8> = messages.iter().flat_map(|message| prefixed(&vec![0; message.len()])).collect();
        let lengths = frames.into_iter().chain([7]).collect::<Vec<_>>();
        let framed = |mut data: &[u8]| {
            let mut framed = frame(4, 0, b"settings");
            for length in lengths.iter().cycle() {
                let (payload, next) = data.split_at(data.len().min(*length));
                framed.extend(frame(DATA, 0, payload));
                framed.extend(frame(HEADERS, 0x4 | PADDED, b"what is no data passes"));
                data = next;
                if data.is_empty() {
                    break;
                }
            }
            framed
        };
        let (passed, put) = diverted(&framed(&data), &reads);
        prop_assert_eq!(passed, framed(&zeros));
        prop_assert_eq!(put, messages);
    }
}

#[test]
fn a_message_that_is_too_long_is_kept_nowhere() {
    let prefix = [&[0][..], &u32::try_from(MESSAGE_LIMIT + 1).unwrap().to_be_bytes()].concat();
    let (passed, put) = diverted(&frame(DATA, 0, &[&prefix[..], b"secret"].concat()), &[4]);
    assert_eq!(passed, frame(DATA, 0, &[&prefix[..], &[0; 6]].concat()));
    assert_eq!(put, Vec::<Vec<u8>>::new());
}

#[test]
fn padding_which_would_shift_what_is_put_aside_is_an_error() {
    let mut frames = Frames::new(Aside::default());
    assert!(frames.divert(&mut frame(DATA, PADDED, &[1, 0, 0])).is_err());
}
