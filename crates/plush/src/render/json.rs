//! JSON for programs, which a terminal may be given too.
//! Not the shapes: those are the protocol's, with their versions.

use crate::render::text::is_forbidden;
use serde::Serialize;
use std::fmt::Write;

/// One value on one line; what a terminal might obey is written as `\uNNNN`.
pub fn line(value: &impl Serialize) -> String {
    let json =
        serde_json::to_string(value).expect("what is shown holds nothing that JSON cannot say");
    if !json.chars().any(is_forbidden) {
        return json;
    }
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        // Outside strings JSON has no such character, so this is always inside one.
        match c {
            c if is_forbidden(c) => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                write!(safe, "\\u{unit:04x}").expect("writing to a String succeeds");
            }),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_reads_back_and_harms_no_terminal(text in any::<String>()) {
            let shown = line(&text);
            prop_assert!(!shown.chars().any(|c| is_forbidden(c) || c == '\n'));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).expect("it is JSON"), text);
        }
    }

    #[test]
    fn a_direction_override_is_spelt_out() {
        assert_eq!(line(&"a\u{202e}b\u{7f}"), "\"a\\u202eb\\u007f\"");
    }
}
