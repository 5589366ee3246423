//! Configuration: YAML files to a validated model.

/// The validated model.
pub mod model;
