//! The ceiling: the least a UDP server on ordinary sockets can do. `echo ADDRESS:PORT [--answers N] [--batch N] [--core N]`.
//!
//! Each query comes back with QR set and N A records (default 3) behind it, unread and unparsed; so a query with EDNS gets
//! its records behind its OPT record, and names that do not exist are answered too. One thread, UDP alone. It prints its
//! address once it is ready and runs until it is stopped. With `--batch` it receives and sends up to N
//! messages at once (recvmmsg, sendmmsg).
#![expect(clippy::print_stdout, reason = "a program whose result is what it prints")]

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use clap::Parser;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use nix::unistd::Pid;

/// Room for a query; answers come behind it.
const QUERY_OCTETS: usize = 1024;
/// A pointer to the name of the question (RFC 1035 §4.1.4), A, IN, TTL 60, and an address of TEST-NET-1.
const ANSWER: [u8; 16] = [0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];
const MAX_ANSWERS: usize = 16;
const BUFFER_OCTETS: usize = QUERY_OCTETS + MAX_ANSWERS * ANSWER.len();
const MAX_BATCH: usize = 64;

/// Sends queries back as answers.
#[derive(Parser)]
struct Arguments {
    /// IPv4 address and port; port 0 takes a free one.
    address: SocketAddr,
    /// A records in each answer.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=16))]
    answers: u8,
    /// Most queries received at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    batch: u8,
    /// Run on this core alone.
    #[arg(long)]
    core: Option<usize>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    if let Some(core) = arguments.core {
        let mut cores = CpuSet::new();
        cores.set(core)?;
        sched_setaffinity(Pid::from_raw(0), &cores)?;
    }
    let socket = UdpSocket::bind(arguments.address)?;
    println!("{}", socket.local_addr()?);
    match arguments.batch {
        1 => one_by_one(&socket, arguments.answers),
        batch => batches(&socket, arguments.answers, usize::from(batch)),
    }
}

fn one_by_one(socket: &UdpSocket, answers: u8) -> Result<(), Box<dyn std::error::Error>> {
    let mut buffer = [0; BUFFER_OCTETS];
    loop {
        let (len, client) = socket.recv_from(&mut buffer[..QUERY_OCTETS])?;
        let len = answer(&mut buffer, len, answers);
        // A client that has gone is none of our business.
        let _gone = socket.send_to(&buffer[..len], client);
    }
}

fn batches(socket: &UdpSocket, answers: u8, batch: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut headers = MultiHeaders::preallocate(batch, None);
    let mut reply_headers = MultiHeaders::preallocate(batch, None);
    let mut buffers = vec![[0; BUFFER_OCTETS]; batch];
    let mut lens = [0; MAX_BATCH];
    let mut clients = [None; MAX_BATCH];
    let fd = socket.as_raw_fd();
    loop {
        let count = receive(fd, &mut headers, &mut buffers, &mut lens, &mut clients)?;
        for (buffer, len) in buffers.iter_mut().zip(&mut lens[..count]) {
            *len = answer(buffer, *len, answers);
        }
        let slices: [[IoSlice<'_>; 1]; MAX_BATCH] = std::array::from_fn(|at| {
            [IoSlice::new(buffers.get(at).map_or(&[], |buffer| &buffer[..lens[at]]))]
        });
        // A client that has gone is none of our business.
        let _gone = sendmmsg(fd, &mut reply_headers, &slices[..count], clients, [], MsgFlags::empty());
    }
}

/// Waits for one query and takes those that are there with it; their number.
fn receive(
    fd: i32,
    headers: &mut MultiHeaders<SockaddrIn>,
    buffers: &mut [[u8; BUFFER_OCTETS]],
    lens: &mut [usize; MAX_BATCH],
    clients: &mut [Option<SockaddrIn>; MAX_BATCH],
) -> nix::Result<usize> {
    let mut slices: [[IoSliceMut<'_>; 1]; MAX_BATCH] = std::array::from_fn(|_| [IoSliceMut::new(&mut [])]);
    let count = buffers.len();
    for (slice, buffer) in slices.iter_mut().zip(buffers) {
        *slice = [IoSliceMut::new(&mut buffer[..QUERY_OCTETS])];
    }
    let mut at = 0;
    for message in recvmmsg(fd, headers, &mut slices[..count], MsgFlags::MSG_WAITFORONE, None)? {
        (lens[at], clients[at]) = (message.bytes, message.address);
        at += 1;
    }
    Ok(at)
}

/// Turns the query at the start of the buffer into an answer; its length.
fn answer(buffer: &mut [u8; BUFFER_OCTETS], len: usize, answers: u8) -> usize {
    // QR and AA.
    buffer[2] |= 0x84;
    buffer[7] = answers;
    for (record, octets) in buffer[len..].chunks_exact_mut(ANSWER.len()).zip(0..answers) {
        record.copy_from_slice(&ANSWER);
        record[ANSWER.len() - 1] = octets + 1;
    }
    len + usize::from(answers) * ANSWER.len()
}
