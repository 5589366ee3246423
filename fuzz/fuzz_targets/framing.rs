//! Any octets as a stream, whole and in pieces: the same messages, the same replies, nothing lost or made up.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use steerd::io::framing::{MAX_MESSAGE, PREFIX, Stop, StreamAction, answer, begins_with_frame};

/// Queries a turn may answer: small, so that turns end for want of them too.
const QUERIES: u32 = 3;

/// Echoes every message of a stream that arrives in pieces of `size` octets; what came out, and why it ended.
fn echo(octets: &[u8], size: usize, stage: &mut [u8]) -> (Vec<u8>, Option<Stop>) {
    let peer = SocketAddr::from(([127, 0, 0, 1], 5300));
    let (mut held, mut out) = (Vec::new(), Vec::new());
    for piece in octets.chunks(size) {
        held.extend_from_slice(piece);
        while begins_with_frame(&held) {
            let mut queries_left = QUERIES;
            let done = answer(&held, peer, stage, &mut queries_left, &mut |_, message, reply| {
                reply[..message.len()].copy_from_slice(message);
                StreamAction::Reply(message.len())
            });
            out.extend_from_slice(&stage[..done.staged]);
            held.drain(..done.consumed);
            if done.stop.is_some() {
                return (out, done.stop);
            }
            assert!(done.consumed > 0, "a whole frame is answered or refused");
        }
    }
    (out, None)
}

fuzz_target!(|octets: &[u8]| {
    let mut stage = vec![0; 2 * (PREFIX + MAX_MESSAGE)];
    let whole = echo(octets, octets.len().max(1), &mut stage);
    assert_eq!(whole.0, octets[..whole.0.len()], "every message comes back as it went in");
    for size in [1, 2, 7, 1 + usize::from(octets.first().copied().unwrap_or(0))] {
        assert_eq!(echo(octets, size, &mut stage), whole, "in pieces of {size}");
    }
});
