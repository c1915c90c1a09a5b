//! Several replicas over one Lease, in virtual time: slow and lost calls, pauses, partitions, crashes, clocks that disagree.
//! One seed replays everything.

use std::collections::BTreeMap;

use berth_config::units::Duration;

use super::*;

const RENEW_MS: u64 = 10_000;
const LEASE_MS: u64 = 15_000;
const RETRY_MS: u64 = 2_000;
/// What the retry period may grow to.
const LOOK_MS: u64 = RETRY_MS * 22 / 10;
const CALL_TIMEOUT_MS: u64 = 5_000;
/// A call without faults is done after so long at the most.
const CALL_MS: u64 = 40;

/// SplitMix64, as in the election, but for the faults.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }
}

#[derive(Debug)]
enum Event {
    Wake { replica: usize, life: u64 },
    Arrives { replica: usize, life: u64, id: u64, call: Call, back_ms: Option<u64>, garbled: bool },
    Answered { replica: usize, life: u64, id: u64, outcome: Outcome },
    Restart { replica: usize },
    Fault,
}

struct Replica {
    election: Election,
    /// Counts its starts; what is meant for an earlier one is dropped.
    life: u64,
    alive: bool,
    /// Its own clock is ahead of the world's by this, its wall clock by that.
    clock_ms: u64,
    wall_us: i64,
    call: Option<u64>,
    paused_until: u64,
    cut_off_until: u64,
}

struct World {
    settings: LeaderElection,
    now: u64,
    dice: Dice,
    events: BTreeMap<(u64, u64), Event>,
    count: u64,
    lease: Option<(u64, Record)>,
    writes: u64,
    replicas: Vec<Replica>,
    faults_until: u64,
    /// When the leader changed, and to whom.
    led: Vec<(u64, Option<usize>)>,
    lost: Vec<u64>,
}

impl World {
    fn new(seed: u64, replicas: usize, faults_until: u64) -> World {
        World::with(LeaderElection::default(), seed, replicas, faults_until)
    }

    fn with(settings: LeaderElection, seed: u64, replicas: usize, faults_until: u64) -> World {
        let mut world = World {
            settings,
            now: 0,
            dice: Dice(seed),
            events: BTreeMap::new(),
            count: 0,
            lease: None,
            writes: 0,
            replicas: Vec::new(),
            faults_until,
            led: vec![(0, None)],
            lost: Vec::new(),
        };
        for replica in 0..replicas {
            let fresh = world.fresh(replica, 0);
            world.replicas.push(fresh);
            let start = world.dice.below(3_000);
            world.at(start, Event::Wake { replica, life: 0 });
        }
        if faults_until > 0 {
            world.at(0, Event::Fault);
        }
        world
    }

    fn fresh(&mut self, replica: usize, life: u64) -> Replica {
        let name = format!("replica-{replica}-{life}");
        Replica {
            election: Election::new(name, &self.settings, self.dice.below(u64::MAX)),
            life,
            alive: true,
            clock_ms: self.dice.below(1 << 40),
            // Days apart: nobody may rely on what another one wrote down.
            wall_us: i64::try_from(self.dice.below(1 << 40)).expect("fits"),
            call: None,
            paused_until: 0,
            cut_off_until: 0,
        }
    }

    fn at(&mut self, time: u64, event: Event) {
        self.count += 1;
        self.events.insert((time.max(self.now), self.count), event);
    }

    fn run_until(&mut self, end: u64) {
        while let Some(((time, _), _)) = self.events.first_key_value() {
            if *time > end {
                break;
            }
            let Some(((time, _), event)) = self.events.pop_first() else { break };
            self.now = time;
            self.happens(event);
            self.judge();
        }
        self.now = end;
        self.judge();
    }

    /// Never two at a time; a replica that hangs may act as soon as it goes on, so it counts.
    fn judge(&mut self) {
        let leaders: Vec<usize> = (0..self.replicas.len()).filter(|replica| self.may_act(*replica)).collect();
        assert!(leaders.len() <= 1, "at {} all of {leaders:?} may act", self.now);
        let leader = leaders.first().copied();
        if self.led.last().map(|(_, led)| *led) != Some(leader) {
            self.led.push((self.now, leader));
        }
    }

    fn may_act(&self, replica: usize) -> bool {
        let one = &self.replicas[replica];
        one.alive && one.election.may_act(one.clock_ms + self.now)
    }

    fn leader(&self) -> Option<usize> {
        (0..self.replicas.len()).find(|replica| self.may_act(*replica))
    }

