//! Bringing files home from one host: list, then fetch each by pieces, into that host's directory of results.
//! Not which files: the description says it by globs, the agent finds them.
//!
//! Names come from the host and are hostile until shown otherwise (threat T02): each component becomes one harmless
//! file name, links are never made, directories are walked by descriptor, and counts and sizes are bounded.

use crate::host_link::Shared;
use crate::order::Word;
use crate::run_dir::{create_private, file_name};
use crate::space::Space;
use plush_core::plan::HostId;
use plush_core::run::Event;
use plush_protocol::bulk::PART_BYTES;
use plush_protocol::{FilePart, FileWant, ListWant, ListedFile, Tainted, ToAgent, ToController};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeSet;
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
        let space = &shared.space;
        let mut collection = Collection { directory, space, asking, listening, account };
        let event = match collection.run(globs).await {
            Ok(()) => collection.account.event(host),
            Err(cause) => Event::CollectFailed { host, cause: Tainted::new(cause) },
        };
        // The driver ends first only when the run is over.
        let _ = words.send(Word::Event(event)).await;
    });
    CollectTraffic { questions, answers }
}

struct Collection<'a> {
    directory: PathBuf,
    space: &'a Space,
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
    /// Indices of globs: no more than there are, whatever the host lists.
    unmatched: BTreeSet<u32>,
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
        Event::Collected {
            host,
            files: self.files,
            bytes: self.bytes,
            skipped: self.skipped,
            unmatched: self.unmatched.into_iter().collect(),
        }
    }
}

impl Collection<'_> {
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
        let (cluster, count) = (cluster.to_owned(), globs.len());
        self.ask(ToAgent::ListWant(ListWant { id, cluster, globs })).await?;
        let mut files = Vec::new();
        loop {
            let ToController::ListPart(part) = self.answer().await? else { continue };
            if part.id != id {
                continue;
            }
            files.extend(part.files);
            let is_glob = |n: &u32| (*n as usize) < count;
            self.account.unmatched.extend(part.unmatched.into_iter().filter(is_glob));
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
        let names = match harmless_path(&file.path) {
            Ok(names) => names,
            Err(why) => {
                self.account.skip(&file.path, why);
                return Ok(());
            }
        };
        // The file is created with its first piece, so that an unreadable file does not become an
        // empty one.
        let mut local = None;
        if file.bytes == 0 {
            local = self.create(file, &names).await?;
        }
        let (mut asked, mut stored, mut short) = (0, 0, None);
        while stored < file.bytes {
            while asked < file.bytes && asked - stored < PIECES_IN_FLIGHT * PART_BYTES as u64 {
                let length = (file.bytes - asked).min(PART_BYTES as u64);
                self.want(cluster, &file.path, asked, length).await?;
                asked += length;
            }
            let part = self.part_of(&file.path).await?;
            if let Some(why) = &part.failed {
                short = Some(match stored {
                    0 => why.raw().to_owned(),
                    _ => format!("only its first {stored} bytes came: {}", why.raw()),
                });
                break;
            }
            if part.offset != stored || part.bytes.is_empty() {
                short = Some(format!("it ended after {stored} of {} bytes", file.bytes));
                break;
            }
            if local.is_none() {
                local = self.create(file, &names).await?;
            }
            let Some(open) = &local else { return Ok(()) };
            let written = self.space.writing(|| open.write_all_at(&part.bytes, stored)).await;
            written.map_err(|e| format!("cannot write in {}: {e}", self.directory.display()))?;
            stored += part.bytes.len() as u64;
            if stored < file.bytes && !part.bytes.len().is_multiple_of(PART_BYTES) {
                short = Some(format!("it ended after {stored} of {} bytes", file.bytes));
                break;
            }
        }
        if let Some(why) = short {
            self.account.skip(&file.path, &why);
        }
        if local.is_some() {
            self.account.files += 1;
            self.account.bytes += stored;
        }
        Ok(())
    }

    /// Creates the local file; returns `None`, and reports it, where the name is not possible.
    async fn create(
        &mut self,
        file: &ListedFile,
        names: &[String],
    ) -> Result<Option<File>, String> {
        let space = self.space;
        match space.writing(|| create_file(&self.directory, names, file.mode)).await {
            Ok(local) => Ok(Some(local)),
            Err(error) if is_about_the_name(&error) => {
                self.account.skip(&file.path, &format!("no file here can be called so: {error}"));
                Ok(None)
            }
            Err(error) => {
                Err(format!("cannot create a file in {}: {error}", self.directory.display()))
            }
        }
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

/// The components of a host's path as safe names, or why no local file can have this name.
fn harmless_path(path: &[u8]) -> Result<Vec<String>, &'static str> {
    let parts: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
    let is_odd = |p: &&[u8]| p.is_empty() || **p == *b"." || **p == *b"..";
    if parts.iter().any(is_odd) {
        return Err("its path is not one of a file below the directory");
    }
    if parts.len() > DEPTH_MAX {
        return Err("it lies deeper than 32 directories");
    }
    Ok(parts.iter().map(|p| harmless(p)).collect())
}

