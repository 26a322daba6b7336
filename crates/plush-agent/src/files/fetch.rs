//! A file fetched over HTTP or HTTPS: redirects, resumption, retries, limits, digests.
//!
//! Not a judgement on what was fetched beyond its digest, and no unpacking (see `unpack`).

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::digest::{Both, Digest, Digests};
use super::http::Trouble;
use super::http::dial::{NamedBy, Network};
use super::http::exchange::{self, Body, Get, Head};
use super::http::url::{Url, UrlError};
use super::http::watch::{Stop, Watch};
use super::root::{NoRoom, Root, RootError};
use super::{CHUNK_BYTES, Progress};

/// What to fetch.
#[derive(Debug, Clone)]
pub struct Order {
    /// Where it is: tried in this order, each with its own retries.
    pub urls: Vec<String>,
    /// Digests that the bytes must have, all of them.
    pub expected: Vec<Digest>,
    /// The exact size, if known.
    pub size: Option<u64>,
    /// How far to go.
    pub limits: Limits,
    /// Spreads the retries of many hosts; any number that differs between them.
    pub seed: u64,
}

/// Bounds of one fetch.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest file taken.
    pub size_bytes: u64,
    /// The longest that all tries together may take.
    pub total_ms: u64,
    /// The longest silence, and the longest that connecting with TLS or the head of an answer may take.
    pub stall_ms: u64,
    /// The longest that one connection may take to be made.
    pub connect_ms: u64,
    /// Redirects followed per try.
    pub redirects: u32,
    /// Tries per URL after the first one.
    pub retries: u32,
    /// The pause before the first retry; it doubles from there.
    pub backoff_ms: u64,
    /// The longest pause.
    pub backoff_most_ms: u64,
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The digests, and the size.
    pub digests: Digests,
    /// The URL that gave it in the end, after redirects, without secrets.
    pub url: String,
    /// Tries made, over all URLs.
    pub attempts: u32,
    /// How many bytes did not have to be sent again, because a broken transfer was resumed.
    pub resumed_bytes: u64,
}

/// Nothing was fetched, and nothing is left of it. The last failure is told.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot fetch {url}{}{} after {bytes} bytes, tries: {attempts}",
    .proxy.as_ref().map(|proxy| format!(" through {proxy}")).unwrap_or_default(),
    .status.map(|status| format!(" (status {status})")).unwrap_or_default()
)]
pub struct FetchError {
    /// The URL that failed, after redirects, without secrets.
    pub url: String,
    /// The proxy of the request, and the setting that names it.
    pub proxy: Option<String>,
    /// The status of its answer, if it gave one.
    pub status: Option<u16>,
    /// Bytes of the body received.
    pub bytes: u64,
    /// Tries made, over all URLs.
    pub attempts: u32,
    /// Why.
    #[source]
    pub cause: Cause,
}

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// There is no URL in the order.
    #[error("no URL was given")]
    NoUrl,
    /// The URL is none that is fetched.
    #[error("{0}")]
    Url(UrlError),
    /// The exchange failed.
    #[error(transparent)]
    Exchange(Box<Trouble>),
    /// The server answered, but not with the file.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// A redirect without a valid target.
    #[error("the server answered with the redirect {0} and no Location")]
    NoLocation(u16),
    /// A redirect that is not followed.
    #[error("redirect to {to} refused: {why}")]
    Redirect {
        /// Where it led.
        to: String,
        /// Why it is not followed.
        why: RedirectRefusal,
    },
    /// The body ended early.
    #[error("the body ended early{}", .expected.map(|bytes| format!(": {bytes} bytes were announced")).unwrap_or_default())]
    Truncated {
        /// The announced size.
        expected: Option<u64>,
    },
    /// A resumed transfer went on somewhere else.
    #[error("the server went on at another place than asked for")]
    WrongRange,
    /// Too large.
    #[error("it is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// Not the size that was promised.
    #[error("its size should be {expected} bytes")]
    WrongSize {
        /// The promised size.
        expected: u64,
    },
    /// Not the bytes that were promised.
    #[error("its digest should be {expected} but is {found}")]
    WrongDigest {
        /// The promised digest.
        expected: Box<Digest>,
        /// That of the bytes received.
        found: Box<Digest>,
    },
    /// No room.
    #[error("no space left: {} bytes needed, {free} free", .needed.map_or("more".to_owned(), |bytes| bytes.to_string()))]
    NoSpace {
        /// Bytes still to come, if known.
        needed: Option<u64>,
        /// Bytes free.
        free: u64,
    },
    /// The file could not be written.
    #[error("cannot write it")]
    Write(#[source] io::Error),
    /// The file could not be made.
    #[error(transparent)]
    Store(RootError),
}

