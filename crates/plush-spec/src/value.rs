//! The little languages of single values: durations, sizes, ranges and the like, read and written.
//! It knows nothing of where a value stands; it says what is wrong with it, not where.

use crate::model::{Name, OnChange, Range, Signal, Test};

/// What is wrong with a value, and perhaps what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub message: String,
    pub hint: Option<String>,
}

impl Fault {
    pub fn new(message: impl Into<String>) -> Fault {
        Fault { message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar {
    /// A name that the author gives, or uses.
    Name,
    /// Free text, without white space around it.
    Text,
    /// Free text, exactly as written.
    Raw,
    /// A line for `/bin/sh`, exactly as written.
    Line,
    /// A path, a URL, a repository: no leading `-`, no control characters.
    Path,
    /// One word for a program: no leading `-`, no control characters.
    Word,
    /// A relative path or glob that stays below its directory.
    Within,
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds.
    Whole(u64, u64),
    /// A number.
    Number,
    /// A number from 0 to 100, with or without `%`.
    Percent,
    /// A time such as `5 s`.
    Duration,
    /// A number of bytes such as `4 GiB`.
    Size,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A host set.
    Hosts,
    /// A whole number of hosts, or `all`.
    CountOrAll,
    /// A whole number of hosts from this on, or a share of those that are wanted, such as `90%`.
    CountOrShare(u64),
    /// 64 hexadecimal digits.
    Sha256,
    /// A signal's name or number.
    Signal,
    /// `nothing`, `replace` or a signal.
    OnChange,
    /// Permissions in octal.
    Mode,
    /// A name of an environment variable.
    EnvName,
    /// An `http` or `https` URL.
    Url,
    /// A number with a unit of time or size.
    Quantity,
    /// `10` or `10 per 1 h`.
    Per,
    /// `1 s .. 60 s`.
    Span,
    /// `1..400` or `1..400/2`.
    Numbers,
    /// `>= 2`, `1 .. 4 GiB`, `Linux`.
    Condition,
}

impl Scalar {
    /// Whether surrounding white space is part of it.
    pub fn is_exact(self) -> bool {
        matches!(self, Scalar::Raw | Scalar::Line)
    }
}

/// Checks a value.
pub(crate) fn check(scalar: Scalar, text: &str) -> Result<(), Fault> {
    printable(text)?;
    match scalar {
        Scalar::Name => name(text).map(drop),
        Scalar::Text | Scalar::Raw | Scalar::Line => Ok(()),
        Scalar::Path => path(text),
        Scalar::Word => path(text).map_err(|fault| Fault {
            hint: None,
            message: fault.message.replace("a path", "this"),
        }),
        Scalar::Within => within(text),
        Scalar::Bool => bool(text).map(drop),
        Scalar::Whole(min, max) => whole(text, min, max).map(drop),
        Scalar::Number => number(text).map(drop),
        Scalar::Percent => percent(text).map(drop),
        Scalar::Duration => duration_ms(text).map(drop),
        Scalar::Size => size_bytes(text).map(drop),
        Scalar::Choice(words) => choice(text, words).map(drop),
        Scalar::Hosts => hosts(text),
        Scalar::CountOrAll => count_or_all(text).map(drop),
        Scalar::CountOrShare(min) => count_or_share(text, min).map(drop),
        Scalar::Sha256 => sha256(text).map(drop),
        Scalar::Signal => signal(text).map(drop),
        Scalar::OnChange => on_change(text).map(drop),
        Scalar::Mode => mode(text).map(drop),
        Scalar::EnvName => env_name(text),
        Scalar::Url => url(text),
        Scalar::Quantity => quantity(text).map(drop),
        Scalar::Per => per(text).map(drop),
        Scalar::Span => span_ms(text).map(drop),
        Scalar::Numbers => numbers(text).map(drop),
        Scalar::Condition => condition(text).map(drop),
    }
}

pub(crate) fn name(text: &str) -> Result<Name, Fault> {
    Name::new(text).map_err(|fault| {
        Fault::new(format!("`{}` is no name: {fault}", shown(text))).hint(
            "a name has letters, digits and `_ - . +`, and begins with a letter, a digit or `_`",
        )
    })
}

/// What XML could not hold, YAML may not hold either: every description can be written in both.
fn printable(text: &str) -> Result<(), Fault> {
    let is_bad = |c: &char| {
        (c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r'))
            || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    match text.chars().find(is_bad) {
        Some(c) => {
            Err(Fault::new(format!("a text cannot hold the character {:#04x}", u32::from(c)))
                .hint("let the program make it, for example with `printf`"))
        }
        None => Ok(()),
    }
}

fn path(text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::new("a path cannot be empty"));
    }
    if text.starts_with('-') {
        return Err(Fault::new(format!(
            "`{}` begins with `-`, which programs take for an option",
            shown(text)
        ))
        .hint(format!("write `./{}` if it is a file", shown(text))));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(Fault::new(format!("a path cannot hold `{}`", c.escape_debug()))),
        None => Ok(()),
    }
}

fn within(text: &str) -> Result<(), Fault> {
    path(text)?;
    if text.starts_with('/') || text.starts_with('~') {
        return Err(Fault::new(format!("`{}` is not below the run's directory", shown(text)))
            .hint("write a path relative to the run's directory on the host"));
    }
    match text.split('/').any(|part| part == "..") {
        true => Err(Fault::new(format!("`{}` leaves the run's directory with `..`", shown(text)))),
        false => Ok(()),
    }
}

pub(crate) fn bool(text: &str) -> Result<bool, Fault> {
    match text {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(Fault::new(format!("`{}` is neither `true` nor `false`", shown(text)))),
    }
}

pub(crate) fn whole(text: &str, min: u64, max: u64) -> Result<u64, Fault> {
    let bad = || Fault::new(format!("`{}` is no whole number", shown(text)));
    let digits = text.replace('_', "");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let value = digits.parse::<u64>().ok().filter(|v| (min..=max).contains(v));
    value.ok_or_else(|| Fault::new(format!("{} is not between {min} and {max}", shown(text))))
}

pub(crate) fn number(text: &str) -> Result<f64, Fault> {
    let is_number = text.bytes().any(|b| b.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    let value = text.parse::<f64>().ok().filter(|v| is_number && v.is_finite());
    value.ok_or_else(|| Fault::new(format!("`{}` is no number", shown(text))))
}

pub(crate) fn percent(text: &str) -> Result<f64, Fault> {
    let value = number(text.strip_suffix('%').unwrap_or(text).trim_end())?;
    match (0.0..=100.0).contains(&value) {
        true => Ok(value),
        false => Err(Fault::new(format!("{} is not between 0 and 100 percent", shown(text)))),
    }
}

const TIME_UNITS: [(&str, f64); 14] = [
    ("ms", 1.0),
    ("s", 1e3),
    ("sec", 1e3),
    ("second", 1e3),
    ("seconds", 1e3),
    ("min", 6e4),
    ("minute", 6e4),
    ("minutes", 6e4),
    ("h", 3.6e6),
    ("hour", 3.6e6),
    ("hours", 3.6e6),
    ("d", 8.64e7),
    ("day", 8.64e7),
    ("days", 8.64e7),
];

const SIZE_UNITS: [(&str, f64); 10] = [
    ("B", 1.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
    ("PiB", 1_125_899_906_842_624.0),
];

/// Ten thousand years: more is a mistake.
const DURATION_MS_MAX: f64 = 3.2e14;
/// More bytes than these are a mistake, and not exact in a floating number.
const SIZE_BYTES_MAX: f64 = 9e15;

fn split_unit(text: &str) -> (&str, &str) {
    let at = text.find(|c: char| c.is_alphabetic() || c == '%').unwrap_or(text.len());
    (text[..at].trim(), text[at..].trim())
}

pub(crate) fn duration_ms(text: &str) -> Result<u64, Fault> {
    let (digits, unit) = split_unit(text);
    let hint =
        "write a number and one of ms, s, min, h, d, such as `5 s`; a bare number is seconds";
    let value = number(digits)
        .map_err(|_| Fault::new(format!("`{}` is no duration", shown(text))).hint(hint))?;
    let factor = match unit {
        "" => Some(1e3),
        "m" => None,
        _ => TIME_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor),
    };
    let factor = factor
        .ok_or_else(|| Fault::new(format!("`{}` is no unit of time", shown(unit))).hint(hint))?;
    in_bounds(value * factor, DURATION_MS_MAX, text)
}

pub(crate) fn size_bytes(text: &str) -> Result<u64, Fault> {
    let (digits, unit) = split_unit(text);
    let hint = "write a number and one of B, kB, MB, GB, KiB, MiB, GiB, TiB, such as `4 GiB`";
    let value = number(digits)
        .map_err(|_| Fault::new(format!("`{}` is no size", shown(text))).hint(hint))?;
    let factor = match unit {
        "" => Some(1.0),
        _ => SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor),
    };
    let factor = factor
        .ok_or_else(|| Fault::new(format!("`{}` is no unit of size", shown(unit))).hint(hint))?;
    in_bounds(value * factor, SIZE_BYTES_MAX, text)
}

fn in_bounds(value: f64, max: f64, text: &str) -> Result<u64, Fault> {
    if value < 0.0 {
        return Err(Fault::new(format!("{} is negative", shown(text))));
    }
    if value > max {
        return Err(Fault::new(format!("{} is too much", shown(text))));
    }
    if (value - value.round()).abs() > 1e-6 {
        return Err(Fault::new(format!("{} is finer than what can be measured", shown(text))));
    }
    Ok(value.round() as u64)
}

pub(crate) fn choice(text: &str, words: &[&'static str]) -> Result<&'static str, Fault> {
    if let Some(word) = words.iter().find(|word| **word == text) {
        return Ok(word);
    }
    let fault = Fault::new(format!("`{}` is not known here", shown(text)));
    Err(match nearest(text, words.iter().copied()) {
        Some(word) => fault.hint(format!("did you mean `{word}`?")),
        None => fault.hint(format!("choose one of: {}", words.join(", "))),
    })
}

pub(crate) fn hosts(text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::new("a host set cannot be empty"));
    }
    let is_good = |c: char| c.is_alphanumeric() || c == ' ' || "_-.:@[],!&^*?/%+".contains(c);
    if let Some(bad) = text.chars().find(|c| !is_good(*c)) {
        return Err(Fault::new(format!("a host set cannot hold `{}`", bad.escape_debug())));
    }
    Ok(())
}

/// A number of hosts; `None` is all.
pub(crate) fn count_or_all(text: &str) -> Result<Option<u32>, Fault> {
    if text == "all" {
        return Ok(None);
    }
    whole(text, 1, HOSTS_MAX)
        .map(|count| Some(count as u32))
        .map_err(|fault| fault.hint("write a number from 1, or `all`"))
}

/// A number of hosts, or a share of others in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum CountOrShare {
    Count(u32),
    Percent(f64),
}

pub(crate) fn count_or_share(text: &str, min: u64) -> Result<CountOrShare, Fault> {
    if text.ends_with('%') {
        return percent(text).map(CountOrShare::Percent);
    }
    whole(text, min, u64::from(u32::MAX)).map(|count| CountOrShare::Count(count as u32))
}

/// More hosts than these are a mistake.
pub(crate) const HOSTS_MAX: u64 = 1_000_000;

pub(crate) fn sha256(text: &str) -> Result<String, Fault> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Fault::new(format!("`{}` is no SHA-256", shown(text)))
            .hint("it has 64 hexadecimal digits, as `sha256sum FILE` prints them"));
    }
    Ok(digits.to_ascii_lowercase())
}

