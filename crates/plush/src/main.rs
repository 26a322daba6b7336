//! The `plush` command.
fn main() {}