/// Why a redirect is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedirectRefusal {
    /// There were enough.
    #[error("too many redirects")]
    TooMany,
    /// From https to http.
    #[error("it leaves TLS")]
    Weaker,
    /// To another scheme, or malformed.
    #[error("{0}")]
    Url(UrlError),
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            size_bytes: 16 << 30,
            total_ms: 3_600_000,
            stall_ms: 30_000,
            connect_ms: 10_000,
            redirects: 20,
            retries: 5,
            backoff_ms: 500,
            backoff_most_ms: 30_000,
        }
    }
}

impl Order {
    /// One URL, nothing known about it, the usual limits.
    pub fn of(url: &str) -> Order {
        Order {
            urls: vec![url.to_owned()],
            expected: Vec::new(),
            size: None,
            limits: Limits::default(),
            seed: 0,
        }
    }
}

/// Fetches into a new file `name` in `into`, which is only there afterwards if all of it is right and on disk.
pub fn fetch(
    order: &Order,
    network: &Network,
    into: &Root,
    name: &Path,
    progress: &mut Progress<'_>,
) -> Result<Fetched, FetchError> {
    let limits = order.limits;
    let watch = Watch::new(
        progress,
        Duration::from_millis(limits.total_ms),
        Duration::from_millis(limits.stall_ms),
    );
    let file = into.create_file(name, 0o600).map_err(|source| FetchError {
        url: order.urls.first().map(|url| shown(url)).unwrap_or_default(),
        proxy: None,
        status: None,
        bytes: 0,
        attempts: 0,
        cause: Cause::Store(source),
    })?;
    let partial = Partial {
        file,
        path: into.join(name),
        digests: Both::default(),
        validator: None,
        total: None,
        resumed_bytes: 0,
    };
    let mut fetcher =
        Fetcher { order, network, watch: &watch, into, partial, attempts: 0, seed: order.seed };
    fetcher.try_all().inspect_err(|_| drop(into.unlink(name)))
}

/// What has arrived so far.
struct Partial {
    file: File,
    path: PathBuf,
    digests: Both,
    validator: Option<String>,
    total: Option<u64>,
    resumed_bytes: u64,
}

struct Fetcher<'a> {
    order: &'a Order,
    network: &'a Network,
    watch: &'a Watch<'a>,
    into: &'a Root,
    partial: Partial,
    attempts: u32,
    seed: u64,
}

/// One try's failure.
struct Failure {
    url: String,
    status: Option<u16>,
    cause: Cause,
    wait_s: u64,
}

impl<'a> Fetcher<'a> {
    fn try_all(&mut self) -> Result<Fetched, FetchError> {
        let mut last = None;
        for text in &self.order.urls {
            self.partial.restart().map_err(|cause| self.error(Failure::of(shown(text), cause)))?;
            let failure = match Url::parse(text) {
                Err(why) => Failure::of(shown(text), Cause::Url(why)),
                Ok(url) => match self.try_url(&url) {
                    Ok(fetched) => return Ok(fetched),
                    Err(failure) => failure,
                },
            };
            let is_final = failure.is_final();
            last = Some(self.error(failure));
            if is_final {
                break;
            }
        }
        Err(last.unwrap_or_else(|| self.error(Failure::of(String::new(), Cause::NoUrl))))
    }

    /// Tries one URL until it works, will not work, or its retries are used up.
    fn try_url(&mut self, url: &Url) -> Result<Fetched, Failure> {
        let mut mismatches = 0;
        for round in 0.. {
            self.attempts += 1;
            let failure = match self.try_once(url) {
                Ok(fetched) => return Ok(fetched),
                Err(failure) => failure,
            };
            let is_mismatch =
                matches!(failure.cause, Cause::WrongDigest { .. } | Cause::WrongSize { .. });
            mismatches += u32::from(is_mismatch);
            // A bit may have flipped on the way: once more from the start, not more often.
            let is_worth_it = failure.is_passing() || (is_mismatch && mismatches < 2);
            if !is_worth_it || round >= self.order.limits.retries {
                return Err(failure);
            }
            if is_mismatch || matches!(failure.cause, Cause::WrongRange) {
                self.partial.restart().map_err(|cause| Failure::of(url.to_string(), cause))?;
            }
            let pause = self.backoff(round).max(Duration::from_secs(failure.wait_s));
            self.watch.end_phase();
            if let Err(stop) = self.watch.pause(pause) {
                // What went wrong tells more than that the time ran out waiting to try again.
                return Err(if stop == Stop::Cancelled {
                    Failure::of(failure.url, Cause::Exchange(Box::new(stop.into())))
                } else {
                    failure
                });
            }
        }
        unreachable!("the loop returns when its rounds are used up")
    }

