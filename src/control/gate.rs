//! The admin listener's door: so many connections at once, and none that is silent for long. Without it, idle clients
//! would hold the descriptors that probes and queries over TCP need.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// Connections open at once: some scrapers, people with a browser, and as many again.
const CONNECTIONS: usize = 64;
/// How long a connection may neither send nor take an octet. Longer than the usual scrape interval of 15 s, so that
/// scrapers keep theirs.
const SILENCE: Duration = Duration::from_secs(30);
/// Pause after an accept that failed, which is for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A listener that admits only so many.
pub(super) struct Gate {
    listener: TcpListener,
    permits: Arc<Semaphore>,
}

impl Gate {
    /// Guards a listener.
    pub(super) fn new(listener: TcpListener) -> Gate {
        Gate { listener, permits: Arc::new(Semaphore::new(CONNECTIONS)) }
    }
}

impl Listener for Gate {
    type Io = Guarded;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guarded, SocketAddr) {
        loop {
            // Before accepting: whoever is too many waits in the kernel's queue, without a descriptor here.
            let Ok(permit) = self.permits.clone().acquire_owned().await else { continue };
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let silent_until = Box::pin(sleep(SILENCE));
                    return (Guarded { stream, silent_until, _permit: permit }, peer);
                }
                Err(error) => {
                    tracing::debug!(%error, "admin connection not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with its place and its deadline.
pub(super) struct Guarded {
    stream: TcpStream,
    silent_until: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Guarded {
    /// What an operation came to: progress moves the deadline, waiting is bounded by it.
    fn bounded<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.silent_until.as_mut().reset(Instant::now() + SILENCE);
            return outcome;
        }
        ready!(self.silent_until.as_mut().poll(context));
        // Polled again after its end it would never wake: the connection is over, but hyper may still ask.
        self.silent_until = Box::pin(sleep_until(Instant::now() + SILENCE));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.bounded(context, outcome)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, octets);
        self.bounded(context, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_connection_ends_and_a_place_is_free_again() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut gate = Gate::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
            let address = gate.local_addr().unwrap();
            let mut clients = Vec::new();
            let mut admitted = Vec::new();
            for _ in 0..CONNECTIONS {
                clients.push(TcpStream::connect(address).await.unwrap());
                admitted.push(gate.accept().await.0);
            }
            assert_eq!(gate.permits.available_permits(), 0);
            let mut silent = admitted.remove(0);
            // Simulated: the deadline is now.
            silent.silent_until.as_mut().reset(Instant::now());
            let mut octets = [0; 8];
            let outcome = std::future::poll_fn(|context| {
                Pin::new(&mut silent).poll_read(context, &mut ReadBuf::new(&mut octets))
            })
            .await;
            assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
            drop(silent);
            assert_eq!(gate.permits.available_permits(), 1);
        });
    }
}
