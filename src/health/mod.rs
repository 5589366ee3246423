//! Probes and verdicts.
