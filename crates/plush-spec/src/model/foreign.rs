//! What belongs to others: `x-` keys of YAML and elements of a foreign XML namespace.
//! Plush does not understand it; it is carried along for plug-ins, untouched.

use crate::model::Place;
use serde::{Deserialize, Serialize};

/// One foreign key and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// The key with its `x-`; a local name of a foreign namespace gets `x-` in front.
    pub key: String,
    /// The XML namespace, where it came from one.
    pub namespace: Option<String>,
    /// What it holds.
    pub value: ForeignValue,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}

/// Foreign content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForeignValue {
    /// A text, as it was written.
    Text(String),
    /// A list.
    List(Vec<ForeignValue>),
    /// Keys and values in the order of the text.
    Map(Vec<(String, ForeignValue)>),
}
