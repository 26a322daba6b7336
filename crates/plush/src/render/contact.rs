//! What a watcher is told when hosts fall silent and come back, and when our own side is in trouble.
//! Not why: the view says that.

use crate::duration;
use crate::render::{names, text};
use plush_protocol::view::{Contact, HostState, HostView, Notice, RunView};

/// Folded hosts of one line are cut beyond so many characters.
const HOSTS_WIDTH: usize = 100;

/// What has been told so far.
#[derive(Debug, Default)]
pub struct Contacts {
    /// Of each host in the order of the view: what it was, and since when it is suspect.
    hosts: Vec<(Contact, u64)>,
    notice: Option<Notice>,
}

/// What became of a host since the last view.
#[derive(Clone, Debug, PartialEq, Eq)]
struct News {
    what: &'static str,
    why: String,
}

impl Contacts {
    /// Lines about what has changed since the view before, equal ones with all their hosts.
    pub fn news(&mut self, view: &RunView) -> Vec<String> {
        self.hosts.resize(view.hosts.len(), (Contact::None, 0));
        let mut groups: Vec<(News, Vec<&str>)> = Vec::new();
        for (host, before) in view.hosts.iter().zip(&mut self.hosts) {
            let news = news(*before, host, view.elapsed_ms);
            if before.0 != host.contact {
                *before = (host.contact, view.elapsed_ms);
            }
            let Some(news) = news else { continue };
            match groups.iter_mut().find(|(other, _)| *other == news) {
                Some((_, hosts)) => hosts.push(&host.name),
                None => groups.push((news, vec![&host.name])),
            }
        }
        let line = |(news, hosts): (News, Vec<&str>)| {
            let (what, why) = (news.what, text::cut(&news.why, 300));
            format!(
                "plush: {} ({}) {what}{why}",
                names::fold_within(&hosts, HOSTS_WIDTH),
                hosts.len()
            )
        };
        let notice = view.notice.as_ref().filter(|now| self.notice.as_ref() != Some(now));
        let notice = notice.map(|now| format!("plush: {}", text::shown(&now.text)));
        self.notice.clone_from(&view.notice);
        groups.into_iter().map(line).chain(notice).collect()
    }
}

fn news(before: (Contact, u64), host: &HostView, now_ms: u64) -> Option<News> {
    let doubt = host.doubt.to_string();
    // Whole seconds, so that hosts that return together form one group.
    let away = match now_ms.saturating_sub(before.1) / 1000 {
        0 => "less than a second".to_owned(),
        seconds => duration::show_ms(seconds * 1000),
    };
    let (what, why) = match (before.0, host.contact) {
        (was, now) if was == now => return None,
        (_, Contact::Suspect) => ("suspect: ", format!("{doubt}; another connection is tried")),
        // Its own word says that it is dead.
        (_, Contact::Dead) => ("", doubt),
        (Contact::Suspect, Contact::Heard) => ("back", format!(", after {away} under suspicion")),
        (Contact::Dead, Contact::Heard) => {
            ("back", format!(", {away} after it was given up: {}", sequel(host.state)))
        }
        (Contact::None | Contact::Heard | Contact::Suspect | Contact::Dead, _) => return None,
    };
    Some(News { what, why })
}

/// What becomes of a host that was given up and is back.
fn sequel(state: HostState) -> &'static str {
    match state {
        HostState::Collecting | HostState::Cleaning | HostState::Done | HostState::Failed => {
            "its part in the run is over, and it is cleaned up"
        }
        HostState::Connecting
        | HostState::Preparing
        | HostState::Ready
        | HostState::Running
        | HostState::Stopping
        | HostState::Spare => "it goes on",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;
    use plush_protocol::tainted::Tainted;

    #[test]
    fn suspect_dead_and_back_are_told_once_each_with_the_reason_and_equal_ones_together() {
        let (mut contacts, mut view) = (Contacts::default(), samples::preparing());
        assert!(contacts.news(&view).is_empty());
        for host in &mut view.hosts[3..5] {
            (host.contact, host.doubt) =
                (Contact::Suspect, Tainted::new("nothing was heard for 5 s"));
        }
        let names = names::fold(view.hosts[3..5].iter().map(|host| host.name.as_str()));
        let told = format!(
            "plush: {names} (2) suspect: nothing was heard for 5 s; another connection is tried"
        );
        assert_eq!(contacts.news(&view), [told]);
        assert!(contacts.news(&view).is_empty());
        view.elapsed_ms += 7_300;
        view.hosts[3].contact = Contact::Heard;
        (view.hosts[4].contact, view.hosts[4].doubt) = (Contact::Dead, Tainted::new("dead: gone"));
        let (first, second) = (view.hosts[3].name.clone(), view.hosts[4].name.clone());
        assert_eq!(
            contacts.news(&view),
            [
                format!("plush: {first} (1) back, after 7.0 s under suspicion"),
                format!("plush: {second} (1) dead: gone")
            ]
        );
        view.elapsed_ms += 40_000;
        (view.hosts[4].contact, view.hosts[4].state) = (Contact::Heard, HostState::Cleaning);
        let after = "40 s after it was given up: its part in the run is over, and it is cleaned up";
        assert_eq!(contacts.news(&view), [format!("plush: {second} (1) back, {after}")]);
    }

    #[test]
    fn a_suspicion_of_some_tenths_of_a_second_has_not_lasted_for_none() {
        let (mut contacts, mut view) = (Contacts::default(), samples::preparing());
        view.hosts[3].contact = Contact::Suspect;
        let _ = contacts.news(&view);
        view.elapsed_ms += 300;
        view.hosts[3].contact = Contact::Heard;
        let told = format!(
            "plush: {} (1) back, after less than a second under suspicion",
            view.hosts[3].name
        );
        assert_eq!(contacts.news(&view), [told]);
    }

    #[test]
    fn a_notice_is_one_line() {
        let (mut contacts, mut view) = (Contacts::default(), samples::preparing());
        let _ = contacts.news(&view);
        view.notice = Some(Notice { at_ms: 1, text: "this machine slept for 62 s".into() });
        assert_eq!(contacts.news(&view), ["plush: this machine slept for 62 s"]);
        assert!(contacts.news(&view).is_empty());
    }
}