    fn happens(&mut self, event: Event) {
        // Who hangs gets everything later.
        if let Event::Wake { replica, .. } | Event::Answered { replica, .. } = &event
            && self.replicas[*replica].paused_until > self.now
        {
            let until = self.replicas[*replica].paused_until;
            return self.at(until, event);
        }
        match event {
            Event::Wake { replica, life } => self.step(replica, life),
            Event::Arrives { replica, life, id, call, back_ms, garbled } => {
                let done = self.store(call);
                if let Some(back_ms) = back_ms {
                    let outcome = if garbled { Outcome::Unclear } else { done };
                    self.at(self.now + back_ms, Event::Answered { replica, life, id, outcome });
                }
            }
            Event::Answered { replica, life, id, outcome } => {
                let one = &mut self.replicas[replica];
                if one.alive && one.life == life && one.call == Some(id) {
                    one.call = None;
                    let now = i64::try_from(self.now).expect("fits");
                    one.election.answered(one.clock_ms + self.now, one.wall_us + now * 1000, outcome);
                    self.step(replica, life);
                }
            }
            Event::Restart { replica } => {
                let life = self.replicas[replica].life + 1;
                self.replicas[replica] = self.fresh(replica, life);
                self.step(replica, life);
            }
            Event::Fault => self.fault(),
        }
    }

    fn step(&mut self, replica: usize, life: u64) {
        let one = &mut self.replicas[replica];
        if !one.alive || one.life != life {
            return;
        }
        let clock_ms = one.clock_ms;
        let now = i64::try_from(self.now).expect("fits");
        match one.election.step(clock_ms + self.now, one.wall_us + now * 1000) {
            Step::Wait { until_ms } => {
                if until_ms < u64::MAX {
                    self.at(until_ms - clock_ms, Event::Wake { replica, life });
                }
            }
            Step::Call(call) => {
                self.send(replica, life, call);
                // The end of leadership is noticed under a call, too.
                if let Some(until_ms) = self.replicas[replica].election.leads_until_ms() {
                    self.at(until_ms - clock_ms, Event::Wake { replica, life });
                }
            }
            Step::Ended(end) => {
                if end == End::Lost {
                    self.lost.push(self.now);
                }
                self.dies(replica);
            }
        }
    }

    /// And is started again some time later.
    fn dies(&mut self, replica: usize) {
        self.replicas[replica].alive = false;
        let again = self.now + self.dice.between(500, 5_000);
        self.at(again, Event::Restart { replica });
    }

    /// A request on its way, perhaps for long, perhaps for ever; and the end of the sender's patience.
    fn send(&mut self, replica: usize, life: u64, call: Call) {
        self.count += 1;
        let id = self.count;
        self.replicas[replica].call = Some(id);
        let mut there_ms = Some(self.dice.between(1, CALL_MS / 2));
        let mut back_ms = Some(self.dice.between(1, CALL_MS / 2));
        let mut garbled = false;
        if self.now < self.faults_until {
            match self.dice.below(24) {
                0 => there_ms = None,
                1 => back_ms = None,
                2 => there_ms = Some(self.dice.between(1, 40_000)),
                3 => back_ms = Some(self.dice.between(1, 10_000)),
                4 => garbled = true,
                _ => {}
            }
        }
        if self.replicas[replica].cut_off_until > self.now {
            there_ms = None;
        }
        if let Some(there_ms) = there_ms {
            self.at(self.now + there_ms, Event::Arrives { replica, life, id, call, back_ms, garbled });
        }
        let outcome = Outcome::Unclear;
        self.at(self.now + CALL_TIMEOUT_MS, Event::Answered { replica, life, id, outcome });
    }

    /// What the API server does.
    fn store(&mut self, call: Call) -> Outcome {
        let record = match (call, &self.lease) {
            (Call::Get, None) => return Outcome::NotFound,
            (Call::Get, Some((version, record))) => {
                return Outcome::Found { version: version.to_string(), record: record.clone() };
            }
            (Call::Create(record), None) => record,
            (Call::Update { version, record }, Some((now, _))) if version == now.to_string() => record,
            _ => return Outcome::Refused,
        };
        self.writes += 1;
        self.lease = Some((self.writes, record));
        Outcome::Written { version: self.writes.to_string() }
    }

    /// Something goes wrong with a replica, and something else a while later.
    fn fault(&mut self) {
        if self.now >= self.faults_until {
            return;
        }
        let replica = usize::try_from(self.dice.below(self.replicas.len() as u64)).expect("small");
        // The one who leads is the one to trouble.
        let replica = self.leader().filter(|_| self.dice.below(2) == 0).unwrap_or(replica);
        let long = self.now + self.dice.between(100, 30_000);
        let life = self.replicas[replica].life;
        match self.dice.below(4) {
            0 => self.replicas[replica].paused_until = long,
            1 => self.replicas[replica].cut_off_until = long,
            2 if self.replicas[replica].alive => self.dies(replica),
            3 if self.replicas[replica].alive => {
                let one = &mut self.replicas[replica];
                one.election.release(one.clock_ms + self.now);
                self.at(self.now, Event::Wake { replica, life });
            }
            _ => {}
        }
        let next = self.now + self.dice.between(500, 20_000);
        self.at(next, Event::Fault);
    }

