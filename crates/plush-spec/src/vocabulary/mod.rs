//! The vocabulary: every word that a description may use, said once.
//! Checking, the shape of XML, the documentation and both schemas come from it.

mod early;
mod elsewhere;
mod parts;
mod process;
mod project;

pub(crate) use crate::value::Scalar;
pub(crate) use early::{EARLY_RECORDS, early_record};
pub(crate) use elsewhere::{elsewhere, step_elsewhere};
pub(crate) use parts::*;
pub(crate) use process::*;
pub(crate) use project::*;

/// A thing with named fields.
pub(crate) struct Record {
    /// What it is called in documentation and schemas.
    pub name: &'static str,
    pub doc: &'static str,
    /// The field that a bare value stands for.
    pub short: Option<&'static str>,
    pub fields: &'static [Field],
    /// Further keys: names that the author chooses.
    pub rest: Option<&'static Field>,
    /// Whether foreign keys are carried along here.
    pub foreign: bool,
}

/// One field of a record.
pub(crate) struct Field {
    /// Its key in YAML, and its name in XML where `xml` says no other.
    pub key: &'static str,
    pub kind: Kind,
    pub xml: Xml,
    pub aliases: &'static [&'static str],
    pub required: bool,
    /// What holds where nothing is said; empty where that is nothing.
    pub default: &'static str,
    pub doc: &'static str,
    /// A value as YAML, in one line.
    pub example: &'static str,
    pub variables: Variables,
}

/// What a field holds.
pub(crate) enum Kind {
    Scalar(Scalar),
    Record(&'static Record),
    /// A list; one value stands for a list of one.
    List(&'static Kind),
    /// Values by names of the author's choice; in XML the name is this attribute.
    Dict(&'static str, Scalar, &'static Kind),
    /// Steps of an execution.
    Steps,
}

/// How a field is spelled in XML.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Xml {
    /// Written as an attribute; an element is understood too.
    Attribute,
    /// Written as an element; an attribute is understood too where the value is plain.
    Element,
    /// Elements of this name, repeated.
    Items(&'static str),
    /// Elements of this name within one element of the first name.
    Wrapped(&'static str, &'static str),
}

/// Which variables a text may use.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Variables {
    /// None: it is a name.
    None,
    /// Those of the project.
    Project,
    /// Those of a task as well.
    Task,
}

/// The kinds of steps: the word, what it holds, and how its value is read.
pub(crate) const STEP_TAGS: [(&str, StepHead); 6] = [
    ("process", StepHead::Named(&PROCESS)),
    ("barrier", StepHead::Named(&BARRIER_STEP)),
    ("workflow", StepHead::Named(&WORKFLOW)),
    ("repeat", StepHead::Within(&REPEAT)),
    ("parallel", StepHead::Steps),
    ("sequence", StepHead::Steps),
];

/// How the value of a step's word is read.
#[derive(Clone, Copy)]
pub(crate) enum StepHead {
    /// It is the name; the fields stand beside it.
    Named(&'static Record),
    /// It holds the fields.
    Within(&'static Record),
    /// It holds further steps.
    Steps,
}

pub(crate) fn step_head(word: &str) -> Option<StepHead> {
    STEP_TAGS.iter().find(|(tag, _)| *tag == word).map(|(_, head)| *head)
}

impl Record {
    /// The key that a bare value stands for by its form, where that is not `short`: a share such as
    /// `90%` for `percent`, a whole number for `count`.
    pub fn key_for(&self, text: &str) -> Option<&'static str> {
        let number = text.trim();
        let is_number = |digits: &str| {
            digits.bytes().any(|b| b.is_ascii_digit())
                && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        };
        let key = match number.strip_suffix('%') {
            Some(share) if is_number(share.trim_end()) => "percent",
            None if number.bytes().all(|b| b.is_ascii_digit()) && !number.is_empty() => "count",
            Some(_) | None => return None,
        };
        let is_short = self.short.is_some() && self.short != Some(key);
        self.fields.iter().find(|f| f.key == key && is_short).map(|f| f.key)
    }

    pub fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.key == key || f.aliases.contains(&key))
    }

