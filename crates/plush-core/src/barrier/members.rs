//! The members of a barrier by their numbers, found in a time that does not grow with how many they are.
//! Not what is decided about them.
//!
//! Owners count their entrants, so numbers are close together. They stand in pages of 64, and a page is there only
//! where somebody is: those who come late in a long run have high numbers, and cost no more.

use super::{Entrant, Passage, Stand};
use serde::{Deserialize, Serialize};

/// Who takes part, in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Members {
    pages: Vec<Option<Page>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Page {
    passages: Vec<Option<Passage>>,
}

const PAGE: usize = 64;

impl Members {
    /// Somebody new; false if it is known.
    pub fn add(&mut self, entrant: Entrant) -> bool {
        let (page, place) = position(entrant);
        if self.pages.len() <= page {
            self.pages.resize(page + 1, None);
        }
        let page = self.pages[page].get_or_insert_with(|| Page { passages: vec![None; PAGE] });
        let is_new = page.passages[place].is_none();
        page.passages[place].get_or_insert_with(Passage::expected);
        is_new
    }

    pub fn get(&self, entrant: Entrant) -> Option<&Passage> {
        let (page, place) = position(entrant);
        self.pages.get(page)?.as_ref()?.passages[place].as_ref()
    }

    pub fn get_mut(&mut self, entrant: Entrant) -> Option<&mut Passage> {
        let (page, place) = position(entrant);
        self.pages.get_mut(page)?.as_mut()?.passages[place].as_mut()
    }

    pub fn stands_at(&self, entrant: Entrant, stand: Stand) -> bool {
        self.get(entrant).is_some_and(|passage| passage.stand == stand)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Entrant, &Passage)> {
        let pages = self.pages.iter().enumerate();
        pages.filter_map(|(number, page)| Some((number, page.as_ref()?))).flat_map(
            |(number, page)| {
                page.passages.iter().enumerate().filter_map(move |(place, passage)| {
                    let number =
                        u32::try_from(number * PAGE + place).expect("entrants have 32 bits");
                    passage.as_ref().map(|passage| (Entrant(number), passage))
                })
            },
        )
    }
}

fn position(entrant: Entrant) -> (usize, usize) {
    let number = entrant.0 as usize;
    (number / PAGE, number % PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn they_are_who_was_added_in_order(numbers in proptest::collection::vec(0u32..5_000, 0..100)) {
            let (mut members, mut set) = (Members::default(), BTreeSet::new());
            for number in numbers {
                prop_assert_eq!(members.add(Entrant(number)), set.insert(Entrant(number)));
            }
            prop_assert!(members.iter().map(|(who, _)| who).eq(set.iter().copied()));
            for number in 0..5_000 {
                prop_assert_eq!(members.get(Entrant(number)).is_some(), set.contains(&Entrant(number)));
            }
        }
    }

    #[test]
    fn a_high_number_costs_a_page_and_not_all_before_it() {
        let mut members = Members::default();
        members.add(Entrant(1_000_000));
        assert_eq!(members.pages.iter().flatten().count(), 1);
    }
}
