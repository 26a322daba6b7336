//! The main job on real SSH hosts: each test brings its own hosts up with plush-lab and runs the product on them.
//! Not the hosts' own tests: those are plush-lab's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod barriers;
mod evidence;
mod figure3;
mod leaving;
mod main_job;
mod misbehaving;
mod network;
mod nothing_left;
mod preparing;
mod probing;
mod product;
mod reacting;
mod reporting;
mod resuming;
mod software;
mod stage;
mod storm;
