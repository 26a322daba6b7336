//! Bringing files home from one host: list, then fetch each by pieces, into that host's directory of results.
//! Not which files: the description says it by globs, the agent finds them.
//!
//! Names come from the host and are hostile until shown otherwise (threat T02): each component becomes one harmless
//! file name, links are never made, directories are walked by descriptor, and counts and sizes are bounded.

use crate::host_link::Shared;
use crate::order::Word;
use crate::run_dir::{create_private, file_name};
use plush_core::plan::HostId;
use plush_core::run::Event;
use plush_protocol::bulk::PART_BYTES;
use plush_protocol::{FilePart, FileWant, ListWant, ListedFile, Tainted, ToAgent, ToController};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Pieces of a file that are asked for at once: what fills a link of 10 Mbyte/s at 100 ms.
const PIECES_IN_FLIGHT: u64 = 8;
/// The most files from one host.
const FILES_MAX: usize = 100_000;
/// The longest path below a cluster's directory.
const DEPTH_MAX: usize = 32;
/// How long an agent may take over one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Problems that are kept one by one; the rest is counted.
const SKIPPED_SHOWN: usize = 50;

/// The channels between a collection and its host's link.
pub struct CollectTraffic {
    /// What the collection asks; closed when it is over.
    pub questions: mpsc::Receiver<ToAgent>,
    /// What the agent answered.
    pub answers: mpsc::Sender<ToController>,
}

/// Starts a collection; its outcome is told to the driver.
pub fn start(
    host: HostId,
    directory: PathBuf,
    globs: Vec<(String, Vec<String>)>,
    shared: Arc<Shared>,
) -> CollectTraffic {
    let (asking, questions) = mpsc::channel(PIECES_IN_FLIGHT as usize);
    let (answers, listening) = mpsc::channel(PIECES_IN_FLIGHT as usize);
    tokio::spawn(async move {
        let words = shared.words.clone();
        let account = Account::default();
        let mut collection = Collection { directory, shared, asking, listening, account };
        let event = match collection.run(globs).await {
            Ok(()) => collection.account.event(host),
            Err(cause) => Event::CollectFailed { host, cause: Tainted::new(cause) },
        };
        // The driver ends first only when the run is over.
        let _ = words.send(Word::Event(event)).await;
    });
    CollectTraffic { questions, answers }
}

struct Collection {
    directory: PathBuf,
    shared: Arc<Shared>,
    asking: mpsc::Sender<ToAgent>,
    listening: mpsc::Receiver<ToController>,
    account: Account,
}

#[derive(Default)]
struct Account {
    files: u32,
    bytes: u64,
    skipped: Vec<Tainted>,
    skipped_more: u64,
}

impl Account {
    fn skip(&mut self, path: &[u8], why: &str) {
        if self.skipped.len() < SKIPPED_SHOWN {
            let shown = String::from_utf8_lossy(path);
            self.skipped.push(Tainted::new(format!("`{shown}` did not come: {why}")));
        } else {
            self.skipped_more += 1;
        }
    }

    fn event(mut self, host: HostId) -> Event {
        if self.skipped_more > 0 {
            self.skipped
                .push(Tainted::new(format!("{} more files did not come", self.skipped_more)));
        }
        Event::Collected { host, files: self.files, bytes: self.bytes, skipped: self.skipped }
    }
}

impl Collection {
    async fn run(&mut self, globs: Vec<(String, Vec<String>)>) -> Result<(), String> {
        for (number, (cluster, globs)) in (0..).zip(globs) {
            for file in self.list(number, &cluster, globs).await? {
                self.fetch(&cluster, &file).await?;
            }
        }
        Ok(())
    }

    async fn list(
        &mut self,
        id: u32,
        cluster: &str,
        globs: Vec<String>,
    ) -> Result<Vec<ListedFile>, String> {
        let cluster = cluster.to_owned();
        self.ask(ToAgent::ListWant(ListWant { id, cluster, globs })).await?;
        let mut files = Vec::new();
        loop {
            let ToController::ListPart(part) = self.answer().await? else { continue };
            if part.id != id {
                continue;
            }
            files.extend(part.files);
            for skipped in part.skipped {
                self.account.skip(&skipped.path, skipped.why.raw());
            }
            if files.len() > FILES_MAX {
                return Err(format!("more than {FILES_MAX} files match"));
            }
            if part.last {
                return Ok(files);
            }
        }
    }

