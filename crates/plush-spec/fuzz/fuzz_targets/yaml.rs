//! No YAML text makes the parser panic, and what it accepts it can write and read again.
//! `cargo +nightly fuzz run yaml -- -seed_inputs=$(ls -m ../../examples/*.yaml | tr -d ' \n')`
#![no_main]

use libfuzzer_sys::fuzz_target;
use plush_spec::{Format, parse, render, to_xml, to_yaml};

fuzz_target!(|text: &str| {
    let parsed = parse(text, "fuzz", Some(Format::Yaml));
    render(&parsed.problems, text, "fuzz", false);
    if let Some(project) = parsed.project {
        let yaml = parse(&to_yaml(&project), "again", Some(Format::Yaml));
        assert_eq!(yaml.project.as_ref(), Some(&project));
        let xml = parse(&to_xml(&project), "again", Some(Format::Xml));
        assert_eq!(xml.project.as_ref(), Some(&project));
    }
});