/// A signal by its name, with or without `SIG`, or by its number.
pub(crate) fn signal(text: &str) -> Result<Signal, Fault> {
    let number = text.parse::<i32>().ok();
    let found = Signal::named(text).or_else(|| number.and_then(Signal::numbered));
    found.ok_or_else(|| no_signal(text, number))
}

fn no_signal(text: &str, number: Option<i32>) -> Fault {
    let bare = text.strip_prefix("SIG").unwrap_or(text).to_ascii_uppercase();
    if bare.starts_with("RT") || number.is_some_and(|n| (32..=64).contains(&n)) {
        return Fault::new(format!("`{}` is a real-time signal, which Plush does not send", shown(text)))
            .hint("its number depends on the C library of the program; choose another signal, such as `USR1`");
    }
    let fault = Fault::new(format!("`{}` is no signal", shown(text)));
    match nearest(&bare, Signal::names()) {
        Some(name) => fault.hint(format!("did you mean `{name}`?")),
        None => fault.hint("write a name such as `TERM`"),
    }
}

/// Keywords of a template's `on_change` beside signals.
pub(crate) const ON_CHANGE_WORDS: [&str; 2] = ["nothing", "replace"];

/// The reaction to a change of a template's text.
pub(crate) fn on_change(text: &str) -> Result<OnChange, Fault> {
    match text {
        "nothing" => Ok(OnChange::Nothing),
        "replace" => Ok(OnChange::Replace),
        _ => signal(text).map(OnChange::Signal).map_err(|fault| {
            let message = match fault.message.strip_suffix("is no signal") {
                Some(start) => format!("{start}is neither `nothing` nor `replace` nor a signal"),
                None => fault.message,
            };
            match nearest(text, ON_CHANGE_WORDS.iter().copied()) {
                Some(word) => Fault::new(message).hint(format!("did you mean `{word}`?")),
                None => Fault { message, hint: fault.hint },
            }
        }),
    }
}

