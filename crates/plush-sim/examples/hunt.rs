//! Plays seeds until a rule is broken, and says at which and what. For rules that are broken on purpose: see `mutate`.
//!
//!     cargo run -p plush-sim --example hunt -- 2000

use plush_sim::{Sabotage, hunt};
use std::process::ExitCode;

fn main() -> ExitCode {
    let seeds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(2_000);
    // A panic is a finding, told with the others.
    std::panic::set_hook(Box::new(|_| {}));
    match hunt(Sabotage::None, 1..seeds + 1) {
        Some(failure) => {
            println!("seed {} | {}", failure.play.seed, failure.breach.invariant);
            ExitCode::SUCCESS
        }
        None => ExitCode::FAILURE,
    }
}
