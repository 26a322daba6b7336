//! The XML Schema of the XML syntax, early words included.
//! It is a little more lenient than the parser, which has the last word.

use crate::value::Scalar;
use crate::vocabulary::{EARLY_RECORDS, Field, Kind, RECORDS, Record, STEP_TAGS, StepHead, Xml};

/// What foreign namespaces may add anywhere.
const FOREIGN: &str = "<xs:any namespace=\"##other\" processContents=\"lax\"/>";
const FOREIGN_ATTRIBUTE: &str = "<xs:anyAttribute namespace=\"##other\" processContents=\"lax\"/>";
/// Elements of which only the parser knows what they may hold.
const ANYTHING: &str = "anything";

/// The XML Schema (1.0) of a description in XML.
pub fn xsd() -> String {
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\">\n",
    );
    for root in ["plush", "gush"] {
        out.push_str(&format!("  <xs:element name=\"{root}\" type=\"plush\"/>\n"));
    }
    out.push_str(&complex(
        "plush",
        "",
        &[element("project", "named_project")],
        &[attribute("version", false)],
    ));
    for record in RECORDS {
        out.push_str(&self::record(record));
    }
    out.push_str(&keyed("named_project", "project", "name", true));
    out.push_str(&format!("  <xs:complexType name=\"{ANYTHING}\" mixed=\"true\">\n    <xs:sequence><xs:any namespace=\"##any\" processContents=\"skip\" minOccurs=\"0\" maxOccurs=\"unbounded\"/></xs:sequence>\n    <xs:anyAttribute processContents=\"skip\"/>\n  </xs:complexType>\n"));
    out.push_str("  <xs:complexType name=\"reference\" mixed=\"true\">\n    <xs:attribute name=\"name\"/>\n  </xs:complexType>\n");
    out.push_str(&values("value_of_name", "name", true));
    out.push_str(&values("value_of_fact", "fact", true));
    out.push_str(&steps());
    out.push_str(&early());
    out.push_str("</xs:schema>\n");
    out
}

fn record(record: &'static Record) -> String {
    let mut elements: Vec<String> = Vec::new();
    let mut attributes: Vec<String> = Vec::new();
    for field in record.fields.iter().chain(record.rest) {
        if let Some(kind) = attribute_type(&field.kind) {
            attributes.push(format!("<xs:attribute name=\"{}\"{kind}/>", field.key));
        }
        let is_hidden =
            record.field_of_xml(field.key).is_some_and(|(other, _)| !std::ptr::eq(other, field));
        if field.xml != Xml::Attribute || !is_hidden {
            elements.push(field_element(field, record));
        }
    }
    let (more_elements, more_attributes) = early_extra(record.name);
    elements.extend(more_elements);
    attributes.extend(more_attributes);
    let mut out = complex(record.name, record.doc, &elements, &attributes);
    for (key, suffix) in [("name", "by_name"), ("fact", "by_fact")] {
        if is_keyed(record, key) {
            out.push_str(&keyed(&format!("{}_{suffix}", record.name), record.name, key, true));
        }
    }
    if STEP_TAGS
        .iter()
        .any(|(_, head)| matches!(head, StepHead::Named(r) if std::ptr::eq(*r, record)))
    {
        out.push_str(&keyed(&format!("{}_step", record.name), record.name, "name", false));
    }
    out
}

/// Whether the record is the value of names somewhere.
fn is_keyed(record: &'static Record, key: &str) -> bool {
    let fields = RECORDS.iter().flat_map(|r| r.fields.iter().chain(r.rest));
    fields.into_iter().any(|f| matches!(&f.kind, Kind::Dict(k, _, Kind::Record(r)) if *k == key && std::ptr::eq(*r, record)))
}

