//! Equal output of many hosts shown once, the most common first.
//! Not a comparison of nearly equal output.

use crate::colour::Paint;
use crate::render::live::Voice;
use crate::render::names;
use crate::tail::Piece;
use std::collections::HashMap;

/// Folded sets longer than this are cut.
const HOSTS_WIDTH: usize = 200;

/// Groups of equal output, each with its hosts and its escaped text, in the manner of clush.
pub fn fold(outputs: &[(String, Vec<u8>)], paint: Paint) -> String {
    let groups = groups(outputs);
    groups.iter().map(|(output, hosts)| block(output, hosts, paint)).collect()
}

/// The largest group first, equal ones in the order of their first host.
fn groups(outputs: &[(String, Vec<u8>)]) -> Vec<(&[u8], Vec<&str>)> {
    let mut places: HashMap<&[u8], usize> = HashMap::new();
    let mut groups: Vec<(&[u8], Vec<&str>)> = Vec::new();
    for (host, output) in outputs {
        let place = *places.entry(output).or_insert(groups.len());
        if place == groups.len() {
            groups.push((output, Vec::new()));
        }
        groups[place].1.push(host);
    }
    groups.sort_by_key(|(_, hosts)| std::cmp::Reverse(hosts.len()));
    groups
}

fn block(output: &[u8], hosts: &[&str], paint: Paint) -> String {
    let title = format!("{} ({})", names::fold_within(hosts, HOSTS_WIDTH), hosts.len());
    let rule = "-".repeat(title.chars().count().min(RULE_MAX));
    let mut body = String::new();
    Voice::text(String::new(), None).say(&Piece::Lines(output), &mut body);
    format!("{rule}\n{}\n{rule}\n{body}", paint.bold(title))
}

const RULE_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_output_is_shown_once_and_outliers_stand_out() {
        let output = |host: &str, text: &str| (host.to_owned(), text.as_bytes().to_vec());
        let outputs = [
            output("n3", "odd"),
            output("n1", "same\n"),
            output("n2", "same\n"),
            output("n4", "same\n"),
        ];
        insta::assert_snapshot!(fold(&outputs, Paint::Plain));
    }

    #[test]
    fn bytes_are_compared_and_not_what_is_shown_of_them() {
        let outputs = [("a".to_owned(), b"\xff".to_vec()), ("b".to_owned(), b"\\xff".to_vec())];
        assert_eq!(groups(&outputs).len(), 2);
    }
}
