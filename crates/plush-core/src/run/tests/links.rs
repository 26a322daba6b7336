//! Claims about links: silence, second links, when a host is called dead, and when nobody is.

use super::*;
use plush_protocol::Contact;

fn suspected(host: u32, silent_ms: Millis, limit_ms: Millis) -> Event {
    Event::Suspected { host: HostId(host), silent_ms, limit_ms }
}

fn heard_again(host: u32) -> Event {
    Event::HeardAgain { host: HostId(host), silent_ms: 7_000 }
}

impl Tale {
    /// A run with so many hosts at work.
    fn at_work(hosts: u32) -> Tale {
        Tale::prepared(cluster(hosts, vec![runs("w", &[])]), hosts as usize)
    }

    /// Attempts fail, each after a second, until `ms` have passed.
    fn refuse_for(&mut self, host: u32, ms: Millis) {
        let until = self.now + ms;
        while self.now < until {
            self.refuse(host, true);
            self.wait(16_000.min(until.saturating_sub(self.now)).max(1));
        }
    }

    fn contact(&self, host: usize) -> Contact {
        self.run.view().hosts[host].contact
    }
}

#[test]
fn l5_a_suspicion_asks_for_a_second_link_and_for_nothing_else() {
    let mut tale = Tale::at_work(3);
    let (host, session) = (HostId(1), SESSION);
    assert_eq!(
        tale.tell(suspected(1, 5_000, 5_000)),
        [Effect::Connect { host, session, received: 2 }]
    );
    assert_eq!(tale.contact(1), Contact::Suspect);
    assert_eq!(tale.state(1), HostState::Running);
    assert_eq!(tale.tell(heard_again(1)), []);
    assert_eq!(tale.contact(1), Contact::Heard);
    assert_eq!(tale.wait(60_000), []);
}

#[test]
fn a_second_link_takes_the_place_of_the_silent_one_and_what_was_not_taken_goes_again() {
    let mut tale = Tale::at_work(2);
    tale.tell(suspected(0, 5_000, 5_000));
    let said = tale.hello(0, SESSION, 1);
    assert_eq!(starts(&said), [(0, 0)], "the command was sent over the silent link");
    assert_eq!(tale.contact(0), Contact::Heard);
    tale.end(0, 0, 0);
    tale.end(1, 1, 0);
    (0..2).for_each(|host| drop(tale.cleaned(host)));
    assert_eq!(tale.run.outcome(), Some(&Outcome::Complete));
}

#[test]
fn a_silent_link_that_breaks_leaves_the_attempt_under_way_as_the_only_one() {
    let mut tale = Tale::at_work(2);
    assert_eq!(connecting(&tale.tell(suspected(0, 5_000, 5_000))), [0]);
    assert_eq!(connecting(&tale.lose_link(0)), [0u32; 0], "one is on its way");
    tale.refuse(0, true);
    assert_eq!(connecting(&tale.wait(2_000)), [0]);
    assert!(tale.hello(0, SESSION, 2).is_empty());
    assert_eq!(tale.contact(0), Contact::Heard);
}

#[test]
fn a_host_is_dead_after_thirty_seconds_and_three_attempts_and_its_silent_link_is_closed() {
    let mut tale = Tale::at_work(4);
    tale.tell(suspected(0, 5_000, 5_000));
    tale.refuse_for(0, 20_000);
    assert_eq!(tale.contact(0), Contact::Suspect, "25 s are not 30");
    tale.wait(16_000);
    let said = tale.refuse(0, true);
    assert_eq!(said, [Effect::Disconnect { host: HostId(0) }]);
    assert_eq!(tale.contact(0), Contact::Dead);
    let why = tale.run.view().hosts[0].doubt.raw().to_owned();
    assert_eq!(
        why,
        "dead: not heard for 30 s, and 3 attempts or more failed, the last while tcp: no"
    );
}

/// A cluster of three at work, and a fourth host that can step in.
fn with_a_spare() -> Tale {
    let mut wanted = cluster(3, vec![runs("w", &[])]);
    wanted.num_hosts.spare = 1;
    let mut tale = Tale::of(wanted, 4);
    (0..3).for_each(|host| tale.connect(host));
    (0..3).for_each(|host| drop(tale.prepare(host)));
    tale
}

/// From the power's going until the verdict, each attempt taking so long: the host was heard last then.
fn dies_after(tale: &mut Tale, limit_ms: Millis, attempt_ms: Millis) -> Millis {
    let gone = tale.now;
    tale.wait(limit_ms);
    tale.tell(suspected(0, limit_ms, limit_ms));
    let mut asked = 1;
    while tale.contact(0) != Contact::Dead {
        tale.wait(attempt_ms);
        tale.refuse(0, true);
        asked += 1;
        let wanted = |tale: &Tale| connecting(&tale.said).iter().filter(|h| **h == 0).count();
        let before = wanted(tale);
        while tale.contact(0) != Contact::Dead && wanted(tale) == before {
            tale.wait(50);
        }
        assert!(asked < 100, "it is given up at last");
    }
    tale.now - gone
}

#[test]
fn f01_a_host_for_which_another_can_step_in_is_dead_fourteen_seconds_after_its_power_went() {
    for attempt_ms in [1, 500, 2_000] {
        let after = dies_after(&mut with_a_spare(), 5_000, attempt_ms);
        assert!((12_000..=14_000).contains(&after), "{attempt_ms} ms: {after} ms");
    }
}

#[test]
fn f37_a_host_that_nobody_can_replace_outlasts_half_a_minute() {
    let after = dies_after(&mut Tale::at_work(4), 5_000, 2_000);
    assert!(after >= 30_000, "{after} ms");
}

