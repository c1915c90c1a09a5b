//! Who leads: the rules of an election over a Lease. Pure: no clock, no API server, no randomness but of a seed. Told what
//! time it is and how calls ended, it says which call comes next, and until when this replica may act.
//!
//! As in client-go, a holder is believed for the lease's duration since *we* saw it renewed: clocks of others count for nothing.
//! Our own leadership ends, for good, `renewDeadline` after the *start* of the last renewal that worked. Nobody can have
//! seen that renewal before its start, and everybody waits longer than that; so two never may act at a time.
//!
//! Different from client-go: the deadline counts from the last renewal, not from the first failure after it; a standby looks
//! again as soon as what it saw runs out; a holder of our name is only us if a write of ours may have worked, so that two
//! replicas with one identity do not both lead.

use berth_config::scheduler::LeaderElection;

/// A standby waits its retry period and up to this much of it more, so that replicas do not ask in step. In tenths;
/// client-go's factor.
const JITTER_TENTHS: u64 = 12;

/// A Lease's content, as far as the election goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// Whole seconds.
    pub duration_s: u32,
    /// When it was acquired, by the holder's clock: microseconds since 1970.
    pub acquired_us: i64,
    /// When it was last renewed, by the same clock.
    pub renewed_us: i64,
    /// So often it changed hands.
    pub transitions: i32,
}

/// A call on the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Read it.
    Get,
    /// Make it.
    Create(Record),
    /// Replace it, if it still has this version.
    Update {
        /// `metadata.resourceVersion`.
        version: String,
        /// What it shall say.
        record: Record,
    },
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was read.
    Found {
        /// `metadata.resourceVersion`.
        version: String,
        /// What it says.
        record: Record,
    },
    /// It was written, and has this version now.
    Written {
        /// `metadata.resourceVersion`.
        version: String,
    },
    /// There is none.
    NotFound,
    /// The API server said no (a conflict, mostly): nothing was written.
    Refused,
    /// It failed or took too long: it may have taken effect or not.
    Unclear,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make this call, and say how it ended.
    Call(Call),
    /// Nothing until then, or until a call under way ends.
    Wait {
        /// On the clock that the election is told.
        until_ms: u64,
    },
    /// It is over.
    Ended(End),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// This replica led and no longer does: end the process at once.
    Lost,
    /// As asked to; if this replica held the Lease it has given it up, or tried to.
    Released,
}

/// One replica's part in the election.
#[derive(Debug)]
pub struct Election {
    identity: String,
    lease_ms: u64,
    renew_ms: u64,
    retry_ms: u64,
    seed: u64,
    seen: Option<Seen>,
    /// Is `seen` the last we know, so that a write may rely on its version?
    fresh: bool,
    /// May a write of ours have taken effect?
    wrote: bool,
    leads_until_ms: Option<u64>,
    under_way: Option<UnderWay>,
    /// To be made next, and at once: it relies on what was just read.
    queued: Option<Call>,
    next_ms: u64,
    release_by_ms: Option<u64>,
    ended: Option<End>,
}

#[derive(Debug)]
struct Seen {
    version: String,
    record: Record,
    /// When we first saw it so.
    since_ms: u64,
}

#[derive(Debug)]
struct UnderWay {
    call: Call,
    begun_ms: u64,
    /// Was the Lease read just before?
    read_before: bool,
}

impl Election {
    /// A replica that stands by. `identity` must be another one for each replica; `seed` too, for the jitter.
    pub fn new(identity: String, settings: &LeaderElection, seed: u64) -> Election {
        Election {
            identity,
            lease_ms: settings.lease_duration.ms(),
            renew_ms: settings.renew_deadline.ms(),
            retry_ms: settings.retry_period.ms(),
            seed,
            seen: None,
            fresh: false,
            wrote: false,
            leads_until_ms: None,
            under_way: None,
            queued: None,
            next_ms: 0,
            release_by_ms: None,
            ended: None,
        }
    }

