//! TCP listeners to be probed: `backend SECONDS FLAP_MS ADDRESS...` listens on one free port of all addresses, prints the
//! port, accepts and closes, and ends after SECONDS. With FLAP_MS above 0 the last address stops listening for that long,
//! listens for that long, and so on. The address 0.0.0.0 listens for all of 127.0.0.0/8.
#![expect(clippy::print_stdout, reason = "a program whose result is what it prints")]

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

/// How often a port chosen for the first address is given up because another address has it taken.
const PORT_ATTEMPTS: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seconds, flap_ms, addresses @ ..] = &arguments[..] else {
        return Err("usage: backend SECONDS FLAP_MS ADDRESS...".into());
    };
    let end = Instant::now() + Duration::from_secs(seconds.parse()?);
    let flap = Duration::from_millis(flap_ms.parse()?);
    let addresses: Vec<Ipv4Addr> = addresses.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let mut listeners = bind(&addresses)?;
    println!("{}", listeners.first().ok_or("no address")?.local_addr()?.port());
    let flapping = if flap.is_zero() { None } else { listeners.pop() };
    for listener in listeners {
        // Connections are closed as soon as they are accepted: to connect is all that the probe asks.
        std::thread::spawn(move || listener.incoming().for_each(drop));
    }
    match flapping {
        Some(listener) => run_flapping(listener, flap, end)?,
        None => std::thread::sleep(end.saturating_duration_since(Instant::now())),
    }
    Ok(())
}

/// Listeners on one port of all addresses.
fn bind(addresses: &[Ipv4Addr]) -> io::Result<Vec<TcpListener>> {
    let mut last = io::Error::other("no address");
    for _ in 0..PORT_ATTEMPTS {
        let mut listeners: Vec<TcpListener> = Vec::new();
        for address in addresses {
            let port = listeners.first().map_or(Ok(0), |first| first.local_addr().map(|a| a.port()))?;
            match TcpListener::bind((*address, port)) {
                Ok(listener) => listeners.push(listener),
                Err(error) => last = error,
            }
        }
        if listeners.len() == addresses.len() {
            return Ok(listeners);
        }
    }
    Err(last)
}

fn run_flapping(listener: TcpListener, flap: Duration, end: Instant) -> io::Result<()> {
    let address = listener.local_addr()?;
    let mut listener = Some(listener);
    while Instant::now() < end {
        if let Some(open) = listener.take() {
            open.set_nonblocking(true)?;
            let until = Instant::now() + flap;
            while Instant::now() < until {
                if open.accept().is_err() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        } else {
            std::thread::sleep(flap);
            listener = Some(TcpListener::bind(address)?);
        }
    }
    Ok(())
}
