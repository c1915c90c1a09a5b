//! What the driver hears of objects, and when: watches and lists, and drivers that come and go with all they know.

use berth_scheduler::{Change, Driver, Kind};

use crate::mix::TIMEOUT;
use crate::sim::{KINDS, Sim, What};

/// A watch of one kind: what of its log has been told.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) generation: u64,
    /// Nothing is told before a list.
    pub(crate) listed: bool,
    /// The last list ended there.
    pub(crate) from: usize,
    pub(crate) told: usize,
    pub(crate) planned: usize,
    pub(crate) last_at: u64,
}

impl Sim {
    /// What has happened to objects is on its way to the driver, and to those who act on it.
    pub(crate) fn spread(&mut self) {
        self.hook();
        for kind in KINDS {
            let slow = self.dice.between(1, self.mix.watch_ms);
            let length = self.api.log(kind).len();
            let Some(watch) = self.watches.get_mut(&kind).filter(|watch| watch.listed) else { continue };
            let generation = watch.generation;
            let (count, at) = (length - watch.planned, watch.last_at.max(self.now + slow));
            watch.planned = length;
            if count > 0 {
                watch.last_at = at;
            }
            for _ in 0..count {
                self.at(at, What::Deliver(kind, generation));
            }
        }
    }

    /// Kubelets and controllers see everything at once.
    pub(crate) fn hook(&mut self) {
        while let Some(entry) = self.api.log(Kind::Pod).get(self.hooked) {
            let (key, uid, gone) = (entry.key.clone(), entry.object.uid.clone(), entry.gone);
            self.hooked += 1;
            self.pod_changed(&key, &uid, gone);
        }
    }

    pub(crate) fn deliver(&mut self, kind: Kind, generation: u64) {
        let again = self.dice.permille(self.mix.twice).then(|| self.dice.between(1, 5) as usize);
        let Some(watch) = self.watches.get_mut(&kind).filter(|watch| watch.generation == generation) else { return };
        let log = self.api.log(kind);
        let Some(next) = log.get(watch.told) else { return };
        let change = next.change();
        let old = again.filter(|back| watch.from + back <= watch.told).map(|back| log[watch.told - back].change());
        watch.told += 1;
        self.observe(change);
        old.into_iter().for_each(|old| self.observe(old));
    }

    pub(crate) fn cut_a_watch(&mut self) {
        let Some(kind) = self.dice.pick(&KINDS) else { return };
        self.say(|| format!("the watch of {kind} is cut"));
        let silence = self.dice.between(1, 30_000);
        self.list_anew(kind, silence);
    }

    pub(crate) fn list_anew(&mut self, kind: Kind, after: u64) {
        let Some(watch) = self.watches.get_mut(&kind) else { return };
        watch.generation += 1;
        watch.listed = false;
        let (at, generation) = (self.now + after, watch.generation);
        self.at(at, What::Listed(kind, generation));
    }

    /// A list is never older than what was told before; what came after it is told next.
    pub(crate) fn listed(&mut self, kind: Kind, generation: u64) {
        let length = self.api.log(kind).len();
        // A replica that waits may have heard of nothing for long.
        let back = self.dice.between(0, if self.leads { 6 } else { 60 }) as usize;
        let leads = self.driver.as_ref().is_some_and(|driver| driver.unlisted().any(|one| one == kind));
        let Some(watch) = self.watches.get_mut(&kind).filter(|watch| watch.generation == generation) else { return };
        // The list that a leader starts with is asked for when it leads already, and is as new as that.
        let at = if leads && kind == Kind::Pod { length } else { length.saturating_sub(back).max(watch.told) };
        (watch.listed, watch.from, watch.told, watch.planned, watch.last_at) = (true, at, at, at, self.now);
        let objects = self.api.list(kind, at);
        self.say(|| format!("{kind} is listed: {}", objects.len()));
        self.observe(Change::Replaced { kind, objects });
    }

    /// The driver is gone with all it knew; calls under way go on.
    pub(crate) fn crash(&mut self) {
        if self.driver.is_none() {
            return;
        }
        let pause = TIMEOUT + self.dice.between(1, 20_000);
        self.say(|| "the scheduler is gone".into());
        self.safety.restarted();
        (self.driver, self.batch) = (None, None);
        self.epoch += 1;
        self.leads = false;
        for watch in self.watches.values_mut() {
            *watch = Watch { generation: watch.generation + 1, ..Watch::default() };
        }
        // A replica that has been watching all the time, or one that starts from nothing.
        if self.dice.permille(500) {
            self.begin();
            self.at(self.now + pause, What::Lead(self.epoch));
            if self.dice.permille(500) {
                let silence = self.now + self.dice.between(1, 4_000);
                self.at(silence, What::Silence(self.epoch));
            }
        } else {
            self.at(self.now + pause, What::Restart);
        }
    }

    pub(crate) fn begin(&mut self) {
        self.driver = Some(Driver::new(&self.configuration, KINDS));
        for kind in KINDS {
            let after = self.dice.between(1, 2_000);
            self.list_anew(kind, after);
        }
    }

    pub(crate) fn restart(&mut self) {
        self.begin();
        self.lead(self.epoch);
    }

    pub(crate) fn silence(&mut self) {
        if let Some(watch) = self.watches.get_mut(&Kind::Pod) {
            watch.generation += 1;
            watch.listed = false;
        }
    }

    pub(crate) fn lead(&mut self, epoch: u64) {
        if epoch != self.epoch {
            return;
        }
        self.leads = true;
        self.say(|| "a scheduler leads".into());
        if let Some(driver) = &mut self.driver {
            driver.await_list(Kind::Pod);
            driver.lead();
        }
        let after = self.dice.between(1, 3_000);
        self.list_anew(Kind::Pod, after);
        self.news();
    }
}
