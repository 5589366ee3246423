//! What a start takes from the machine: sockets, the lock of the state directory, open files.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::error::StartError;
use crate::config::model::{Server, Steering};
use crate::io::listen::{Endpoint, ListenError, ListenOptions, bind};
use crate::io::pin::Cores;

/// Open files beside TCP connections: sockets of workers, probes under way, admin connections. With fewer, probes may
/// find none left, and states stand still.
const FILES_RESERVED: u64 = 512;
/// Name of the lock file below `state_dir`.
const LOCK_FILE: &str = "steerd.lock";

/// The sockets of every worker: one endpoint a listen address. Of the default addresses, one whose family this machine
/// does not have is left out.
pub(super) fn bind_all(
    server: &Server,
    workers: usize,
    cores: &Cores,
) -> Result<Vec<Vec<Endpoint>>, ListenError> {
    let mut by_worker: Vec<Vec<Endpoint>> = (0..workers).map(|_| Vec::new()).collect();
    let options = listen_options(server, workers, cores);
    for address in &server.listen {
        let endpoints = match bind(*address, workers, &options) {
            Err(error @ (ListenError::NoSuchAddress { .. } | ListenError::Other { .. }))
                if server.listen_is_default && address.is_ipv6() =>
            {
                tracing::warn!("{error}; serving IPv4 only");
                continue;
            }
            bound => bound?,
        };
        for (worker, endpoint) in by_worker.iter_mut().zip(endpoints) {
            worker.push(endpoint);
        }
    }
    tell_buffers(&by_worker, &options);
    Ok(by_worker)
}

/// What the configuration asks of the kernel for each socket.
fn listen_options(server: &Server, workers: usize, cores: &Cores) -> ListenOptions {
    let steer_by_core = match server.steering {
        Steering::Hash => None,
        Steering::Cpu => {
            let cores = cores.of_workers(workers);
            if cores.is_none() {
                tracing::warn!(
                    workers,
                    "server.steering: cpu needs a core of its own for each worker; the kernel's hash is used"
                );
            }
            cores
        }
    };
    ListenOptions {
        receive_buffer_octets: server.receive_buffer,
        send_buffer_octets: server.send_buffer,
        steer_by_core,
        ..ListenOptions::default()
    }
}

/// Says once what the kernel gave when it is less than what was asked: all sockets are alike.
fn tell_buffers(by_worker: &[Vec<Endpoint>], options: &ListenOptions) {
    let Some(Ok(granted)) = by_worker.first().and_then(|one| one.first()).map(Endpoint::buffers) else {
        return;
    };
    for (setting, asked, granted, limit) in [
        ("server.receive_buffer", options.receive_buffer_octets, granted.receive_octets, "net.core.rmem_max"),
        ("server.send_buffer", options.send_buffer_octets, granted.send_octets, "net.core.wmem_max"),
    ] {
        if granted < asked {
            tracing::warn!(
                setting,
                asked,
                granted,
                "UDP sockets got smaller buffers than asked for: raise {limit}, or grant CAP_NET_ADMIN"
            );
        }
    }
}

/// Makes the state directory if it is not there, and locks it for this process.
pub(super) fn lock_state_dir(path: &Path) -> Result<File, StartError> {
    let fault = |error| StartError::StateDir { path: path.to_owned(), error };
    std::fs::create_dir_all(path).map_err(fault)?;
    let file = File::options().create(true).append(true).open(path.join(LOCK_FILE)).map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::StateDirLocked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(fault(error)),
    }
}

/// Raises the limit of open files, and says so when the TCP connections allowed could use it up.
pub(super) fn raise_file_limit(server: &Server) {
    let needed = u64::from(server.tcp_max_connections) + FILES_RESERVED;
    match crate::io::listen::raise_file_limit() {
        Ok(limit) if limit >= needed => {}
        Ok(limit) => tracing::warn!(
            limit,
            needed,
            "TCP connections could use up the open files that probes need: raise the limit of open files \
             (LimitNOFILE in systemd), or lower server.tcp_max_connections"
        ),
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}
