//! Tests of the rollovers.
