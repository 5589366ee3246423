//! The `steerd` command.
fn main() {}