    /// The end of this replica's leadership, if it is not renewed; `None` on one that stands by.
    pub fn leads_until_ms(&self) -> Option<u64> {
        self.leads_until_ms
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<End> {
        self.ended
    }

    /// May this replica act as the leader at this moment? To be asked before each write, with a clock read after anything that may
    /// have taken time.
    pub fn may_act(&self, now_ms: u64) -> bool {
        self.leads_until_ms.is_some_and(|until_ms| now_ms < until_ms)
    }

    /// Who holds the Lease as far as we have seen.
    pub fn holder(&self) -> Option<&str> {
        self.seen.as_ref().map(|seen| seen.record.holder.as_str()).filter(|holder| !holder.is_empty())
    }

    /// Leads no longer, from now on, and gives the Lease up, so that another takes over without waiting. Only when nothing that
    /// needs leadership is under way.
    pub fn release(&mut self, now_ms: u64) {
        if self.ended.is_none() && self.release_by_ms.is_none() {
            (self.leads_until_ms, self.queued) = (None, None);
            self.release_by_ms = Some(now_ms + self.renew_ms);
            self.next_ms = now_ms;
            let writes = self.under_way.as_ref().is_some_and(|under_way| under_way.call != Call::Get);
            if !self.wrote && !writes {
                self.finish(End::Released);
            }
        }
    }

    /// What to do at `now_ms` (any clock that never goes back); `wall_us`: microseconds since 1970, only to be written down.
    pub fn step(&mut self, now_ms: u64, wall_us: i64) -> Step {
        self.notice_time(now_ms);
        if let Some(end) = self.ended {
            return Step::Ended(end);
        }
        let until_ms = self.leads_until_ms.or(self.release_by_ms).unwrap_or(u64::MAX);
        if self.under_way.is_some() {
            return Step::Wait { until_ms };
        }
        if let Some(call) = self.queued.take() {
            let read_before = call != Call::Get;
            return self.begin(call, now_ms, read_before);
        }
        if now_ms < self.next_ms {
            return Step::Wait { until_ms: self.next_ms.min(until_ms) };
        }
        let call = if self.release_by_ms.is_some() { self.give_up(wall_us) } else { self.renew(wall_us) };
        self.begin(call, now_ms, false)
    }

    /// Ends what has run out.
    fn notice_time(&mut self, now_ms: u64) {
        if self.leads_until_ms.is_some_and(|until_ms| now_ms >= until_ms) {
            self.finish(End::Lost);
        }
        if self.release_by_ms.is_some_and(|until_ms| now_ms >= until_ms) {
            self.finish(End::Released);
        }
    }

    fn finish(&mut self, end: End) {
        self.leads_until_ms = None;
        self.ended.get_or_insert(end);
    }

    fn begin(&mut self, call: Call, now_ms: u64, read_before: bool) -> Step {
        self.under_way = Some(UnderWay { call: call.clone(), begun_ms: now_ms, read_before });
        Step::Call(call)
    }

    /// A leader that knows the Lease's version writes at once; everybody else looks first.
    fn renew(&self, wall_us: i64) -> Call {
        let ours = self.seen.as_ref().filter(|seen| self.fresh && self.leads_until_ms.is_some() && self.is_ours(seen));
        ours.map_or(Call::Get, |seen| self.take(seen, wall_us))
    }

    /// The next call that gives the Lease up.
    fn give_up(&self, wall_us: i64) -> Call {
        let ours = self.seen.as_ref().filter(|seen| self.fresh && self.is_ours(seen));
        ours.map_or(Call::Get, |seen| seen.given_up(wall_us))
    }

    /// The call under way ended so. After the election has ended, this changes nothing.
    pub fn answered(&mut self, now_ms: u64, wall_us: i64, outcome: Outcome) {
        self.notice_time(now_ms);
        let Some(UnderWay { call, begun_ms, read_before }) = self.under_way.take() else { return };
        if self.ended.is_some() {
            return;
        }
        self.queued = match (call, outcome) {
            (Call::Get, Outcome::Found { version, record }) => {
                self.saw(version, record, now_ms);
                self.after_look(now_ms, wall_us)
            }
            (Call::Get, Outcome::NotFound) => self.after_absence(now_ms, wall_us),
            (Call::Get, _) => self.pause(now_ms),
            (Call::Create(record) | Call::Update { record, .. }, Outcome::Written { version }) => {
                self.written(version, record, begun_ms, now_ms);
                None
            }
            (_, outcome) => {
                self.fresh = false;
                self.wrote |= outcome == Outcome::Unclear;
                // A leader whose quick way failed looks at once; but no two rounds without a pause.
                let at_once = !read_before && self.release_by_ms.or(self.leads_until_ms).is_some();
                if at_once { Some(Call::Get) } else { self.pause(now_ms) }
            }
        };
    }

    fn saw(&mut self, version: String, record: Record, now_ms: u64) {
        let unchanged = self.seen.as_ref().filter(|seen| seen.record == record);
        let since_ms = unchanged.map_or(now_ms, |seen| seen.since_ms);
        self.seen = Some(Seen { version, record, since_ms });
        self.fresh = true;
    }

    /// We have just read the Lease: is it ours, or to be had?
    fn after_look(&mut self, now_ms: u64, wall_us: i64) -> Option<Call> {
        let seen = self.seen.as_ref()?;
        let ours = self.is_ours(seen);
        if self.release_by_ms.is_some() {
            if ours {
                return Some(seen.given_up(wall_us));
            }
            self.finish(End::Released);
            return None;
        }
        if self.leads_until_ms.is_some() && !ours {
            self.finish(End::Lost);
            return None;
        }
        let free = seen.record.holder.is_empty() || now_ms > self.valid_until_ms(seen);
        if ours || free { Some(self.take(seen, wall_us)) } else { self.pause(now_ms) }
    }

    /// There is no Lease.
    fn after_absence(&mut self, now_ms: u64, wall_us: i64) -> Option<Call> {
        self.fresh = false;
        if self.release_by_ms.is_some() {
            self.finish(End::Released);
            return None;
        }
        // Somebody deleted it: the one who held it may act until it runs out.
        let held = |seen: &&Seen| !self.is_ours(seen) && !seen.record.holder.is_empty();
        match self.seen.as_ref().filter(held) {
            Some(seen) if now_ms <= self.valid_until_ms(seen) => self.pause(now_ms),
            _ => Some(Call::Create(self.record(wall_us, wall_us, 0))),
        }
    }

    fn written(&mut self, version: String, record: Record, begun_ms: u64, now_ms: u64) {
        let given_up = record.holder.is_empty();
        self.seen = Some(Seen { version, record, since_ms: now_ms });
        (self.fresh, self.wrote) = (true, true);
        self.next_ms = (begun_ms + self.retry_ms).max(now_ms);
        if given_up {
            self.finish(End::Released);
        } else if self.release_by_ms.is_some() {
            self.next_ms = now_ms;
        } else if now_ms < begun_ms + self.renew_ms {
            self.leads_until_ms = Some(begun_ms + self.renew_ms);
        } else {
            // It took so long that it is worth nothing any more.
            self.next_ms = now_ms;
        }
    }

    /// Sets when to look again. Always `None`: there is nothing to call before.
    fn pause(&mut self, now_ms: u64) -> Option<Call> {
        self.next_ms = now_ms + self.retry_ms;
        if self.leads_until_ms.or(self.release_by_ms).is_none() {
            self.next_ms += self.jitter_ms();
            let runs_out = self.seen.as_ref().map(|seen| self.valid_until_ms(seen) + 1);
            if let Some(at_ms) = runs_out.filter(|at_ms| *at_ms > now_ms) {
                self.next_ms = self.next_ms.min(at_ms);
            }
        }
        None
    }

    fn is_ours(&self, seen: &Seen) -> bool {
        self.wrote && seen.record.holder == self.identity
    }

    /// The last moment at which the holder may rely on what we saw.
    fn valid_until_ms(&self, seen: &Seen) -> u64 {
        // A Lease without a duration was not written by an election like ours: be careful.
        let duration_ms = match seen.record.duration_s {
            0 => self.lease_ms,
            seconds => u64::from(seconds) * 1000,
        };
        seen.since_ms + duration_ms
    }

    /// The call that makes or keeps the Lease ours.
    fn take(&self, seen: &Seen, wall_us: i64) -> Call {
        let Record { acquired_us, transitions, .. } = seen.record;
        let record = match self.is_ours(seen) {
            true => self.record(acquired_us, wall_us, transitions),
            false => self.record(wall_us, wall_us, transitions.saturating_add(1)),
        };
        Call::Update { version: seen.version.clone(), record }
    }

    fn record(&self, acquired_us: i64, renewed_us: i64, transitions: i32) -> Record {
        let duration_s = u32::try_from(self.lease_ms.div_ceil(1000)).unwrap_or(u32::MAX);
        Record { holder: self.identity.clone(), duration_s, acquired_us, renewed_us, transitions }
    }

    /// Between nothing and [`JITTER_TENTHS`] of the retry period (SplitMix64).
    fn jitter_ms(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % (self.retry_ms * JITTER_TENTHS / 10 + 1)
    }
}

impl Seen {
    /// The call that gives the Lease up. The short duration is for those who do not know that nobody is no holder.
    fn given_up(&self, wall_us: i64) -> Call {
        let Record { transitions, .. } = self.record;
        let (acquired_us, renewed_us) = (wall_us, wall_us);
        let record = Record { holder: String::new(), duration_s: 1, acquired_us, renewed_us, transitions };
        Call::Update { version: self.version.clone(), record }
    }
}

#[cfg(test)]
#[path = "election_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "election_simulation.rs"]
mod simulation;
