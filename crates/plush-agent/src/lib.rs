//! The program on a host: thin driver, keeper, files.
//! A crate of its own because it is another binary, small and static, and every dependency of it travels to every host.

pub mod barrier_command;
pub mod barrier_words;
pub mod base;
pub mod bridge;
pub mod cgroup;
pub mod chance;
pub mod cleanup;
pub mod clock;
pub mod doorway;
pub mod driver;
pub mod facts;
pub mod files;
pub mod flat_json;
pub mod keeper;
pub mod logger;
pub mod logins;
pub mod member;
pub mod placing;
pub mod processes;
pub mod programs;
pub mod record;
pub mod sys;
