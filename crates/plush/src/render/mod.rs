//! Everything that people read: values in, text out.
//! Not who writes it where: that is the screen's or the command's.

pub mod barriers;
pub mod chart;
pub mod contact;
pub mod doctor;
pub mod fold;
pub mod incidents;
pub mod json;
pub mod live;
pub mod names;
pub mod openings;
pub mod plan;
pub mod progress;
pub mod rehearsal;
pub mod report;
pub mod summary;
pub mod table;
pub mod tasks;
pub mod text;
pub mod together;
pub mod words;

#[cfg(test)]
mod samples;
