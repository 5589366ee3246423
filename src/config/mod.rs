//! Configuration: YAML files to a validated model.

/// The model to a snapshot.
pub mod compile;
/// The validated model.
pub mod model;