    fn try_once(&mut self, first: &Url) -> Result<Fetched, Failure> {
        let mut url = first.clone();
        for _ in 0..=self.order.limits.redirects {
            let (head, mut body) = self.ask(first, &url).map_err(|trouble| {
                Failure::of(url.to_string(), Cause::Exchange(Box::new(trouble)))
            })?;
            let fail = |cause| Failure {
                status: Some(head.status),
                ..Failure::of(url.to_string(), cause)
            };
            match head.status {
                301 | 302 | 303 | 307 | 308 => url = next_url(first, &url, &head).map_err(fail)?,
                200 | 206 => {
                    self.take(&head, &mut body).map_err(fail)?;
                    return self.verified(&url).map_err(fail);
                }
                416 if self.partial.digests.bytes() > 0 => return Err(fail(Cause::WrongRange)),
                status => {
                    return Err(Failure {
                        wait_s: retry_after_s(&head),
                        ..fail(Cause::Status(status))
                    });
                }
            }
        }
        Err(Failure::of(
            url.to_string(),
            Cause::Redirect { to: url.to_string(), why: RedirectRefusal::TooMany },
        ))
    }

    fn ask(&self, first: &Url, url: &Url) -> Result<(Head, Body<'a>), Trouble> {
        let by = if url.host == first.host { NamedBy::Caller } else { NamedBy::Redirect };
        let limit = Duration::from_millis(self.order.limits.connect_ms);
        self.watch.begin_phase();
        let stream = self.network.dial(url, by, self.watch, limit)?;
        let proxy = self
            .network
            .proxies
            .of(url)
            .filter(|_| matches!(url.scheme, super::http::url::Scheme::Http));
        let resume = self.resumable().map(|from| (from, self.partial.validator.as_deref()));
        self.watch.begin_phase();
        let answer = exchange::get(stream, &Get { url, proxy, resume })?;
        self.watch.end_phase();
        Ok(answer)
    }

    /// Where to go on: only if something vouches for both halves being of one file.
    fn resumable(&self) -> Option<u64> {
        let have = self.partial.digests.bytes();
        let is_vouched_for = self.partial.validator.is_some() || !self.order.expected.is_empty();
        (have > 0 && is_vouched_for).then_some(have)
    }

    /// Takes the body of a whole or partial answer.
    fn take(&mut self, head: &Head, body: &mut dyn Read) -> Result<(), Cause> {
        let have = self.partial.digests.bytes();
        match (head.status, head.range()) {
            (206, Some((from, whole))) if from == have && have > 0 => {
                if self.partial.total.zip(whole).is_some_and(|(before, now)| before != now) {
                    return Err(Cause::WrongRange);
                }
                self.partial.total = self.partial.total.or(whole);
                self.partial.resumed_bytes += have;
            }
            (206, _) => return Err(Cause::WrongRange),
            _ => {
                self.partial.restart()?;
                self.partial.total = head.length();
                self.partial.validator = head.validator().map(str::to_owned);
            }
        }
        self.check_size(self.partial.total.unwrap_or(0))?;
        self.check_room()?;
        self.copy(body)
    }

