//! What has to be written before a pod can be bound, so that its claims get their volumes on its node. Owns when that is tried;
//! what there is to write is worked out from the objects each time, so nothing is remembered that a restart could lose.

use berth_engine::Timestamp;

use super::bind::Ready;
use super::{Call, Driver, Due, Outcome};
use crate::objects::{Key, Kind};
use crate::volumes::{Progress, VolumeStep};

/// A step that was not done is tried again after so long (ms), unless something changes before.
const STEP_AGAIN_MS: u64 = 1_000;

impl Driver {
    /// Can the pod be bound to this node as far as its volumes go? What has to be written for that is put in line, once.
    pub(super) fn volumes_are_ready(&mut self, pod: &Key, node: &str) -> Ready {
        match self.world.volume_progress(pod, node) {
            Progress::Ready => return Ready::Now,
            Progress::Fails(why) => return Ready::Never(why),
            Progress::Waits => {}
            Progress::Todo(steps) if !self.steps.contains_key(pod) => {
                self.steps.insert(pod.clone(), steps.len());
                for step in steps {
                    self.calls.put(Call::Volume { pod: pod.clone(), step });
                }
            }
            Progress::Todo(_) => {}
        }
        Ready::Later
    }

    pub(super) fn volume_answered(&mut self, pod: &Key, outcome: &Outcome, now: Timestamp) {
        let left = self.steps.get_mut(pod).map(|left| {
            *left -= 1;
            *left
        });
        if left == Some(0) {
            self.steps.remove(pod);
        }
        // Whatever was done is shown by a watch, and looked at then; what was not is worked out anew.
        if !matches!(outcome, Outcome::Done(_)) {
            self.due.insert((now.plus(STEP_AGAIN_MS), Due::Bind(pod.clone())));
        }
    }

    /// A claim or volume has changed: pods that wait for theirs are looked at again.
    pub(super) fn look_at_volumes(&mut self, now: Timestamp) {
        if std::mem::take(&mut self.volumes_changed) {
            for pod in self.pods_that_prepare() {
                self.binding_is_due(&pod, now);
            }
        }
    }

    pub(super) fn note_volume(&mut self, kind: Kind) {
        self.volumes_changed |= matches!(kind, Kind::Claim | Kind::Volume);
    }
}

impl VolumeStep {
    /// The object it is about.
    pub(super) fn object(&self) -> Key {
        match self {
            VolumeStep::GiveVolume { volume, .. } => Key::cluster(Kind::Volume, volume),
            VolumeStep::SelectNode { claim, .. } => claim.clone(),
        }
    }
}
