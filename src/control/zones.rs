//! What is said of zones whose files were read: every fault, and which version is served because of it.
//!
//! Reads no file; logs alone.

use crate::config::report::Severity;
use crate::config::zone::choose::{Served, ZoneReport};

/// Says what became of the zones of a configuration that goes live.
pub(super) fn tell(reports: &[ZoneReport]) {
    for ZoneReport { apex, served, faults } in reports {
        for fault in faults {
            match fault.severity {
                Severity::Error => tracing::error!(zone = %apex, "{fault}"),
                Severity::Warning => tracing::warn!(zone = %apex, "{fault}"),
            }
        }
        match served {
            Served::Current => {}
            Served::LastGood => {
                tracing::error!(zone = %apex, "the zone file cannot be used: its last good version is served")
            }
            Served::Nothing => tracing::error!(
                zone = %apex,
                "the zone file cannot be used: all but globalnames is answered with SERVFAIL until it can"
            ),
        }
    }
}
