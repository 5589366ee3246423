//! Globalnames in zones with a file.
