//! The reference tables of the documentation.
//! The guide around them is written by hand.

use crate::not_yet::marks;
use crate::value::Scalar;
use crate::vocabulary::{
    EARLY_RECORDS, Field, Kind, RECORDS, Record, STEP_TAGS, StepHead, Variables, Xml,
};

/// The reference of the language in Markdown: every element, attribute and key.
pub fn reference() -> String {
    let mut out = String::new();
    for record in RECORDS {
        section(record, &mut out);
    }
    steps(&mut out);
    early(&mut out);
    out
}

fn section(record: &Record, out: &mut String) {
    out.push_str(&format!("### {}\n\n{}\n\n", record.name, record.doc));
    if let Some(short) = record.short {
        let forms = [("90%", "a bare share such as `90%`"), ("5", "a bare number")];
        let forms = forms
            .into_iter()
            .filter_map(|(value, form)| Some(format!("; {form} for `{}`", record.key_for(value)?)));
        let forms: String = forms.collect();
        out.push_str(&format!("Short form: a bare value stands for `{short}`{forms}.\n\n"));
    }
    if record.foreign {
        out.push_str("Carries foreign keys (`x-`...) and elements along.\n\n");
    }
    out.push_str(
        "| YAML | XML | value | default | meaning | example |\n|---|---|---|---|---|---|\n",
    );
    for field in record.fields {
        out.push_str(&row(field, &field_key(field), &marks(record.name, field.key), false));
    }
    if let Some(rest) = record.rest {
        out.push_str(&row(rest, "*FACT*", "", true));
    }
    out.push('\n');
}

fn field_key(field: &Field) -> String {
    let aliases: Vec<String> = field.aliases.iter().map(|a| format!("`{a}`")).collect();
    match aliases.is_empty() {
        true => format!("`{}`", field.key),
        false => format!("`{}`, {}", field.key, aliases.join(", ")),
    }
}

fn row(field: &Field, key: &str, mark: &str, is_rest: bool) -> String {
    let default = match (field.required, field.default) {
        (true, _) => "**required**".to_string(),
        (false, "") => String::new(),
        (false, default) => default.to_string(),
    };
    let task =
        if field.variables == Variables::Task { " Variables of the task may be used." } else { "" };
    let example = match is_rest {
        true => format!("`{}`", field.example),
        false => format!("`{}: {}`", field.key, field.example),
    };
    let cells = [
        key.to_string(),
        xml(field),
        kind(&field.kind),
        default,
        format!("{}{task}{mark}", field.doc),
        example,
    ];
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn xml(field: &Field) -> String {
    let key = match &field.kind {
        Kind::Dict(key, ..) => format!(" {key}=\"...\""),
        Kind::List(Kind::Scalar(Scalar::Name)) => " name=\"...\"".to_string(),
        Kind::Scalar(_) | Kind::Record(_) | Kind::List(_) | Kind::Steps => String::new(),
    };
    match field.xml {
        Xml::Attribute => format!("`{}=\"...\"`", field.key),
        Xml::Element => format!("`<{}>`", field.key),
        Xml::Items(item) => format!("`<{item}{key}>`, repeated"),
        Xml::Wrapped(wrapper, item) => format!("`<{wrapper}>` of `<{item}{key}>`"),
    }
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Scalar(scalar) => self::scalar(*scalar),
        Kind::Record(record) => format!("[{0}](#{0})", record.name),
        Kind::List(of) => format!("list of {}", self::kind(of)),
        Kind::Dict(_, _, of) => format!("names to {}", self::kind(of)),
        Kind::Steps => "list of [steps](#steps)".to_string(),
    }
}

/// What a plain value may be, in words.
pub(super) fn scalar(scalar: Scalar) -> String {
    match scalar {
        Scalar::Name => "name".to_string(),
        Scalar::Text => "text".to_string(),
        Scalar::Raw => "text, exactly".to_string(),
        Scalar::Line => "line for `/bin/sh`, exactly".to_string(),
        Scalar::Path => "path".to_string(),
        Scalar::Word => "word".to_string(),
        Scalar::Within => "relative path".to_string(),
        Scalar::Bool => "`true` or `false`".to_string(),
        Scalar::Whole(min, max) if max >= u64::from(u32::MAX) => format!("whole number from {min}"),
        Scalar::Whole(min, max) if min == max => format!("{min}"),
        Scalar::Whole(min, max) => format!("whole number, {min} to {max}"),
        Scalar::Number => "number".to_string(),
        Scalar::Percent => "percent, 0 to 100".to_string(),
        Scalar::Duration => "duration".to_string(),
        Scalar::Size => "size".to_string(),
        Scalar::Choice(words) => {
            words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
        }
        Scalar::Hosts => "host set".to_string(),
        Scalar::CountOrAll => "whole number from 1, or `all`".to_string(),
        Scalar::CountOrShare(min) => {
            format!("whole number from {min}, or a share of `wanted` such as `90%`")
        }
        Scalar::Sha256 => "64 hexadecimal digits".to_string(),
        Scalar::Signal => "signal".to_string(),
        Scalar::OnChange => "`nothing`, `replace`, signal".to_string(),
        Scalar::Mode => "octal permissions".to_string(),
        Scalar::EnvName => "name of a variable".to_string(),
        Scalar::Url => "URL, http or https".to_string(),
        Scalar::Quantity => "number with an optional unit".to_string(),
        Scalar::Per => "number, or number `per` duration".to_string(),
        Scalar::Span => "duration `..` duration".to_string(),
        Scalar::Numbers => "number`..`number, with `/`step".to_string(),
        Scalar::Condition => "condition".to_string(),
    }
}

fn steps(out: &mut String) {
    out.push_str("### steps\n\nA step is one of these. In XML it is an element of that name; `id` is an attribute, `after` is `<predecessor name=\"...\">`, repeated.\n\n");
    out.push_str("| YAML | XML | holds |\n|---|---|---|\n");
    for (tag, head) in STEP_TAGS {
        let (yaml, xml, holds) = match head {
            StepHead::Named(record) => (
                format!("`{tag}: NAME`"),
                format!("`<{tag} name=\"NAME\">`"),
                format!("the fields of [{0}](#{0}), beside it", record.name),
            ),
            StepHead::Within(record) => (
                format!("`{tag}: {{...}}`"),
                format!("`<{tag}>`"),
                format!("the fields of [{0}](#{0}), within it", record.name),
            ),
            StepHead::Steps => {
                (format!("`{tag}: [...]`"), format!("`<{tag}>`"), "steps".to_string())
            }
        };
        out.push_str(&format!("| {yaml} | {xml} | {holds}{} |\n", marks("steps", tag)));
    }
    out.push('\n');
}

fn early(out: &mut String) {
    out.push_str("### early XML\n\nElements of the original XML that are understood for ever, and rewritten at reading.\n\n");
    out.push_str("| element | within | attributes | elements | meaning |\n|---|---|---|---|---|\n");
    for record in &EARLY_RECORDS {
        let list =
            |words: &[&str]| words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ");
        let row = format!(
            "| `<{}>` | {} | {} | {} | {} |\n",
            record.name,
            record.within,
            list(record.attributes),
            list(record.elements),
            record.doc
        );
        out.push_str(&row);
    }
    out.push('\n');
}