pub(crate) fn mode(text: &str) -> Result<u32, Fault> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal =
        (3..=4).contains(&digits.len()) && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if is_octal && mode <= 0o777 => Ok(mode),
        _ => Err(Fault::new(format!("`{}` are no permissions", shown(text)))
            .hint("write three octal digits such as `644`")),
    }
}

pub(crate) fn env_name(text: &str) -> Result<(), Fault> {
    let good = !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match good {
        true => Ok(()),
        false => {
            Err(Fault::new(format!("`{}` is no name of an environment variable", shown(text)))
                .hint("it has letters, digits and `_`, and does not begin with a digit"))
        }
    }
}

pub(crate) fn url(text: &str) -> Result<(), Fault> {
    path(text)?;
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(
            Fault::new(format!("`{}` is no URL", shown(text))).hint("write `https://HOST/PATH`")
        );
    };
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        return Err(Fault::new(format!("the scheme `{}` is not allowed", shown(scheme)))
            .hint("only http and https are fetched"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || text.contains(char::is_whitespace) {
        return Err(
            Fault::new(format!("`{}` is no URL", shown(text))).hint("write `https://HOST/PATH`")
        );
    }
    match authority.contains('@') {
        true => Err(Fault::new("a URL with a user name or password in it would show up in logs")
            .hint("use a secret, or a server that needs none")),
        false => Ok(()),
    }
}

/// A number in base units: bytes for sizes, milliseconds for times.
pub(crate) fn quantity(text: &str) -> Result<f64, Fault> {
    let (digits, unit) = split_unit(text);
    let text = text.trim();
    if let Ok(value) = number(text) {
        return Ok(value);
    }
    let value =
        number(digits).map_err(|_| Fault::new(format!("`{}` is no number", shown(text))))?;
    if unit == "%" {
        return Ok(value);
    }
    let known = TIME_UNITS.iter().chain(SIZE_UNITS.iter()).find(|(name, _)| *name == unit);
    known.map(|(_, factor)| value * factor).ok_or_else(|| {
        Fault::new(format!("`{}` is no unit", shown(unit)))
            .hint("sizes: B, kB, MB, GB, KiB, MiB, GiB, TiB; times: ms, s, min, h, d")
    })
}

/// A number, and the window in milliseconds that it is counted in.
pub(crate) fn per(text: &str) -> Result<(u32, Option<u64>), Fault> {
    let hint = "write `10` or `10 per 1 h`";
    let (count, window) = match text.split_once(" per ") {
        Some((count, window)) => (count.trim(), Some(duration_ms(window.trim())?)),
        None => (text, None),
    };
    let count = whole(count, 0, u64::from(u32::MAX)).map_err(|fault| fault.hint(hint))?;
    match window {
        Some(0) => Err(Fault::new("a window of no length counts nothing").hint(hint)),
        window => Ok((count as u32, window)),
    }
}

/// From, to, in milliseconds.
pub(crate) fn span_ms(text: &str) -> Result<(u64, u64), Fault> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (duration_ms(from.trim())?, duration_ms(to.trim())?);
    match from <= to {
        true => Ok((from, to)),
        false => Err(Fault::new(format!("`{}` ends before it begins", shown(text)))),
    }
}

