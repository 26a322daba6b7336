//! What a run did, in pictures: which there are, and the page that holds them.
//! Not how shapes become SVG or PNG: that is `chart`.

mod barrier;
mod compare;
mod page;
mod timeline;

pub use compare::{Compared, Comparison, CurveOf, Origin, compare};
pub use page::{page, page_of};

use crate::render::barriers;
use crate::render::chart::Drawing;
use plush_protocol::history::{BarrierHistory, RunHistory};

/// Barriers beyond so many are in the table only.
const BARRIERS_DRAWN: usize = 24;

/// One picture, and what its file is called.
pub struct Picture {
    /// Letters, digits and `-` only.
    pub name: String,
    /// The picture.
    pub drawing: Drawing,
}

/// The pictures about one barrier.
struct Chapter<'a> {
    title: String,
    barrier: &'a BarrierHistory,
    pictures: Vec<Picture>,
}

/// Every picture of a run.
pub fn pictures(history: &RunHistory) -> Vec<Picture> {
    let timeline = Picture { name: "timeline".into(), drawing: timeline::draw(history) };
    let barriers = chapters(history).into_iter().flat_map(|chapter| chapter.pictures);
    std::iter::once(timeline).chain(barriers).collect()
}

/// Barriers that somebody has come to, each with its pictures.
fn chapters(history: &RunHistory) -> Vec<Chapter<'_>> {
    let reached = history.barriers.iter().filter(|b| b.first_entry_ms().is_some());
    let chapter = |(number, barrier)| {
        let title = barriers::title(barrier, history);
        let stem = format!("{:02}-{}", number + 1, plain(&title));
        let drawings = barrier::draw(barrier, &title, history).into_iter();
        let pictures =
            drawings.map(|(what, drawing)| Picture { name: format!("{stem}-{what}"), drawing });
        Chapter { title, barrier, pictures: pictures.collect() }
    };
    reached.take(BARRIERS_DRAWN).enumerate().map(chapter).collect()
}

/// A name as a part of a file's name.
fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    name.chars().map(plain).take(40).collect()
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
