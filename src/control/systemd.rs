//! What systemd is told of a service of `Type=notify` (sd_notify(3)); without systemd, nothing happens.

use sd_notify::NotifyState;

/// Queries are answered.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A configuration is being read; [`ready`] follows, whether it is put in force or refused.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no monotonic clock for systemd"),
    }
}

/// The process ends because it was told to.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}
