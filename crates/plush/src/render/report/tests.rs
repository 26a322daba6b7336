//! Claims about the pictures and the page.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::render::chart::{Anchor, Shape, Text, font, png, svg};
use plush_protocol::history::RunHistory;
use proptest::prelude::*;
use roxmltree::Document;
use std::path::Path;

/// The page without its first line, as a tree: it is written so that it is XML too.
fn check<T>(page: &str, look: impl FnOnce(&Document<'_>) -> T) -> T {
    let body = page.strip_prefix("<!DOCTYPE html>\n").unwrap();
    look(&Document::parse(body).unwrap_or_else(|error| panic!("{error}\n{page}")))
}

fn page_for(history: &RunHistory) -> String {
    page(history, Path::new("/runs/gossip-3f2a1c"))
}

/// Left, top, right and bottom.
fn room(text: &Text) -> [f64; 4] {
    let wide = font::width(&text.text, text.face);
    let (up, down) = (text.face.size * 0.76, text.face.size * 0.1);
    let from = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -wide / 2.0,
        Anchor::End => -wide,
    };
    let (x, y) = text.at;
    match text.is_upright {
        false => [x + from, y - up, x + from + wide, y + down],
        true => [x - up, y - from - wide, x + down, y - from],
    }
}

fn texts(drawing: &Drawing) -> Vec<&Text> {
    drawing.shapes.iter().filter_map(text_of).collect()
}

fn text_of(shape: &Shape) -> Option<&Text> {
    match shape {
        Shape::Text(text) => Some(text),
        Shape::Boxes { .. } | Shape::Line { .. } | Shape::Dot { .. } => None,
    }
}

fn assert_readable(picture: &Picture) {
    let (name, drawing) = (&picture.name, &picture.drawing);
    let texts = texts(drawing);
    for (n, one) in texts.iter().enumerate() {
        let [left, top, right, bottom] = room(one);
        let inside =
            left >= 0.0 && top >= 0.0 && right <= drawing.width && bottom <= drawing.height;
        assert!(inside, "{name}: `{}` leaves the picture: {:?}", one.text, room(one));
        for other in &texts[n + 1..] {
            let [l, t, r, b] = room(other);
            let apart = right <= l || r <= left || bottom <= t || b <= top;
            assert!(apart, "{name}: `{}` and `{}` touch", one.text, other.text);
        }
    }
}

#[test]
fn no_text_of_any_picture_touches_another_or_leaves_it() {
    for hosts in [1, 2, 10, 40, 41, 60, 61, 300, 1_000] {
        pictures(&history(hosts)).iter().for_each(assert_readable);
    }
}

#[test]
fn the_page_says_from_when_on_the_journal_knows() {
    let mut history = history(3);
    assert!(!page_for(&history).contains("is known from"));
    history.known_from_ms = 7_200_000;
    assert!(page_for(&history).contains("is known from 2 h 00 min after the beginning on"));
}

#[test]
fn long_names_and_sentences_stay_within_the_picture() {
    let mut history = history(10);
    for member in &mut history.barriers[0].members {
        member.host =
            format!("a-very-long-name-{}.of-a-host.in-a-data-centre.example.org:2222", member.host);
    }
    history.hosts.iter_mut().for_each(|host| host.name = "x".repeat(300));
    history.barriers[0].entry = "words ".repeat(60);
    pictures(&history).iter().for_each(assert_readable);
}

#[test]
fn a_page_is_well_formed_and_fetches_nothing() {
    for hosts in [1, 10, 1_000] {
        let page = page_for(&history(hosts));
        check(&page, |tree| {
            let names: Vec<&str> = tree.descendants().map(|node| node.tag_name().name()).collect();
            assert!(!names.iter().any(|name| ["script", "link", "img", "iframe"].contains(name)));
            assert_eq!(
                names.iter().filter(|name| **name == "svg").count(),
                pictures(&history(hosts)).len()
            );
            let attributes = tree.descendants().flat_map(|node| node.attributes());
            let mut links = attributes.filter(|a| ["href", "src", "style"].contains(&a.name()));
            assert!(links.all(|link| link.value().starts_with('#')));
        });
        assert!(!page.contains("url(") && !page.contains("@import"));
    }
}

#[test]
fn a_page_of_a_thousand_hosts_is_no_larger_than_a_photograph() {
    let bytes = page_for(&history(1_000)).len();
    assert!(bytes < 1 << 20, "{bytes} bytes");
}