    /// Runs until somebody leads; how long that took.
    fn until_led_by(&mut self, wanted: impl Fn(usize) -> bool, patience_ms: u64) -> u64 {
        let begun = self.now;
        while self.leader().is_none_or(|leader| !wanted(leader)) {
            assert!(self.now <= begun + patience_ms, "nobody leads {patience_ms} ms after {begun}");
            let next = self.events.first_key_value().map_or(begun + patience_ms + 1, |((time, _), _)| *time);
            self.run_until(next);
        }
        self.now - begun
    }
}

#[test]
fn whatever_goes_wrong_no_two_may_act_and_afterwards_one_does() {
    let mut led_in_all = 0;
    for seed in 0..400 {
        let faults_until = 300_000;
        // Half of them with next to no time between the end of one and the beginning of the next.
        let lease_duration = Duration::from_ms(if seed < 200 { LEASE_MS } else { RENEW_MS + 1_000 });
        let settings = LeaderElection { lease_duration, ..LeaderElection::default() };
        let mut world = World::with(settings, seed, 2 + usize::try_from(seed % 2).expect("small"), faults_until);
        world.run_until(faults_until);
        // Pauses, partitions and late calls of before have their end, and so has the last wait for a Lease.
        world.run_until(faults_until + 40_000);
        let settled = world.now;
        world.until_led_by(|_| true, LEASE_MS + 2 * LOOK_MS);
        world.run_until(settled + 200_000);
        assert!(world.leader().is_some(), "seed {seed}");
        let (since, _) = world.led[world.led.len() - 1];
        let bound = settled + LEASE_MS + 2 * LOOK_MS;
        assert!(since <= bound, "seed {seed}: the leader changed at {since} without a fault");
        let late = world.lost.iter().find(|time| **time > since.max(settled));
        assert_eq!(late, None, "seed {seed}: lost without a fault");
        led_in_all += world.led.len();
    }
    assert!(led_in_all > 400 * 10, "the faults hardly did anything: {led_in_all} changes");
}

#[test]
fn without_faults_the_first_leader_stays() {
    for seed in 0..50 {
        let mut world = World::new(seed, 3, 0);
        world.run_until(600_000);
        assert_eq!(world.led.len(), 2, "seed {seed}: {:?}", world.led);
        assert!(world.led[1].0 <= 3_000 + 2 * CALL_MS, "seed {seed}: {:?}", world.led);
    }
}

#[test]
fn after_a_crash_another_leads_as_soon_as_the_lease_runs_out() {
    for seed in 0..200 {
        let mut world = World::new(seed, 2 + usize::try_from(seed % 2).expect("small"), 0);
        let crash = 20_000 + world.dice.below(10_000);
        world.run_until(crash);
        let leader = world.leader().expect("somebody leads");
        world.replicas[leader].alive = false;
        let took_ms = world.until_led_by(|other| other != leader, LEASE_MS + LOOK_MS + 4 * CALL_MS);
        // The last renewal was at most a retry period before the crash, and others saw it after that.
        assert!(took_ms >= LEASE_MS - RETRY_MS - CALL_MS, "seed {seed}: {took_ms} ms is too soon to be safe");
    }
}

#[test]
fn after_a_release_another_leads_when_it_looks_next() {
    for seed in 0..200 {
        let mut world = World::new(seed, 2, 0);
        let end = 20_000 + world.dice.below(10_000);
        world.run_until(end);
        let leader = world.leader().expect("somebody leads");
        let (life, clock_ms) = (world.replicas[leader].life, world.replicas[leader].clock_ms);
        world.replicas[leader].election.release(clock_ms + end);
        assert_eq!(world.leader(), None, "at once");
        world.at(end, Event::Wake { replica: leader, life });
        // Perhaps itself, once it is started again. A renewal under way comes before the release.
        world.until_led_by(|_| true, LOOK_MS + 6 * CALL_MS);
        assert!(world.lost.is_empty(), "seed {seed}");
    }
}

#[test]
fn a_leader_that_is_cut_off_stops_before_another_starts() {
    for seed in 0..200 {
        let mut world = World::new(seed, 2, 0);
        let cut = 20_000 + world.dice.below(10_000);
        world.run_until(cut);
        let leader = world.leader().expect("somebody leads");
        world.replicas[leader].cut_off_until = u64::MAX;
        world.run_until(cut + RENEW_MS);
        assert_eq!((world.leader(), world.lost.len()), (None, 1), "seed {seed}");
        world.until_led_by(|other| other != leader, LEASE_MS);
    }
}
