//! Single steps of one replica, then several over a Lease that is far away, slow and unreliable.

use berth_config::units::Duration;

use super::*;

/// 15 s, 10 s, 2 s.
fn settings() -> LeaderElection {
    LeaderElection::default()
}

fn replica(name: &str) -> Election {
    Election::new(name.to_owned(), &settings(), 7)
}

fn held(holder: &str, renewed_us: i64) -> Record {
    Record { holder: holder.to_owned(), duration_s: 15, acquired_us: 1, renewed_us, transitions: 3 }
}

fn found(version: &str, record: &Record) -> Outcome {
    Outcome::Found { version: version.to_owned(), record: record.clone() }
}

fn written(version: &str) -> Outcome {
    Outcome::Written { version: version.to_owned() }
}

/// Steps; there must be a call.
fn calls(election: &mut Election, now_ms: u64) -> Call {
    match election.step(now_ms, wall(now_ms)) {
        Step::Call(call) => call,
        other => panic!("at {now_ms} expected a call, not {other:?}"),
    }
}

/// Steps; nothing is to be done until then.
fn waits(election: &mut Election, now_ms: u64) -> u64 {
    match election.step(now_ms, wall(now_ms)) {
        Step::Wait { until_ms } => until_ms,
        other => panic!("at {now_ms} expected to wait, not {other:?}"),
    }
}

fn wall(now_ms: u64) -> i64 {
    1_000_000_000 + i64::try_from(now_ms).expect("small") * 1000
}

/// A replica that took over at `now_ms`, version "2".
fn leader(name: &str, now_ms: u64) -> Election {
    let mut election = replica(name);
    assert_eq!(calls(&mut election, now_ms), Call::Get);
    let nobody = Record { holder: String::new(), duration_s: 1, ..held("", 5) };
    election.answered(now_ms, wall(now_ms), found("1", &nobody));
    assert!(matches!(calls(&mut election, now_ms), Call::Update { .. }));
    election.answered(now_ms, wall(now_ms), written("2"));
    election
}

#[test]
fn the_first_replica_makes_the_lease_and_leads() {
    let mut election = replica("a");
    assert_eq!(calls(&mut election, 100), Call::Get);
    assert_eq!(waits(&mut election, 110), u64::MAX, "one call at a time");
    election.answered(120, wall(120), Outcome::NotFound);
    let record =
        Record { holder: "a".into(), duration_s: 15, acquired_us: wall(120), renewed_us: wall(120), transitions: 0 };
    assert_eq!(calls(&mut election, 130), Call::Create(record));
    assert!(!election.may_act(140), "not before it is written");
    election.answered(150, wall(150), written("1"));
    assert_eq!(election.leads_until_ms(), Some(10_130), "from the start of the call on");
    assert!(election.may_act(10_129) && !election.may_act(10_130));
}

#[test]
fn a_leader_renews_with_the_version_it_knows() {
    let mut election = leader("a", 1_000);
    assert_eq!(waits(&mut election, 1_000), 3_000);
    let Call::Update { version, record } = calls(&mut election, 3_000) else { panic!("no update") };
    assert_eq!((version.as_str(), record.transitions), ("2", 4));
    assert_eq!((record.acquired_us, record.renewed_us), (wall(1_000), wall(3_000)));
    election.answered(3_010, wall(3_010), written("3"));
    assert_eq!(election.leads_until_ms(), Some(13_000));
}

#[test]
fn a_leader_whose_quick_way_fails_looks_and_tries_again() {
    for failure in [Outcome::Refused, Outcome::Unclear, Outcome::NotFound] {
        let mut election = leader("a", 0);
        let Call::Update { record, .. } = calls(&mut election, 2_000) else { panic!("no update") };
        election.answered(2_100, wall(2_100), failure);
        assert_eq!(calls(&mut election, 2_100), Call::Get);
        // Whether ours took effect or not, it is still us.
        election.answered(2_200, wall(2_200), found("9", &record));
        let Call::Update { version, record } = calls(&mut election, 2_200) else { panic!("no update") };
        assert_eq!((version.as_str(), record.transitions), ("9", 4));
        election.answered(2_300, wall(2_300), Outcome::Refused);
        assert_eq!(waits(&mut election, 2_300), 4_300, "no two rounds without a pause");
        assert_eq!(calls(&mut election, 4_300), Call::Get);
    }
}