/// First, last, step.
pub(crate) fn numbers(text: &str) -> Result<(i64, i64, u32), Fault> {
    let bad = || {
        Fault::new(format!("`{}` is no range of numbers", shown(text)))
            .hint("write `1..400` or `1..400/2`")
    };
    let (range, step) = text.split_once('/').unwrap_or((text, "1"));
    let (first, last) = range.split_once("..").ok_or_else(bad)?;
    let first: i64 = first.trim().parse().map_err(|_| bad())?;
    let last: i64 = last.trim().parse().map_err(|_| bad())?;
    let step: u32 = step.trim().parse().ok().filter(|s| *s > 0).ok_or_else(bad)?;
    if last < first {
        return Err(Fault::new(format!("`{}` ends before it begins", shown(text))));
    }
    let many = last.checked_sub(first).is_none_or(|n| n / i64::from(step) >= ITEMS_MAX);
    match many {
        true => Err(Fault::new(format!("`{}` has more than {ITEMS_MAX} items", shown(text)))),
        false => Ok((first, last, step)),
    }
}

/// More items than these in one workflow are a mistake.
const ITEMS_MAX: i64 = 10_000_000;

/// A condition on a fact.
pub(crate) fn condition(text: &str) -> Result<Test, Fault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Fault::new("a condition cannot be empty")
            .hint("write something like `>= 2`, `1 .. 4` or `Linux`"));
    }
    for (sign, is_min) in [(">=", true), ("<=", false)] {
        if let Some(bound) = text.strip_prefix(sign) {
            let bound = Some(quantity(bound.trim())?);
            return Ok(Test::Range(match is_min {
                true => Range { abs_min: bound, ideal_min: bound, ..Range::default() },
                false => Range { abs_max: bound, ideal_max: bound, ..Range::default() },
            }));
        }
    }
    if text.starts_with(['<', '>', '!']) {
        return Err(Fault::new(format!("`{}` is no condition", shown(text)))
            .hint("the bounds of a range belong to it: use `>=` or `<=`"));
    }
    if let Some((low, high)) = text.split_once("..") {
        let unit = split_unit(high.trim()).1;
        let bound = |text: &str| match text.trim() {
            "" => Ok(None),
            text if split_unit(text).1.is_empty() => quantity(&format!("{text} {unit}")).map(Some),
            text => quantity(text).map(Some),
        };
        let (low, high) = (bound(low)?, bound(high)?);
        if let (Some(low), Some(high)) = (low, high)
            && low > high
        {
            return Err(Fault::new(format!("`{}` ends before it begins", shown(text))));
        }
        return Ok(Test::Range(Range {
            abs_min: low,
            ideal_min: low,
            ideal_max: high,
            abs_max: high,
            penalty: 0.0,
        }));
    }
    let bare = text.trim_start_matches('=').trim();
    match quantity(bare) {
        Ok(value) => {
            let value = Some(value);
            Ok(Test::Range(Range {
                abs_min: value,
                ideal_min: value,
                ideal_max: value,
                abs_max: value,
                penalty: 0.0,
            }))
        }
        Err(_) => Ok(Test::Text { value: bare.to_string(), penalty: None }),
    }
}

