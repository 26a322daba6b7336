//! The lines on the tasks' socket: one JSON object per request, one per answer.
//! Not the socket.

use crate::flat_json::{self, Value, quoted};
use plush_protocol::{BarrierOutcome, BarrierVerb, escape};
use std::time::Duration;

/// Longest line of a request, in bytes.
pub const MAX_LINE_BYTES: usize = 4096;

/// A request as a program says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub verb: BarrierVerb,
    /// Of which barrier.
    pub barrier: String,
    /// In which round; `None` is the entrant's own next one.
    pub generation: Option<u32>,
    /// The name under which the program enters; empty for that of its task.
    pub alias: String,
    /// How long it waits to be let go; then its entrance is taken back.
    pub limit: Option<Duration>,
    /// The number under which it asks again after a broken connection.
    pub request: Option<u64>,
}

/// What a program is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The controller's answer.
    Answer(BarrierOutcome),
    /// The time limit of the request is over.
    TimedOut,
    /// The line makes no sense.
    Nonsense(String),
}

impl Request {
    /// Reads a line.
    pub fn read(line: &str) -> Result<Request, String> {
        let mut fields = flat_json::read(line)?;
        let verb = match text(fields.remove("do"), "do")?.as_deref() {
            Some("enter") => BarrierVerb::Enter,
            Some("signal") => BarrierVerb::Signal,
            Some("leave") => BarrierVerb::Leave,
            Some("state") => BarrierVerb::State,
            _ => return Err("`do` is one of enter, signal, leave, state".into()),
        };
        let barrier = text(fields.remove("barrier"), "barrier")?.ok_or("`barrier` is missing")?;
        let generation = match number(fields.remove("generation"), "generation")? {
            None => None,
            Some(n) => {
                Some(u32::try_from(n).ok().filter(|n| *n > 0).ok_or("`generation` counts from 1")?)
            }
        };
        let alias = text(fields.remove("as"), "as")?.unwrap_or_default();
        let limit = number(fields.remove("timeout_ms"), "timeout_ms")?.map(Duration::from_millis);
        let request = number(fields.remove("request"), "request")?;
        match fields.keys().next() {
            None => Ok(Request { verb, barrier, generation, alias, limit, request }),
            Some(other) => Err(format!("`{}` is unknown", escape(other.as_bytes()))),
        }
    }

    /// The line, with its newline.
    pub fn line(&self) -> String {
        let verb = match self.verb {
            BarrierVerb::Enter => "enter",
            BarrierVerb::Signal => "signal",
            BarrierVerb::Leave => "leave",
            BarrierVerb::State => "state",
        };
        let mut fields = vec![("do", quoted(verb)), ("barrier", quoted(&self.barrier))];
        fields.extend(self.generation.map(|n| ("generation", n.to_string())));
        fields.extend((!self.alias.is_empty()).then(|| ("as", quoted(&self.alias))));
        fields.extend(self.limit.map(|l| ("timeout_ms", l.as_millis().to_string())));
        fields.extend(self.request.map(|n| ("request", n.to_string())));
        object(fields)
    }
}

impl Reply {
    /// The line, with its newline.
    pub fn line(&self) -> String {
        let outcome = match self {
            Reply::Answer(outcome) => outcome,
            Reply::TimedOut => return object(vec![("result", quoted("timeout"))]),
            Reply::Nonsense(why) => {
                return object(vec![("result", quoted("refused")), ("why", quoted(why))]);
            }
        };
        let result = |word: &str| ("result", quoted(word));
        let round = |n: &u32| ("generation", n.to_string());
        object(match outcome {
            BarrierOutcome::LetGo { generation, why, waited_ms, .. } => vec![
                result("released"),
                round(generation),
                ("why", quoted(why)),
                ("waited_ms", waited_ms.to_string()),
            ],
            BarrierOutcome::Entered { generation } => vec![result("entered"), round(generation)],
            BarrierOutcome::Left { generation } => vec![result("left"), round(generation)],
            BarrierOutcome::TooLate { generation, why } => {
                vec![result("too_late"), round(generation), ("why", quoted(why))]
            }
            BarrierOutcome::Dropped { why } => vec![result("dropped"), ("why", quoted(why))],
            BarrierOutcome::Unknown { known } => {
                let known: Vec<String> = known.iter().map(|name| quoted(name)).collect();
                vec![result("unknown"), ("known", format!("[{}]", known.join(",")))]
            }
            BarrierOutcome::Refused { why } => vec![result("refused"), ("why", quoted(why))],
            BarrierOutcome::Stands(stand) => vec![
                result("state"),
                round(&stand.generation),
                ("expected", stand.expected.to_string()),
                ("entered", stand.entered.to_string()),
                ("released", stand.released.to_string()),
                ("opened", stand.opened.as_deref().map_or("null".into(), quoted)),
            ],
        })
    }
}

fn object(fields: Vec<(&str, String)>) -> String {
    let fields: Vec<String> =
        fields.into_iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
    format!("{{{}}}\n", fields.join(","))
}

fn text(value: Option<Value>, name: &str) -> Result<Option<String>, String> {
    match value {
        None | Some(Value::Word("null")) => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(Value::Number(_) | Value::Word(_)) => Err(format!("`{name}` is a string")),
    }
}

fn number(value: Option<Value>, name: &str) -> Result<Option<u64>, String> {
    match value {
        None | Some(Value::Word("null")) => Ok(None),
        Some(Value::Number(number)) => Ok(Some(number)),
        Some(Value::Text(_) | Value::Word(_)) => Err(format!("`{name}` is a whole number")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_request_reads_back() {
        let request = Request {
            verb: BarrierVerb::Enter,
            barrier: "round \"1\"".into(),
            generation: Some(7),
            alias: "w1".into(),
            limit: Some(Duration::from_millis(1_500)),
            request: Some(u64::MAX),
        };
        assert_eq!(Request::read(&request.line()), Ok(request));
    }

    #[test]
    fn a_wrong_word_is_named() {
        for (line, word) in [
            (r#"{"do":"jump","barrier":"b"}"#, "`do`"),
            (r#"{"do":"enter"}"#, "`barrier`"),
            (r#"{"do":"enter","barrier":1}"#, "`barrier`"),
            (r#"{"do":"enter","barrier":"b","generation":0}"#, "`generation`"),
            (r#"{"do":"enter","barrier":"b","gneration":1}"#, "`gneration`"),
        ] {
            assert!(Request::read(line).unwrap_err().contains(word), "{line}");
        }
    }

    #[test]
    fn answers_are_json_for_everybody_else() {
        let known = vec!["a\"b".into(), "c".into()];
        let line = Reply::Answer(BarrierOutcome::Unknown { known }).line();
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["known"][0], "a\"b");
        assert_eq!(value["result"], "unknown");
    }
}
