//! JSON as far as this program needs it: objects of plain values, on one line.
//! Not a library: nothing nests, so that nothing that a program sends can cost more than its own length.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// A plain value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A whole number that is not negative.
    Number(u64),
    /// `true`, `false`, or `null`.
    Word(&'static str),
}

/// Reads one object of plain values; says what is wrong with any other text.
pub fn read(text: &str) -> Result<BTreeMap<String, Value>, String> {
    let mut reader = Reader { rest: text.chars().peekable() };
    let mut fields = BTreeMap::new();
    reader.expect('{')?;
    if reader.next_is('}') {
        reader.rest.next();
    } else {
        loop {
            let name = reader.text()?;
            reader.expect(':')?;
            let value = reader.value()?;
            if fields.insert(name.clone(), value).is_some() {
                return Err(format!("`{}` is said twice", name.escape_debug()));
            }
            match reader.after_space() {
                Some(',') => {}
                Some('}') => break,
                _ => return Err("a comma or the end of the object is missing".into()),
            }
        }
    }
    match reader.after_space() {
        None => Ok(fields),
        Some(_) => Err("something follows the object".into()),
    }
}

/// A string as JSON has it.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

struct Reader<'t> {
    rest: Peekable<Chars<'t>>,
}

impl Reader<'_> {
    fn after_space(&mut self) -> Option<char> {
        while self.rest.next_if(|c| matches!(c, ' ' | '\t' | '\r' | '\n')).is_some() {}
        self.rest.next()
    }

    fn next_is(&mut self, wanted: char) -> bool {
        while self.rest.next_if(|c| matches!(c, ' ' | '\t' | '\r' | '\n')).is_some() {}
        self.rest.peek() == Some(&wanted)
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        match self.after_space() {
            Some(c) if c == wanted => Ok(()),
            _ => Err(format!("`{wanted}` is missing")),
        }
    }

    fn value(&mut self) -> Result<Value, String> {
        if self.next_is('"') {
            return self.text().map(Value::Text);
        }
        let mut word = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric()) {
            word.push(c);
        }
        match word.as_str() {
            "true" => Ok(Value::Word("true")),
            "false" => Ok(Value::Word("false")),
            "null" => Ok(Value::Word("null")),
            number => number
                .parse()
                .map(Value::Number)
                .map_err(|_| "values are strings and whole numbers from 0".into()),
        }
    }

    fn text(&mut self) -> Result<String, String> {
        self.expect('"')?;
        let mut text = String::new();
        loop {
            match self.rest.next() {
                None => return Err("a string does not end".into()),
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                Some(c) if c < ' ' => return Err("a control character in a string".into()),
                Some(c) => text.push(c),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        Ok(match self.rest.next() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => return self.code_point(),
            _ => return Err("no such escape in a string".into()),
        })
    }

    /// Four digits, or twice four for what is beyond the basic plane.
    fn code_point(&mut self) -> Result<char, String> {
        let first = self.four_digits()?;
        let code = match first {
            0xd800..0xdc00 => {
                if (self.rest.next(), self.rest.next()) != (Some('\\'), Some('u')) {
                    return Err("half a character in a string".into());
                }
                let second = self.four_digits()?;
                let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400);
                0x10000 + ((first - 0xd800) << 10) + low.ok_or("half a character in a string")?
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| "half a character in a string".into())
    }

    fn four_digits(&mut self) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.rest.next().and_then(|c| c.to_digit(16));
            code = code * 16 + digit.ok_or("four digits follow \\u in a string")?;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_request_is_read() {
        let fields =
            read(r#" {"do":"enter", "generation": 3,"as":"\u00e4\ud83d\ude00\"\n", "x":null} "#);
        let fields = fields.unwrap();
        assert_eq!(fields["do"], Value::Text("enter".into()));
        assert_eq!(fields["generation"], Value::Number(3));
        assert_eq!(fields["as"], Value::Text("ä😀\"\n".into()));
        assert_eq!(read("{}").unwrap().len(), 0);
    }

    #[test]
    fn what_is_no_flat_object_is_refused() {
        for text in [
            "",
            "{",
            "[]",
            "{}x",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":-1}"#,
            r#"{"a":1.5}"#,
            r#"{"a":[1]}"#,
            r#"{"a":{}}"#,
            r#"{"a":1,}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\ud800\u0041"}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"#,
            "{\"a\":\"\u{1}\"}",
            r#"{"a":18446744073709551616}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_everybody_else_writes_is_read_and_the_other_way_round() {
        let all: String = (0..0x3000).filter_map(char::from_u32).chain(['😀']).collect();
        let theirs = serde_json::to_string(&serde_json::json!({ "a": all })).unwrap();
        assert_eq!(read(&theirs).unwrap()["a"], Value::Text(all.clone()));
        assert_eq!(serde_json::from_str::<String>(&quoted(&all)).unwrap(), all);
    }
}