#[test]
fn a_leader_that_cannot_renew_stops_for_good() {
    let mut election = leader("a", 0);
    calls(&mut election, 2_000);
    assert_eq!(waits(&mut election, 9_999), 10_000, "it wakes for its own end");
    assert_eq!(election.step(10_000, 0), Step::Ended(End::Lost));
    election.answered(10_001, 0, written("3"));
    assert_eq!(election.step(10_002, 0), Step::Ended(End::Lost), "what comes late does not bring it back");
    assert!(!election.may_act(10_002));

    let mut late = leader("a", 0);
    calls(&mut late, 9_000);
    late.answered(10_000, 0, written("3"));
    assert_eq!(late.step(10_000, 0), Step::Ended(End::Lost), "there was a moment when it might not act");
}

#[test]
fn a_leader_that_finds_another_holder_stops_at_once() {
    let mut election = leader("a", 0);
    calls(&mut election, 2_000);
    election.answered(2_010, wall(2_010), Outcome::Refused);
    calls(&mut election, 2_010);
    election.answered(2_020, wall(2_020), found("9", &held("b", 8)));
    assert!(!election.may_act(2_020));
    assert_eq!(election.step(2_020, 0), Step::Ended(End::Lost));
}

#[test]
fn a_standby_counts_from_when_it_saw_a_change_whatever_the_holders_clock_says() {
    for renewed_us in [0, i64::MAX] {
        let mut election = replica("b");
        let mut now_ms = 50_000;
        calls(&mut election, now_ms);
        election.answered(now_ms, wall(now_ms), found("4", &held("a", renewed_us)));
        let mut looks = 0;
        loop {
            let until_ms = waits(&mut election, now_ms);
            assert!(until_ms - now_ms <= 4_400, "retry period and jitter at the most");
            now_ms = until_ms;
            assert_eq!(calls(&mut election, now_ms), Call::Get);
            // Another version of the same: somebody set a label.
            election.answered(now_ms, wall(now_ms), found(&format!("5-{looks}"), &held("a", renewed_us)));
            looks += 1;
            if now_ms > 65_000 {
                break;
            }
        }
        assert_eq!(now_ms, 65_001, "it looks as soon as it runs out");
        let Call::Update { record, .. } = calls(&mut election, now_ms) else { panic!("no update") };
        assert_eq!((record.holder.as_str(), record.transitions), ("b", 4));
        assert_eq!(record.acquired_us, wall(now_ms));
        assert!(looks >= 4, "only {looks} looks");
    }
}

#[test]
fn a_renewal_that_is_seen_starts_the_wait_anew() {
    let mut election = replica("b");
    calls(&mut election, 0);
    election.answered(0, 0, found("4", &held("a", 1)));
    let now_ms = 14_999;
    calls(&mut election, now_ms);
    election.answered(now_ms, 0, found("5", &held("a", 2)));
    calls(&mut election, 20_000);
    election.answered(20_000, 0, found("5", &held("a", 2)));
    assert!(waits(&mut election, 20_000) > 20_000);
}

#[test]
fn what_nobody_holds_is_taken_at_once() {
    let mut election = replica("b");
    calls(&mut election, 0);
    let nobody = Record { holder: String::new(), ..held("", 1) };
    election.answered(5, wall(5), found("4", &nobody));
    assert!(matches!(calls(&mut election, 5), Call::Update { version, .. } if version == "4"));
    election.answered(6, wall(6), Outcome::Refused);
    let until_ms = waits(&mut election, 6);
    assert!((2_006..=4_406).contains(&until_ms), "somebody was quicker: {until_ms}");
}

#[test]
fn a_holder_of_our_name_is_us_only_if_we_may_have_written() {
    let mut twin = replica("a");
    calls(&mut twin, 0);
    twin.answered(0, 0, found("4", &held("a", 1)));
    assert!(waits(&mut twin, 0) >= 2_000, "the other one lives, or has just died");

    let mut election = replica("a");
    calls(&mut election, 0);
    election.answered(0, 0, Outcome::NotFound);
    let Call::Create(record) = calls(&mut election, 0) else { panic!("no create") };
    election.answered(5_000, 0, Outcome::Unclear);
    let until_ms = waits(&mut election, 5_000);
    calls(&mut election, until_ms);
    election.answered(until_ms, wall(until_ms), found("1", &record));
    let Call::Update { record: again, .. } = calls(&mut election, until_ms) else { panic!("no update") };
    assert_eq!((again.acquired_us, again.transitions), (record.acquired_us, 0), "it did take effect");
    assert!(!election.may_act(until_ms), "not before a write is known to have worked");
}

