//! The JSON Schema of the YAML syntax, for editors.
//! It is a little more lenient than the parser, which has the last word.

use super::reference::scalar as words_of;
use crate::value::Scalar;
use crate::vocabulary::{Field, Kind, PROJECT, RECORDS, Record, STEP_COMMON, STEP_TAGS, StepHead};
use serde_json::{Map, Value, json};

/// The JSON Schema (2020-12) of a description in YAML.
pub fn json_schema() -> String {
    let mut definitions = Map::new();
    for record in RECORDS {
        definitions.insert(record.name.to_string(), self::record(record));
    }
    definitions.insert("steps".to_string(), json!({"anyOf": [{"$ref": "#/$defs/any_step"}, {"type": "array", "items": {"$ref": "#/$defs/steps"}}]}));
    let tags: Vec<Value> = STEP_TAGS.iter().map(|(tag, head)| step(tag, *head)).collect();
    definitions.insert("any_step".to_string(), json!({"oneOf": tags}));
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Plush application description",
        "$ref": format!("#/$defs/{}", PROJECT.name),
        "$defs": definitions,
    });
    let mut text = serde_json::to_string_pretty(&schema)
        .expect("a value made of texts and maps can be written");
    text.push('\n');
    text
}

fn record(record: &'static Record) -> Value {
    let object = object(record, &[], None);
    let short = record.short.and_then(|short| record.field(short));
    match short {
        Some(field) => {
            let forms = ["90%", "5"].into_iter().filter_map(|value| record.key_for(value));
            let forms = forms.filter_map(|key| record.field(key)).map(|field| kind(&field.kind));
            let all: Vec<Value> = [kind(&field.kind)].into_iter().chain(forms).collect();
            let all = [all, vec![object]].concat();
            json!({"description": record.doc, "anyOf": all})
        }
        None => object,
    }
}

fn object(record: &'static Record, more: &[&'static Field], tag: Option<(&str, Value)>) -> Value {
    let mut properties = Map::new();
    for field in record.fields.iter().chain(more.iter().copied()) {
        for key in std::iter::once(&field.key).chain(field.aliases) {
            properties.insert((*key).to_string(), described(field));
        }
    }
    let mut required: Vec<String> = record
        .fields
        .iter()
        .filter(|f| f.required && f.aliases.is_empty())
        .map(|f| f.key.to_string())
        .collect();
    let is_tagged = tag.is_some();
    if let Some((tag, value)) = tag {
        properties.insert(tag.to_string(), value);
        required.push(tag.to_string());
    }
    let types = if required.is_empty() { json!(["object", "null"]) } else { json!("object") };
    let mut schema = json!({"type": types, "description": record.doc, "properties": properties});
    schema["additionalProperties"] = match record.rest {
        Some(Field { kind: Kind::Dict(_, _, of), .. }) => kind(of),
        _ => json!(false),
    };
    if record.foreign || is_tagged {
        schema["patternProperties"] = json!({"^x-": true});
    }
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn described(field: &Field) -> Value {
    let mut schema = Map::new();
    schema.insert("description".to_string(), json!(field.doc));
    schema.insert("anyOf".to_string(), json!([kind(&field.kind), {"type": "null"}]));
    if !field.default.is_empty() {
        schema.insert("$comment".to_string(), json!(format!("default: {}", field.default)));
    }
    Value::Object(schema)
}

fn kind(kind: &Kind) -> Value {
    match kind {
        Kind::Scalar(scalar) => self::scalar(*scalar),
        Kind::Record(record) => json!({"$ref": format!("#/$defs/{}", record.name)}),
        Kind::List(of) => {
            json!({"anyOf": [self::kind(of), {"type": "array", "items": self::kind(of)}]})
        }
        Kind::Dict(_, _, of) => {
            json!({"type": ["object", "null"], "additionalProperties": {"anyOf": [self::kind(of), {"type": "null"}]}})
        }
        Kind::Steps => json!({"$ref": "#/$defs/steps"}),
    }
}

fn scalar(scalar: Scalar) -> Value {
    let variable = json!({"type": "string", "pattern": "\\$\\{"});
    match scalar {
        Scalar::Choice(words) => json!({"anyOf": [{"enum": words}, variable]}),
        Scalar::Whole(min, max) => {
            json!({"anyOf": [{"type": "integer", "minimum": min, "maximum": max}, variable]})
        }
        Scalar::Bool => {
            json!({"anyOf": [{"type": "boolean"}, {"enum": [0, 1, "yes", "no"]}, variable]})
        }
        Scalar::Number => json!({"anyOf": [{"type": "number"}, variable]}),
        Scalar::CountOrAll => {
            json!({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "all"}, variable]})
        }
        Scalar::Hosts => {
            json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
        }
        Scalar::CountOrShare(min) => {
            let share = json!({"type": "string", "pattern": "%\\s*$"});
            json!({"anyOf": [{"type": "integer", "minimum": min}, share, variable]})
        }
        Scalar::Name => {
            json!({"anyOf": [{"type": "string", "pattern": "^[^-. ][^/\\\\]*$"}, {"type": "integer"}]})
        }
        _ => json!({"type": ["string", "number", "boolean"], "$comment": words_of(scalar)}),
    }
}

fn step(tag: &str, head: StepHead) -> Value {
    let common: Vec<&'static Field> = STEP_COMMON.fields.iter().collect();
    match head {
        StepHead::Named(record) => {
            object(record, &[], Some((tag, kind(&Kind::Scalar(Scalar::Name)))))
        }
        StepHead::Within(record) => {
            object(&STEP_COMMON, &common, Some((tag, kind(&Kind::Record(record)))))
        }
        StepHead::Steps => {
            object(&STEP_COMMON, &common, Some((tag, json!({"$ref": "#/$defs/steps"}))))
        }
    }
}