    fn copy(&mut self, body: &mut dyn Read) -> Result<(), Cause> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            self.watch.note(self.partial.digests.bytes(), self.partial.total.or(self.order.size));
            self.watch.check().map_err(|stop| Cause::Exchange(Box::new(stop.into())))?;
            let count = match body.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(Cause::Truncated { expected: self.partial.total });
                }
                Err(error) => return Err(Cause::Exchange(Box::new(Trouble::of_io(error)))),
            };
            if count == 0 {
                return self.complete();
            }
            self.check_size(self.partial.digests.bytes() + count as u64)?;
            self.write(&buffer[..count])?;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Cause> {
        self.partial.file.write_all(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Cause::NoSpace { needed: self.to_come(), free: self.into.free_bytes() }
            }
            _ => Cause::Write(error),
        })?;
        self.partial.digests.update(bytes);
        Ok(())
    }

    fn complete(&self) -> Result<(), Cause> {
        match self.partial.total {
            Some(total) if self.partial.digests.bytes() < total => {
                Err(Cause::Truncated { expected: Some(total) })
            }
            _ => Ok(()),
        }
    }

    /// Bytes still to come, if known.
    fn to_come(&self) -> Option<u64> {
        let total = self.partial.total.or(self.order.size);
        total.map(|total| total.saturating_sub(self.partial.digests.bytes()))
    }

    /// What is announced must fit before the first byte of it is taken.
    fn check_room(&self) -> Result<(), Cause> {
        let Some(bytes) = self.to_come() else { return Ok(()) };
        let lack = |lack: NoRoom| Cause::NoSpace { needed: Some(lack.needed), free: lack.free };
        self.into.room_for(bytes).map_err(lack)
    }

    fn check_size(&self, bytes: u64) -> Result<(), Cause> {
        let limit = self.order.limits.size_bytes;
        if bytes > limit { Err(Cause::TooLarge { limit }) } else { Ok(()) }
    }

    fn verified(&mut self, url: &Url) -> Result<Fetched, Cause> {
        let digests = self.partial.digests.clone().finish();
        if let Some(expected) = self.order.size.filter(|size| *size != digests.bytes) {
            return Err(Cause::WrongSize { expected });
        }
        if let Some(expected) =
            self.order.expected.iter().find(|expected| !digests.matches(expected))
        {
            return Err(Cause::WrongDigest {
                expected: Box::new(*expected),
                found: Box::new(digests.by(expected.algorithm)),
            });
        }
        self.partial.file.sync_data().map_err(Cause::Write)?;
        let resumed_bytes = self.partial.resumed_bytes;
        Ok(Fetched { digests, url: url.to_string(), attempts: self.attempts, resumed_bytes })
    }

    /// Doubling, with the upper half random, so that hosts that failed together do not come back together.
    fn backoff(&mut self, round: u32) -> Duration {
        let limits = self.order.limits;
        let most = limits.backoff_ms.saturating_mul(1 << round.min(20)).min(limits.backoff_most_ms);
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_millis(most / 2 + (mixed ^ (mixed >> 31)) % (most / 2 + 1))
    }

    fn error(&self, failure: Failure) -> FetchError {
        let Failure { url, status, cause, .. } = failure;
        FetchError {
            proxy: Url::parse(&url).ok().and_then(|url| self.network.proxies.in_words(&url)),
            url,
            status,
            bytes: self.partial.digests.bytes(),
            attempts: self.attempts,
            cause,
        }
    }
}

impl Partial {
    fn restart(&mut self) -> Result<(), Cause> {
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(|source| {
            Cause::Store(RootError { operation: "empty", path: self.path.clone(), source })
        })?;
        self.digests = Both::default();
        (self.validator, self.total, self.resumed_bytes) = (None, None, 0);
        Ok(())
    }
}

impl Failure {
    fn of(url: String, cause: Cause) -> Failure {
        Failure { url, status: None, cause, wait_s: 0 }
    }

    /// Whether the same URL may work a little later.
    fn is_passing(&self) -> bool {
        match &self.cause {
            Cause::Exchange(trouble) => trouble.is_passing(),
            Cause::Status(status) => matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            Cause::Truncated { .. } | Cause::WrongRange => true,
            _ => false,
        }
    }

    /// Whether no other URL can help either.
    fn is_final(&self) -> bool {
        match &self.cause {
            Cause::Exchange(trouble) => {
                matches!(**trouble, Trouble::Stopped(stop) if stop != Stop::Stalled)
            }
            Cause::NoSpace { .. } | Cause::Write(_) | Cause::Store(_) => true,
            _ => false,
        }
    }
}

/// The target of a redirect, if it may be followed. Credentials stay with the host that they were
/// given for; the server may put its own into the redirect.
fn next_url(first: &Url, url: &Url, head: &Head) -> Result<Url, Cause> {
    let location = head.field("location").ok_or(Cause::NoLocation(head.status))?;
    let mut next = url.join(location).map_err(|why| Cause::Redirect {
        to: super::shown::Shown(location.split(['?', '#']).next().unwrap_or("").as_bytes())
            .to_string(),
        why: RedirectRefusal::Url(why),
    })?;
    if next.scheme < url.scheme {
        return Err(Cause::Redirect { to: next.to_string(), why: RedirectRefusal::Weaker });
    }
    let is_same_place = (next.scheme, next.host.as_str(), next.port)
        == (first.scheme, first.host.as_str(), first.port);
    let given = first.userinfo.clone().filter(|_| is_same_place);
    next.userinfo = next.userinfo.or(given);
    Ok(next)
}

/// The pause that a server asks for, within reason.
fn retry_after_s(head: &Head) -> u64 {
    head.field("retry-after").and_then(|value| value.parse().ok()).unwrap_or(0).min(60)
}

/// A URL that could not be read, without what may be secret in it.
fn shown(text: &str) -> String {
    if let Ok(url) = Url::parse(text) {
        return url.to_string();
    }
    let text = text.split(['?', '#']).next().unwrap_or("");
    let text = match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => text.to_owned(),
    };
    super::shown::Shown(text.as_bytes()).to_string()
}