#[test]
fn a_lease_that_is_deleted_stays_its_holders_until_it_runs_out() {
    let mut election = replica("b");
    calls(&mut election, 0);
    election.answered(0, 0, found("4", &held("a", 1)));
    calls(&mut election, 5_000);
    election.answered(5_000, 0, Outcome::NotFound);
    waits(&mut election, 5_000);
    calls(&mut election, 15_001);
    election.answered(15_001, 0, Outcome::NotFound);
    assert!(matches!(calls(&mut election, 15_001), Call::Create(_)));

    let mut holder = leader("a", 0);
    calls(&mut holder, 2_000);
    holder.answered(2_000, 0, Outcome::NotFound);
    calls(&mut holder, 2_000);
    holder.answered(2_000, 0, Outcome::NotFound);
    assert!(matches!(calls(&mut holder, 2_000), Call::Create(_)), "the holder makes it anew");
}

#[test]
fn a_lease_without_a_duration_counts_for_ours() {
    let mut election = replica("b");
    calls(&mut election, 0);
    election.answered(0, 0, found("4", &Record { duration_s: 0, ..held("a", 1) }));
    calls(&mut election, 10_000);
    election.answered(10_000, 0, found("4", &Record { duration_s: 0, ..held("a", 1) }));
    assert_eq!(waits(&mut election, 10_000).max(15_001), 15_001);
}

#[test]
fn releasing_ends_leadership_first_and_leaves_nobody_as_holder() {
    let mut election = leader("a", 0);
    election.release(1_000);
    assert!(!election.may_act(1_000));
    let Call::Update { version, record } = calls(&mut election, 1_000) else { panic!("no update") };
    let expected = Record {
        holder: String::new(),
        duration_s: 1,
        acquired_us: wall(1_000),
        renewed_us: wall(1_000),
        transitions: 4,
    };
    assert_eq!((version.as_str(), record), ("2", expected));
    election.answered(1_010, 0, written("3"));
    assert_eq!(election.step(1_010, 0), Step::Ended(End::Released));
}

#[test]
fn releasing_waits_for_the_renewal_under_way_and_tries_again_for_a_while() {
    let mut election = leader("a", 0);
    let Call::Update { record, .. } = calls(&mut election, 2_000) else { panic!("no update") };
    election.release(2_005);
    assert_eq!(waits(&mut election, 2_005), 12_005);
    election.answered(7_000, 0, Outcome::Unclear);
    assert_eq!(calls(&mut election, 7_000), Call::Get);
    election.answered(7_010, 0, found("3", &record));
    assert!(matches!(calls(&mut election, 7_010), Call::Update { record, .. } if record.holder.is_empty()));
    election.answered(11_000, 0, Outcome::Unclear);
    assert_eq!(election.step(12_005, 0), Step::Ended(End::Released), "then it is left to run out");
}

#[test]
fn releasing_what_is_not_ours_writes_nothing() {
    let mut standby = replica("b");
    standby.release(0);
    assert_eq!(standby.step(0, 0), Step::Ended(End::Released));
    let mut election = leader("a", 0);
    calls(&mut election, 2_000);
    election.release(2_000);
    election.answered(2_001, 0, Outcome::Refused);
    calls(&mut election, 2_001);
    election.answered(2_002, 0, found("9", &held("b", 1)));
    assert_eq!(election.step(2_002, 0), Step::Ended(End::Released));
}

#[test]
fn odd_durations_are_rounded_so_that_others_wait_longer() {
    let settings = LeaderElection { lease_duration: Duration::from_ms(10_001), ..settings() };
    let mut election = Election::new("a".to_owned(), &settings, 0);
    calls(&mut election, 0);
    election.answered(0, 0, Outcome::NotFound);
    assert!(matches!(calls(&mut election, 0), Call::Create(Record { duration_s: 11, .. })));
}
