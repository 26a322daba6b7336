//! The program on a host: thin driver, keeper, files, links.

pub mod files;