#[test]
fn f40_a_slow_link_is_waited_for_longer_though_another_host_can_step_in() {
    let after = dies_after(&mut with_a_spare(), 16_000, 10_000);
    assert!(after >= 12_000 + 4 * 11_000, "{after} ms");
}

#[test]
fn two_failed_attempts_are_not_enough_to_call_a_host_dead() {
    let mut tale = Tale::at_work(4);
    tale.tell(suspected(0, 5_000, 5_000));
    for _ in 0..2 {
        tale.wait(40_000);
        tale.refuse(0, true);
        assert_eq!(tale.contact(0), Contact::Suspect);
    }
    tale.wait(16_000);
    tale.refuse(0, true);
    assert_eq!(tale.contact(0), Contact::Dead);
}

#[test]
fn f40_a_host_with_a_slow_link_is_given_four_times_what_is_tolerated_of_it() {
    let mut tale = Tale::at_work(4);
    tale.wait(60_000);
    tale.tell(suspected(0, 25_000, 24_000));
    tale.refuse_for(0, 70_000);
    assert_eq!(tale.contact(0), Contact::Suspect);
    tale.wait(16_000);
    tale.refuse(0, true);
    assert_eq!(tale.contact(0), Contact::Dead);
}

#[test]
fn hosts_that_fall_silent_together_are_not_dead_until_one_is_heard() {
    let mut tale = Tale::at_work(10);
    (0..4).for_each(|host| drop(tale.tell(suspected(host, 5_000, 5_000))));
    let notice = tale.run.view().notice.unwrap().text;
    assert!(notice.starts_with("4 of 10 hosts fell silent together"), "{notice}");
    (0..4).for_each(|host| tale.refuse_for(host, 40_000));
    assert!((0..4).all(|host| tale.contact(host) == Contact::Suspect));
    tale.tell(heard_again(3));
    assert!(tale.run.view().notice.unwrap().text.contains("heard again"));
    tale.refuse_for(0, 1);
    assert_eq!(tale.contact(0), Contact::Dead);
}

#[test]
fn a_frozen_verdict_is_given_once_the_run_stops() {
    let mut tale = Tale::at_work(4);
    (0..4).for_each(|host| drop(tale.tell(suspected(host, 5_000, 5_000))));
    (0..4).for_each(|host| tale.refuse_for(host, 40_000));
    assert!((0..4).all(|host| tale.contact(host) == Contact::Suspect));
    tale.stop();
    (0..4).for_each(|host| tale.refuse_for(host, 1));
    assert_eq!(tale.run.outcome(), Some(&Outcome::Stopped));
}

#[test]
fn a_controller_that_is_late_calls_nobody_dead() {
    let mut tale = Tale::at_work(4);
    tale.tell(suspected(0, 5_000, 5_000));
    tale.tell(Event::Late { factor: 3 });
    tale.refuse_for(0, 90_000);
    assert_eq!(tale.contact(0), Contact::Suspect);
    tale.tell(Event::Late { factor: 1 });
    tale.refuse_for(0, 1);
    assert_eq!(tale.contact(0), Contact::Dead);
}

#[test]
fn f43_after_a_sleep_silence_counts_anew_and_everybody_is_tried_at_once() {
    let mut tale = Tale::at_work(3);
    tale.lose_link(0);
    (0..4).for_each(|_| drop((tale.refuse(0, true), tale.wait(3_000))));
    tale.wait(3_600_000);
    tale.tell(Event::Slept { ms: 3_600_000 });
    assert!(tale.run.view().notice.unwrap().text.starts_with("this machine slept for 3600 s"));
    tale.refuse_for(0, 25_000);
    assert_eq!(tale.contact(0), Contact::Suspect);
}

#[test]
fn a_stop_drops_the_attempts_at_hosts_that_have_nothing_of_ours() {
    let mut wanted = cluster(3, vec![runs("w", &[])]);
    wanted.ready = count(1);
    let mut tale = Tale::of(wanted, 3);
    tale.connect(0);
    tale.prepare(0);
    let said = tale.stop();
    let dropped = |n| Effect::DropConnect { host: HostId(n) };
    assert!(said.contains(&dropped(1)) && said.contains(&dropped(2)), "{said:?}");
    tale.tell(Event::ConnectDropped { host: HostId(1) });
    // The other one had got too far: its agent is cleaned up like any.
    tale.connect(2);
    tale.end(0, 0, 143);
    assert!(cleaning(&tale.said).contains(&2));
    tale.cleaned(0);
    assert_eq!(outcome(&tale.cleaned(2)), Some(Outcome::Stopped));
    let problems = tale.run.view().problems;
    assert!(problems.iter().all(|p| p.operation != "connect"), "{problems:?}");
}

#[test]
fn r3_a_host_whose_links_never_last_is_tried_again_after_longer_and_longer_pauses_and_then_given_up()
 {
    let mut tale = Tale::prepared(cluster(2, vec![runs("a", &[])]), 2);
    let mut links = 0;
    let begun = tale.now;
    while tale.run.view().hosts[0].state != HostState::Failed {
        assert!(links < 20, "it is given up at last");
        links += 1;
        tale.lose_link(0);
        while connecting(&tale.said).iter().filter(|host| **host == 0).count() <= links
            && tale.run.view().hosts[0].state != HostState::Failed
        {
            tale.wait(100);
        }
        tale.hello(0, SESSION + links as u64, 0);
    }
    assert!(tale.now - begun > 30_000, "a short partition is outlasted");
}