fn field_element(field: &'static Field, record: &'static Record) -> String {
    let inner = |kind: &'static Kind| match kind {
        Kind::Scalar(Scalar::Name) => "reference".to_string(),
        Kind::Scalar(_) => "xs:string".to_string(),
        Kind::Record(record) => record.name.to_string(),
        Kind::Steps => "steps".to_string(),
        Kind::List(_) | Kind::Dict(..) => ANYTHING.to_string(),
    };
    match (&field.kind, field.xml) {
        (Kind::List(of), Xml::Items(item)) => element(item, &inner(of)),
        (Kind::List(of), Xml::Wrapped(wrapper, item)) => {
            wrapped(wrapper, &element(item, &inner(of)))
        }
        (Kind::Dict(key, _, of), Xml::Items(item)) => element(item, &dict_type(key, of)),
        (Kind::Dict(key, _, of), Xml::Wrapped(wrapper, item)) => {
            wrapped(wrapper, &element(item, &dict_type(key, of)))
        }
        (Kind::Steps, _) if record.name == "cluster" => element(field.key, "execution"),
        (kind, _) => element(field.key, &inner_of(kind)),
    }
}

fn inner_of(kind: &Kind) -> String {
    match kind {
        Kind::Scalar(Scalar::Name) => "reference".to_string(),
        Kind::Scalar(_) => "xs:string".to_string(),
        Kind::Record(record) => record.name.to_string(),
        Kind::Steps => "steps".to_string(),
        Kind::List(_) | Kind::Dict(..) => ANYTHING.to_string(),
    }
}

fn dict_type(key: &str, of: &Kind) -> String {
    match of {
        Kind::Record(record) => format!("{}_by_{key}", record.name),
        Kind::Scalar(_) | Kind::List(_) | Kind::Dict(..) | Kind::Steps => format!("value_of_{key}"),
    }
}

fn wrapped(wrapper: &str, item: &str) -> String {
    format!(
        "<xs:element name=\"{wrapper}\"><xs:complexType mixed=\"true\"><xs:choice minOccurs=\"0\" maxOccurs=\"unbounded\">{item}</xs:choice></xs:complexType></xs:element>"
    )
}

/// The type of an attribute, where a field can be one.
fn attribute_type(kind: &Kind) -> Option<String> {
    match kind {
        Kind::Scalar(Scalar::Choice(words)) => {
            let words: String =
                words.iter().map(|w| format!("<xs:enumeration value=\"{w}\"/>")).collect();
            let variable = "<xs:simpleType><xs:restriction base=\"xs:string\"><xs:pattern value=\".*[$][{].*\"/></xs:restriction></xs:simpleType>";
            let choice = format!(
                "<xs:simpleType><xs:restriction base=\"xs:string\">{words}</xs:restriction></xs:simpleType>"
            );
            Some(format!(
                "><xs:simpleType><xs:union>{choice}{variable}</xs:union></xs:simpleType></xs:attribute"
            ))
        }
        Kind::Scalar(_) => Some(String::new()),
        Kind::Record(record) => {
            let short = record.short.and_then(|s| record.field(s));
            short.filter(|f| matches!(f.kind, Kind::Scalar(_))).map(|_| String::new())
        }
        Kind::List(_) | Kind::Dict(..) | Kind::Steps => None,
    }
}

fn element(name: &str, kind: &str) -> String {
    format!("<xs:element name=\"{name}\" type=\"{kind}\"/>")
}

fn attribute(name: &str, is_required: bool) -> String {
    let required = if is_required { " use=\"required\"" } else { "" };
    format!("<xs:attribute name=\"{name}\"{required}/>")
}

fn complex(name: &str, doc: &str, elements: &[String], attributes: &[String]) -> String {
    let mut out = format!("  <xs:complexType name=\"{name}\" mixed=\"true\">\n");
    if !doc.is_empty() {
        let doc = doc.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        out.push_str(&format!(
            "    <xs:annotation><xs:documentation>{doc}</xs:documentation></xs:annotation>\n"
        ));
    }
    out.push_str("    <xs:choice minOccurs=\"0\" maxOccurs=\"unbounded\">\n");
    for element in elements.iter().map(String::as_str).chain([FOREIGN]) {
        out.push_str(&format!("      {element}\n"));
    }
    out.push_str("    </xs:choice>\n");
    for attribute in attributes.iter().map(String::as_str).chain([FOREIGN_ATTRIBUTE]) {
        out.push_str(&format!("    {}\n", closed(attribute)));
    }
    out.push_str("  </xs:complexType>\n");
    out
}

/// An attribute with a type inside ends with an end tag of its own.
fn closed(attribute: &str) -> String {
    match attribute.strip_suffix("</xs:attribute/>") {
        Some(open) => format!("{open}</xs:attribute>"),
        None => attribute.to_string(),
    }
}