/// A duration as people write it.
pub(crate) fn duration_text(ms: u64) -> String {
    for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)] {
        if ms > 0 && ms.is_multiple_of(factor) {
            return format!("{} {unit}", ms / factor);
        }
    }
    match ms {
        0 => "0 s".to_string(),
        _ => format!("{ms} ms"),
    }
}

/// A size as people write it.
pub(crate) fn size_text(bytes: u64) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{} {unit}", bytes >> shift);
        }
    }
    format!("{bytes} B")
}

/// The beginning of a text, fit for a message.
pub(crate) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    let cut = cut.replace("\\'", "'").replace("\\\"", "\"");
    match text.chars().nth(60) {
        Some(_) => cut + "...",
        None => cut,
    }
}

/// The known word closest to a text, if it is close enough: one change in four characters or fewer,
/// two in seven, three beyond, counted in the shorter of the two.
pub fn nearest<'w>(text: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    if text.len() > 64 {
        return None;
    }
    let limit = |word: &str| match text.chars().count().min(word.chars().count()) {
        0..=1 => 0,
        2..=4 => 1,
        5..=7 => 2,
        _ => 3,
    };
    words
        .into_iter()
        .map(|word| (distance(&text.to_lowercase(), &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= limit(word))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Damerau's distance without overlapping swaps.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best =
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_and_sizes_have_units_and_are_written_as_they_are_read() {
        for (text, ms) in
            [("5 s", 5000), ("90", 90_000), ("1.5 h", 5_400_000), ("250ms", 250), ("0 s", 0)]
        {
            assert_eq!(duration_ms(text).unwrap(), ms, "{text}");
            assert_eq!(duration_ms(&duration_text(ms)).unwrap(), ms);
        }
        for (text, bytes) in [("4 GiB", 4 << 30), ("12", 12), ("1.5 kB", 1500), ("1KiB", 1024)] {
            assert_eq!(size_bytes(text).unwrap(), bytes, "{text}");
            assert_eq!(size_bytes(&size_text(bytes)).unwrap(), bytes);
        }
        for bad in ["5 m", "s", "", "-1 s", "1e99 s", "0.1 ms", "five", "nan s", "inf"] {
            assert!(duration_ms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn conditions_are_ranges_or_texts() {
        let range = |text| match condition(text).unwrap() {
            Test::Range(range) => (range.abs_min, range.abs_max),
            Test::Text { .. } => panic!("{text} is a text"),
        };
        assert_eq!(range(">= 1 GiB"), (Some(1_073_741_824.0), None));
        assert_eq!(range("1 .. 4"), (Some(1.0), Some(4.0)));
        assert_eq!(range("1 .. 4 kB"), (Some(1e3), Some(4e3)));
        assert_eq!(range("1 kB .. 4 MB"), (Some(1e3), Some(4e6)));
        assert_eq!(range(".. 50 ms"), (None, Some(50.0)));
        assert_eq!(range("4"), (Some(4.0), Some(4.0)));
        assert_eq!(
            condition("x86_64").unwrap(),
            Test::Text { value: "x86_64".into(), penalty: None }
        );
        assert!(
            condition("> 2").is_err() && condition("4 .. 1").is_err() && condition(">= x").is_err()
        );
    }

    #[test]
    fn the_nearest_word_is_one_that_could_have_been_meant() {
        let words = ["process", "barrier", "workflow"];
        assert_eq!(nearest("proces", words), Some("process"));
        assert_eq!(nearest("barreir", words), Some("barrier"));
        assert_eq!(nearest("zebra", words), None);
        assert_eq!(nearest("rm", ["run", "runs"]), None);
        assert_eq!(nearest("rnu", ["run", "runs"]), Some("run"));
        assert_eq!(nearest("x", ["y", "xy"]), None);
    }
}