/// A different name would work: this one is too long for the file system, or is taken.
fn is_about_the_name(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    let kinds = [
        ErrorKind::InvalidFilename,
        ErrorKind::NotADirectory,
        ErrorKind::IsADirectory,
        ErrorKind::InvalidInput,
    ];
    kinds.contains(&error.kind())
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
            assert!(harmless_path(hostile.as_bytes()).is_err(), "{hostile:?}");
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

    /// Collected files when the host lists these files of one byte, each with its result of
    /// reading.
    async fn collect(files: &[(&str, Result<&str, &str>)]) -> (tempfile::TempDir, Account) {
        let dir = tempfile::tempdir().unwrap();
        let space = Space::of(&crate::run_dir::RunDir::at(dir.path().to_owned()));
        let (asking, mut questions) = mpsc::channel(8);
        let (answers, listening) = mpsc::channel(8);
        let told: Vec<(String, Result<Vec<u8>, String>)> = files
            .iter()
            .map(|(path, said)| ((*path).to_owned(), said.map(Into::into).map_err(str::to_owned)))
            .collect();
        tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                let answer = match question {
                    ToAgent::ListWant(want) => ToController::ListPart(plush_protocol::ListPart {
                        id: want.id,
                        files: told
                            .iter()
                            .map(|(path, _)| ListedFile {
                                path: path.clone().into_bytes(),
                                bytes: 1,
                                mode: 0o600,
                                modified_s: 0,
                            })
                            .collect(),
                        skipped: Vec::new(),
                        last: true,
                        unmatched: vec![1, 7],
                    }),
                    ToAgent::FileWant(want) => {
                        let named = told.iter().find(|(path, _)| path.as_bytes() == want.path);
                        let said = named.unwrap().1.clone();
                        ToController::FilePart(FilePart {
                            path: want.path,
                            offset: want.offset,
                            bytes: said.clone().unwrap_or_default(),
                            failed: said.err().map(Tainted::new),
                        })
                    }
                    other => panic!("{other:?}"),
                };
                answers.send(answer).await.unwrap();
            }
        });
        let (directory, account) = (dir.path().join("results"), Account::default());
        let mut collection = Collection { directory, space: &space, asking, listening, account };
        collection.run(vec![("c".to_owned(), vec!["*".into(), "x".into()])]).await.unwrap();
        let account = collection.account;
        (dir, account)
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_named_and_is_no_empty_file_here() {
        let (dir, account) = collect(&[("secret", Err("permission denied")), ("b", Ok("b"))]).await;
        assert_eq!(account.skipped[0].raw(), "`secret` did not come: permission denied");
        assert_eq!((account.files, account.bytes), (1, 1));
        assert!(!dir.path().join("results/secret").exists());
        assert_eq!(std::fs::read(dir.path().join("results/b")).unwrap(), b"b");
        assert_eq!(account.unmatched, BTreeSet::from([1]), "there is no eighth glob");
    }

    #[tokio::test]
    async fn a_name_that_is_too_long_here_costs_the_other_files_nothing() {
        let long = "n".repeat(300);
        let (dir, account) = collect(&[(&long, Ok("a")), ("b", Ok("b"))]).await;
        let why = account.skipped[0].raw();
        assert!(why.contains("no file here can be called so"), "{why}");
        assert_eq!(account.skipped.len(), 1);
        assert!(dir.path().join("results/b").exists());
    }

    #[test]
    fn t02_set_id_bits_do_not_come_home() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let file = create_file(&dir.path().join("r"), &["x".into()], 0o6755).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7000, 0);
    }
}