    async fn fetch(&mut self, cluster: &str, file: &ListedFile) -> Result<(), String> {
        let Some(names) = harmless_path(&file.path) else {
            self.account.skip(&file.path, "its path is not one of a file below the directory");
            return Ok(());
        };
        let space = &self.shared.space;
        let opened = space.writing(|| create_file(&self.directory, &names, file.mode)).await;
        let local = opened
            .map_err(|e| format!("cannot create a file in {}: {e}", self.directory.display()))?;
        let mut asked = 0;
        let mut stored = 0;
        while stored < file.bytes {
            while asked < file.bytes && asked - stored < PIECES_IN_FLIGHT * PART_BYTES as u64 {
                let length = (file.bytes - asked).min(PART_BYTES as u64);
                self.want(cluster, &file.path, asked, length).await?;
                asked += length;
            }
            let part = self.part_of(&file.path).await?;
            if let Some(why) = &part.failed {
                self.account.skip(&file.path, why.raw());
                return Ok(());
            }
            if part.offset != stored || part.bytes.is_empty() {
                let why = format!("it ended after {stored} of {} bytes", file.bytes);
                self.account.skip(&file.path, &why);
                break;
            }
            let written =
                self.shared.space.writing(|| local.write_all_at(&part.bytes, stored)).await;
            written.map_err(|e| format!("cannot write in {}: {e}", self.directory.display()))?;
            stored += part.bytes.len() as u64;
            let is_short = stored < file.bytes && !part.bytes.len().is_multiple_of(PART_BYTES);
            if is_short {
                self.account
                    .skip(&file.path, &format!("it ended after {stored} of {} bytes", file.bytes));
                break;
            }
        }
        self.account.files += 1;
        self.account.bytes += stored;
        Ok(())
    }

    async fn want(
        &self,
        cluster: &str,
        path: &[u8],
        offset: u64,
        length: u64,
    ) -> Result<(), String> {
        let want = FileWant {
            cluster: cluster.to_owned(),
            path: path.to_vec(),
            offset,
            length: u32::try_from(length).expect("a piece is far below 4 GiB"),
        };
        self.ask(ToAgent::FileWant(want)).await
    }

    async fn part_of(&mut self, path: &[u8]) -> Result<FilePart, String> {
        loop {
            if let ToController::FilePart(part) = self.answer().await?
                && part.path == path
            {
                return Ok(part);
            }
        }
    }

    async fn ask(&self, question: ToAgent) -> Result<(), String> {
        self.asking.send(question).await.map_err(|_| "the link is gone".to_owned())
    }

    async fn answer(&mut self) -> Result<ToController, String> {
        match tokio::time::timeout(ANSWER_LIMIT, self.listening.recv()).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err("the link is gone".into()),
            Err(_) => Err(format!("no answer within {} s", ANSWER_LIMIT.as_secs())),
        }
    }
}

/// The components of a host's path as harmless names; `None` for what no file below a directory is called.
fn harmless_path(path: &[u8]) -> Option<Vec<String>> {
    let parts: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
    let is_odd = |p: &&[u8]| p.is_empty() || **p == *b"." || **p == *b"..";
    if parts.len() > DEPTH_MAX || parts.iter().any(is_odd) {
        return None;
    }
    Some(parts.iter().map(|p| harmless(p)).collect())
}

/// One component: UTF-8 without control characters stays as it is, every other byte becomes `%XX`.
fn harmless(part: &[u8]) -> String {
    use std::fmt::Write;
    match std::str::from_utf8(part) {
        Ok(text) if text == plush_protocol::escape(part) && !text.contains(['\n', '\t']) => {
            text.to_owned()
        }
        Ok(text) if text.is_ascii() => file_name(text),
        _ => part.iter().fold(String::new(), |mut out, byte| {
            write!(out, "%{byte:02X}").expect("writing to a String succeeds");
            out
        }),
    }
}

/// Creates the file and the directories above it, never through a link.
fn create_file(root: &Path, names: &[String], mode: u32) -> std::io::Result<File> {
    create_private(root)?;
    let walk = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut directory: OwnedFd = rustix::fs::open(root, walk, Mode::empty())?;
    let (file, above) = names.split_last().expect("a path has at least one component");
    for name in above {
        match rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        directory = rustix::fs::openat(&directory, name, walk, Mode::empty())?;
    }
    // The owner may always read and write what came home; set-id bits never come along.
    let bits = Mode::from_raw_mode(((mode & 0o777) | 0o600) as rustix::fs::RawMode);
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(&directory, file, flags, bits)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn t02_no_path_of_a_host_leaves_its_directory() {
        for hostile in ["../x", "a/../../x", "/etc/passwd", "", "a//b", "./a", "a/.", ".."] {
            assert_eq!(harmless_path(hostile.as_bytes()), None, "{hostile:?}");
        }
        assert_eq!(harmless_path(b"a/b\x1b[2J").unwrap(), ["a", "b%1B[2J"]);
        assert_eq!(harmless_path(b"caf\xc3\xa9/\xff").unwrap(), ["café", "%FF"]);
    }

    #[test]
    fn t02_a_link_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("r"), dir.path().join("o"));
        std::fs::create_dir_all(&root).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("a")).unwrap();
        assert!(create_file(&root, &["a".into(), "x".into()], 0o644).is_err());
        assert!(!outside.join("x").exists());
    }

    #[test]
    fn t02_set_id_bits_do_not_come_home() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let file = create_file(&dir.path().join("r"), &["x".into()], 0o6755).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7000, 0);
    }
}