/// A type that adds a key to another.
fn keyed(name: &str, base: &str, key: &str, is_required: bool) -> String {
    let key = attribute(key, is_required);
    format!(
        "  <xs:complexType name=\"{name}\" mixed=\"true\">\n    <xs:complexContent mixed=\"true\"><xs:extension base=\"{base}\">{key}</xs:extension></xs:complexContent>\n  </xs:complexType>\n"
    )
}

fn values(name: &str, key: &str, is_required: bool) -> String {
    let key = attribute(key, is_required);
    format!(
        "  <xs:complexType name=\"{name}\">\n    <xs:simpleContent><xs:extension base=\"xs:string\">{key}</xs:extension></xs:simpleContent>\n  </xs:complexType>\n"
    )
}

fn steps() -> String {
    let tags: Vec<String> = STEP_TAGS
        .iter()
        .map(|(tag, head)| match head {
            StepHead::Named(record) => element(tag, &format!("{}_step", record.name)),
            StepHead::Within(record) => element(tag, &format!("{}_within", record.name)),
            StepHead::Steps => element(tag, "steps"),
        })
        .collect();
    let mut own = tags.clone();
    own.push(element("predecessor", "reference"));
    let mut out = complex("steps", "Steps of an execution.", &own, &[attribute("id", false)]);
    let mut execution = tags;
    execution.extend(["process_block", "barrier_block", "workflow_block"].map(|b| element(b, b)));
    out.push_str(&complex("execution", "What the hosts of a cluster do.", &execution, &[]));
    for (_, head) in STEP_TAGS {
        if let StepHead::Within(record) = head {
            let inner = format!(
                "<xs:choice minOccurs=\"0\" maxOccurs=\"unbounded\">{}</xs:choice>{}",
                element("predecessor", "reference"),
                attribute("id", false)
            );
            out.push_str(&format!("  <xs:complexType name=\"{0}_within\" mixed=\"true\">\n    <xs:complexContent mixed=\"true\"><xs:extension base=\"{0}\">{inner}</xs:extension></xs:complexContent>\n  </xs:complexType>\n", record.name));
        }
    }
    out
}

/// What early documents add to the records of today.
fn early_extra(record: &str) -> (Vec<String>, Vec<String>) {
    match record {
        "project" => {
            let blocks = ["configuration", "component", "experiment", "application_block"];
            (blocks.map(|b| element(b, b)).to_vec(), Vec::new())
        }
        "cluster" => (vec![element("rspec", "rspec")], Vec::new()),
        "application" => (
            vec![element("execution", "application_execution")],
            vec![attribute("reconnect_interval", false)],
        ),
        "barrier_step" => (Vec::new(), vec![attribute("type", false), attribute("max", false)]),
        _ => (Vec::new(), Vec::new()),
    }
}

fn early() -> String {
    let mut out = String::new();
    for record in EARLY_RECORDS
        .iter()
        .filter(|r| !matches!(r.name, "group" | "constraint" | "predecessor" | "sword" | "request"))
    {
        let name = if record.name == "execution" { "application_execution" } else { record.name };
        let elements: Vec<String> =
            record.elements.iter().map(|e| early_element(record.name, e)).collect();
        let attributes: Vec<String> = record
            .attributes
            .iter()
            .map(|a| attribute(a, *a == "name" && record.name != "component_block"))
            .collect();
        out.push_str(&complex(name, record.doc, &elements, &attributes));
    }
    out
}

fn early_element(within: &str, name: &str) -> String {
    let kind = match (within, name) {
        (_, "cluster") => "cluster_by_name",
        (_, "resources") => return wrapped("resources", &element("resource", "resource")),
        (_, "software") | (_, "predecessor") => "reference",
        ("component_block", "component") | ("execution", "configuration") => "reference",
        ("experiment" | "application_block", "execution") => "application_execution",
        (_, "sword" | "request") => ANYTHING,
        (_, "process") => "process_step",
        (_, "barrier") => "barrier_step_step",
        (_, "workflow") => "workflow_step",
        (_, other) => other,
    };
    element(name, kind)
}
