//! The program on a host: thin driver, keeper, files, links.

pub mod base;
pub mod bridge;
pub mod cleanup;
pub mod clock;
pub mod driver;
pub mod facts;
pub mod files;
pub mod keeper;
pub mod logger;
pub mod placing;
pub mod processes;
pub mod programs;
pub mod record;
pub mod sys;
