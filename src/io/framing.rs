//! Messages on a stream, each behind its length in two octets (RFC 1035 §4.2.2, RFC 7766 §8), and their answers in the
//! same form. Pure: octets in, octets out.
//!
//! # Invariants
//! Never panics on any input; never reads past a frame, never writes past the stage.

use std::net::SocketAddr;

/// Longest message: its length has two octets (RFC 1035 §4.2.2).
pub const MAX_MESSAGE: usize = u16::MAX as usize;
/// Shortest message to which there is anything to answer: a whole header (RFC 1035 §4.1.1).
pub const MIN_MESSAGE: usize = 12;
/// The length before a message.
pub const PREFIX: usize = 2;
/// What the caller makes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamAction {
    /// Send the first so many octets of the reply buffer, at most [`MAX_MESSAGE`].
    Reply(usize),
    /// Send what is owed for earlier messages, then close.
    Close,
}

/// Why nothing more of a stream is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The caller asked for it.
    Caller,
    /// A message too short to be one.
    Short,
}

/// Whether a frame stands whole at the front, or one that will be refused for its length alone.
pub fn begins_with_frame(input: &[u8]) -> bool {
    match input.first_chunk() {
        Some(length) => {
            let length = usize::from(u16::from_be_bytes(*length));
            length < MIN_MESSAGE || input.len() >= PREFIX + length
        }
        None => false,
    }
}

/// What became of the frames at the front of some octets.
#[derive(Debug, PartialEq, Eq)]
pub struct Answered {
    /// Octets that are done with.
    pub consumed: usize,
    /// Octets of replies, with their prefixes, at the front of the stage.
    pub staged: usize,
    /// Why nothing behind them is to be answered, if so.
    pub stop: Option<Stop>,
}

/// Has `handler` answer the frames at the front of `input`, in order, while queries are left and a largest reply fits.
pub fn answer<H>(
    input: &[u8],
    peer: SocketAddr,
    stage: &mut [u8],
    queries_left: &mut u32,
    handler: &mut H,
) -> Answered
where
    H: FnMut(SocketAddr, &[u8], &mut [u8]) -> StreamAction,
{
    let mut done = Answered { consumed: 0, staged: 0, stop: None };
    while *queries_left > 0 && done.stop.is_none() {
        let Some(room) = stage.get_mut(done.staged..done.staged + PREFIX + MAX_MESSAGE) else { break };
        let Some((prefix, rest)) = input[done.consumed..].split_first_chunk::<PREFIX>() else { break };
        let length = usize::from(u16::from_be_bytes(*prefix));
        if length < MIN_MESSAGE {
            done.stop = Some(Stop::Short);
            break;
        }
        let Some(message) = rest.get(..length) else { break };
        done.consumed += PREFIX + length;
        *queries_left -= 1;
        let (reply_prefix, reply) = room.split_at_mut(PREFIX);
        match handler(peer, message, reply) {
            StreamAction::Reply(length) => match u16::try_from(length) {
                Ok(octets) => {
                    reply_prefix.copy_from_slice(&octets.to_be_bytes());
                    done.staged += PREFIX + length;
                }
                Err(_) => done.stop = Some(Stop::Caller),
            },
            StreamAction::Close => done.stop = Some(Stop::Caller),
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAGE: usize = 64 * 1024 + PREFIX + MAX_MESSAGE;

    fn peer() -> SocketAddr {
        "127.0.0.1:1".parse().unwrap()
    }

    fn frame(message: &[u8]) -> Vec<u8> {
        let mut frame = (message.len() as u16).to_be_bytes().to_vec();
        frame.extend_from_slice(message);
        frame
    }

    fn echo(_: SocketAddr, message: &[u8], reply: &mut [u8]) -> StreamAction {
        reply[..message.len()].copy_from_slice(message);
        StreamAction::Reply(message.len())
    }

    fn run(input: &[u8], queries: u32) -> (Answered, Vec<u8>, u32) {
        let mut stage = vec![0; STAGE];
        let mut left = queries;
        let done = answer(input, peer(), &mut stage, &mut left, &mut echo);
        stage.truncate(done.staged);
        (done, stage, left)
    }

    #[test]
    fn whole_frames_are_answered_in_order_and_a_partial_one_is_left() {
        let mut input = [frame(&[1; 12]), frame(&[2; 40])].concat();
        let whole = input.clone();
        input.extend_from_slice(&frame(&[3; 12])[..13]);
        let (done, stage, left) = run(&input, 9);
        assert_eq!(done, Answered { consumed: whole.len(), staged: whole.len(), stop: None });
        assert_eq!((stage, left), (whole, 7));
    }

    #[test]
    fn a_frame_shorter_than_a_header_ends_the_stream_after_the_replies_before_it() {
        for length in [0, 11] {
            let first = frame(&[1; 12]);
            let (done, stage, _) = run(&[first.clone(), frame(&vec![9; length])].concat(), 9);
            assert_eq!((done.stop, stage), (Some(Stop::Short), first));
        }
    }

    #[test]
    fn the_longest_message_fits_and_a_stage_never_overflows() {
        let input = frame(&[5; MAX_MESSAGE]).repeat(3);
        let (done, stage, left) = run(&input, 9);
        assert_eq!((done.consumed, left), (PREFIX + MAX_MESSAGE, 8), "a second largest reply might not fit");
        assert_eq!(stage, frame(&[5; MAX_MESSAGE]));
    }

    #[test]
    fn a_reply_longer_than_a_prefix_can_say_ends_the_stream() {
        let mut stage = vec![0; STAGE];
        let too_long = &mut |_: SocketAddr, _: &[u8], _: &mut [u8]| StreamAction::Reply(MAX_MESSAGE + 1);
        let done = answer(&frame(&[1; 12]), peer(), &mut stage, &mut 1, too_long);
        assert_eq!((done.staged, done.stop), (0, Some(Stop::Caller)));
    }

    proptest! {
        #[test]
        fn any_octets_give_the_frames_a_plain_reading_gives(
            input in prop::collection::vec(prop_oneof![Just(0u8), Just(12u8), any::<u8>()], 0..400),
            queries in 0u32..6,
        ) {
            let (done, stage, left) = run(&input, queries);
            let mut rest = &input[..];
            let mut expected = Vec::new();
            let mut stop = None;
            for _ in 0..queries {
                let Some(prefix) = rest.first_chunk::<2>() else { break };
                let length = usize::from(u16::from_be_bytes(*prefix));
                if length < 12 {
                    stop = Some(Stop::Short);
                    break;
                }
                if rest.len() < 2 + length {
                    break;
                }
                expected.extend_from_slice(&rest[..2 + length]);
                rest = &rest[2 + length..];
            }
            prop_assert_eq!(done.consumed, expected.len());
            prop_assert_eq!(done.stop, stop);
            prop_assert_eq!(stage, expected);
            prop_assert!(left <= queries);
            prop_assert_eq!(begins_with_frame(rest), stop.is_some() || (left == 0 && begins_with_frame(rest)));
        }
    }
}