    /// The field of an XML element or attribute, and whether the element is a wrapper.
    pub fn field_of_xml(&self, name: &str) -> Option<(&'static Field, bool)> {
        let items = self.fields.iter().find_map(|f| match f.xml {
            Xml::Items(item) if item == name => Some((f, false)),
            Xml::Wrapped(wrapper, _) if wrapper == name => Some((f, true)),
            _ => None,
        });
        // The attribute `output` and the repeated element `<output>` are different things.
        let plain =
            |f: &&&'static Field| matches!(f.xml, Xml::Attribute | Xml::Element) && f.key == name;
        items.or_else(|| self.fields.iter().find(|f| plain(&f)).map(|f| (f, false))).or_else(|| {
            match self.rest {
                Some(rest) if rest.xml == Xml::Items(rest.key) && rest.key == name => {
                    Some((rest, false))
                }
                _ => None,
            }
        })
    }

    /// Words for suggestions, as XML spells them.
    pub fn xml_words(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().chain(self.rest).map(|f| match f.xml {
            Xml::Attribute | Xml::Element => f.key,
            Xml::Items(item) => item,
            Xml::Wrapped(wrapper, _) => wrapper,
        })
    }
}

impl Field {
    const fn new(key: &'static str, kind: Kind, xml: Xml, doc: &'static str) -> Field {
        let variables = match kind {
            Kind::Scalar(Scalar::Name | Scalar::EnvName) => Variables::None,
            _ => Variables::Project,
        };
        Field {
            key,
            kind,
            xml,
            aliases: &[],
            required: false,
            default: "",
            doc,
            example: "",
            variables,
        }
    }

    /// A plain value, written as an attribute in XML.
    const fn attr(key: &'static str, scalar: Scalar, doc: &'static str) -> Field {
        Field::new(key, Kind::Scalar(scalar), Xml::Attribute, doc)
    }

    /// A plain value, written as an element in XML.
    const fn elem(key: &'static str, scalar: Scalar, doc: &'static str) -> Field {
        Field::new(key, Kind::Scalar(scalar), Xml::Element, doc)
    }

    const fn record(key: &'static str, record: &'static Record, doc: &'static str) -> Field {
        Field::new(key, Kind::Record(record), Xml::Element, doc)
    }

    const fn list(key: &'static str, xml: Xml, of: &'static Kind, doc: &'static str) -> Field {
        Field::new(key, Kind::List(of), xml, doc)
    }

    const fn dict(
        key: &'static str,
        item: &'static str,
        of: &'static Kind,
        doc: &'static str,
    ) -> Field {
        Field::new(key, Kind::Dict("name", Scalar::Name, of), Xml::Items(item), doc)
    }

    const fn alias(mut self, aliases: &'static [&'static str]) -> Field {
        self.aliases = aliases;
        self
    }

    const fn required(mut self) -> Field {
        self.required = true;
        self
    }

    const fn default(mut self, default: &'static str) -> Field {
        self.default = default;
        self
    }

    const fn example(mut self, example: &'static str) -> Field {
        self.example = example;
        self
    }

    /// Texts that are values of variables: nothing is replaced in them.
    const fn literal(mut self) -> Field {
        self.variables = Variables::None;
        self
    }

    const fn task(mut self) -> Field {
        self.variables = Variables::Task;
        self
    }
}

const COUNT: Scalar = Scalar::Whole(1, u32::MAX as u64);
const COUNT_OR_NONE: Scalar = Scalar::Whole(0, u32::MAX as u64);
const PORT: Scalar = Scalar::Whole(1, 65_535);

/// Every record of the vocabulary, in the order of the documentation.
pub(crate) static RECORDS: [&Record; 37] = [
    &PROJECT,
    &APPLICATION,
    &RESOURCE,
    &SOFTWARE,
    &PACKAGE,
    &TEMPLATE,
    &CLUSTER,
    &NUM_HOSTS,
    &REQUIREMENT,
    &CONDITION,
    &GROUP,
    &CONSTRAINT,
    &PROCESS,
    &SECRET,
    &STDIN,
    &STOP,
    &LIMITS,
    &RESTART,
    &COMMAND,
    &PROBE,
    &BARRIER_STEP,
    &BARRIER,
    &NAMED_BARRIER,
    &ENTRY,
    &PERCENT,
    &KNEE,
    &RELEASE,
    &WORKFLOW,
    &ITEMS,
    &SLOW,
    &REPEAT,
    &STEP_COMMON,
    &SERVICE,
    &ON_FAILURE,
    &REACTION,
    &HOOK,
    &CALLBACK,
];