#[test]
fn the_page_names_policy_cause_and_who_is_missing() {
    let page = page_for(&history(100));
    for words in [
        "opened by policy `knee` after 17 s, 99 of 100 had come",
        "knee from 80 % after 5 s",
        "nobody came for 2100 ms",
        "no space left on device",
        "node[0050,0100].example.org",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn a_run_at_its_beginning_has_a_page_too() {
    let page = page_for(&RunHistory::default());
    check(&page, |tree| assert!(tree.root_element().has_tag_name("html")));
    let mut waiting = history(3);
    waiting.barriers[0].opened = None;
    waiting.barriers[0].knee_ms = None;
    waiting.barriers[0]
        .members
        .iter_mut()
        .for_each(|m| (m.entered_ms, m.released_ms, m.left_ms) = (None, None, None));
    assert_eq!(pictures(&waiting).len(), 1, "a barrier that nobody came to has no curve");
}

#[test]
fn hosts_that_went_the_same_way_are_counted_together() {
    let history = history(100);
    let courses = timeline::courses(&history);
    let counts: Vec<usize> = courses.iter().map(|(_, hosts)| hosts.len()).collect();
    assert_eq!(counts, [98, 2]);
    assert_eq!(courses[1].0, "connecting → preparing → failed");
}

#[test]
fn a_picture_file_has_the_size_of_its_drawing_twice_over() {
    for picture in pictures(&history(10)) {
        let file = png::file(&picture.drawing);
        assert_eq!(&file[..8], b"\x89PNG\r\n\x1a\n");
        let side = |at: usize| f64::from(u32::from_be_bytes(file[at..at + 4].try_into().unwrap()));
        assert_eq!(side(16), (picture.drawing.width * 2.0).round());
        assert_eq!(side(20), (picture.drawing.height * 2.0).round());
    }
}

#[test]
fn curves_of_several_runs_are_in_one_picture_each_with_its_label() {
    let barrier = || history(100).barriers.remove(0);
    let runs: Vec<_> = (0..10).map(|n| (format!("policy {n}"), barrier())).collect();
    let how = Comparison {
        barrier: "peers/ready".into(),
        of: CurveOf::Through,
        since: Origin::Entry,
        title: None,
    };
    let (drawing, numbers) = compare(&how, &runs);
    assert_readable(&Picture { name: "comparison".into(), drawing: drawing.clone() });
    let labels = texts(&drawing).iter().filter(|text| text.text.starts_with("policy ")).count();
    assert_eq!((labels, numbers.len()), (10, 10));
    let (barrier, first) = (barrier(), &numbers[0]);
    let through = barrier.members.iter().filter_map(|m| m.released_ms.and(m.left_ms));
    let all_ms = through.clone().max().unwrap() - barrier.first_entry_ms().unwrap();
    assert_eq!((first.count, first.all_ms), (through.count(), all_ms));
}

#[test]
fn markup_in_a_name_is_text() {
    let name = "</text><script>alert('1')</script>&\"\u{1b}[2J\u{202e}";
    let page = page_for(&samples::hostile(name));
    assert!(!page.contains("<script") && !page.contains("</text><s"));
    check(&page, |tree| {
        let said =
            tree.descendants().filter_map(|node| node.text()).any(|text| text.contains("<script>"));
        assert!(said, "the name is there, as text");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn nothing_that_a_host_says_is_markup_or_deceives(text in "\\PC*|.*|[<>&'\"\u{0}-\u{ff}\u{2020}-\u{2070}\u{fffe}]{0,30}") {
        let page = page_for(&samples::hostile(&text));
        let harmless = page_for(&samples::hostile("harmless"));
        let shape = |page: &str| check(page, |tree| {
            // Lines of a cause become `br`, and a line of a picture's subtitle is one text or several.
            let node = |n: &roxmltree::Node<'_, '_>| n.is_element() && !["br", "text"].contains(&n.tag_name().name());
            tree.descendants().filter(node).map(|n| n.tag_name().name().to_owned()).collect::<Vec<_>>()
        });
        prop_assert_eq!(shape(&page).len() > 20, shape(&harmless).len() > 20);
        prop_assert!(!page.chars().any(crate::render::text::is_forbidden));
        prop_assert!(!shape(&page).contains(&"script".to_owned()));
        for picture in pictures(&samples::hostile(&text)) {
            prop_assert!(Document::parse(&svg::inline(&picture.drawing)).is_ok());
        }
    }
}

fn history(hosts: u32) -> RunHistory {
    samples::history(hosts)
}

#[test]
fn a_command_of_several_lines_shows_its_first_and_opens_to_all_of_them() {
    let mut history = history(4);
    history.clusters[0].commands = vec![
        ("one".into(), "./a <b\n".into()),
        ("script".into(), "set -e\nif x; then\n  y && z\nfi\n".into()),
    ];
    check(&page_for(&history), |document| {
        let details: Vec<_> =
            document.descendants().filter(|n| n.has_tag_name("details")).collect();
        assert_eq!(details.len(), 1, "one line is shown as it is");
        let of = |tag| details[0].descendants().find(|n| n.has_tag_name(tag)).unwrap();
        let texts = |node: roxmltree::Node<'_, '_>| -> String {
            node.descendants().filter(|n| n.is_text()).filter_map(|n| n.text()).collect()
        };
        assert_eq!(texts(of("summary")), "set -e and 3 more lines");
        assert_eq!(texts(of("pre")), "set -e\nif x; then\n  y && z\nfi");
    });
}
