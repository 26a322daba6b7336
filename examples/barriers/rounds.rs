//! Meets the others at the barrier "round", so many times; standard library only.
use std::io::{BufRead, BufReader, Error, Write};
use std::os::unix::net::UnixStream;
use std::time::SystemTime;

fn say(n: u32, word: &str) {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("the clock is set");
    println!("{n} {word} {}", now.as_nanos());
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds: u32 = std::env::args().nth(1).ok_or("say how often")?.parse()?;
    let mut agent = UnixStream::connect(std::env::var("PLUSH_SOCKET")?)?;
    let mut lines = BufReader::new(agent.try_clone()?);
    for n in 1..=rounds {
        say(n, "before");
        agent.write_all(b"{\"do\":\"enter\",\"barrier\":\"round\",\"timeout_ms\":60000}\n")?;
        let mut answer = String::new();
        lines.read_line(&mut answer)?;
        if !answer.contains("\"result\":\"released\"") {
            return Err(Error::other(format!("not let go: {answer}")).into());
        }
        say(n, "after");
    }
    Ok(())
}
