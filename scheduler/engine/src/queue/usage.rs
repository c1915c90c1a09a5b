//! What a queue used lately: an amount held over time, of which every half-life leaves half.
//! Owns one such sum, the integral of held · 2^-(age / half-life). May not know queues, resources or a clock: what was
//! held, and when, are arguments.
//!
//! Old use is not shrunk at every step, which would round at every step. New use counts more instead: a moment's weight
//! is 2^(time since the period began / half-life), where a period is one half-life and begins at a multiple of it. As a
//! period ends, the weight starts at 1 again and the sum is halved. So the sum is the same to the last bit however often
//! it is brought up to date.
//!
//! What is read is off by at most 3 + 2^-57 of itself, and as if each change of the amount held had been noted up to
//! half-life / 2^57 too early or too late: weights are right to 2^-59, and all halvings together lose less than 2^-62 of
//! amount 1 held for ever. Neither grows with time.

use std::collections::BTreeMap;

use super::Queues;
use super::amounts;
use super::fair_share::Usage;
use crate::units::{QueueId, Timestamp};

/// Fractional bits of weights.
const BITS: u32 = 62;

/// The weight of a moment at the start of a period; at its end it is twice that.
const ONE: u128 = 1 << BITS;

/// The natural logarithm of 2, rounded down.
const LN_2: u128 = 3_196_577_161_300_663_914;

/// Half-lives above this, 34 years, count as this: it keeps every product below 2^128.
const HALF_LIFE_MAX_MS: u64 = 1 << 40;

/// A decaying sum of amount × time, for any resource: thousandths of a GPU × ms, ...
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DecayedUsage {
    half_life_ms: u64,
    /// Everything up to here is counted.
    at: Timestamp,
    /// Sum of held · (weight at the end − weight at the start), halved at the end of every period. At most the largest
    /// amount · 2 · `ONE`, so below 2^127.
    weighted: u128,
}

impl DecayedUsage {
    /// Nothing used before `now`. A half-life of 0 counts as 1 ms.
    pub(crate) fn new(half_life_ms: u64, now: Timestamp) -> Self {
        DecayedUsage { half_life_ms: half_life_ms.clamp(1, HALF_LIFE_MAX_MS), at: now, weighted: 0 }
    }

    /// Goes on from what [`amount_ms`](Self::amount_ms) read, after a restart or with another half-life. Reads up to 3
    /// less than that; more than the largest amount held for ever leads to counts as that.
    pub(crate) fn resume(half_life_ms: u64, now: Timestamp, amount_ms: u128) -> Self {
        let fresh = Self::new(half_life_ms, now);
        let half_life = u128::from(fresh.half_life_ms);
        let scaled = scale(amount_ms, LN_2, ONE).min(u128::from(u64::MAX) * half_life);
        DecayedUsage { weighted: scale(scaled, fresh.weight(now), half_life), ..fresh }
    }

    /// Counts `held`, the amount held from the last call until `now`: call it before the amount changes. A `now` before
    /// the last one changes nothing.
    ///
    /// Exactly the same result for one call as for many over the same time. At most 130 steps, however long ago the last
    /// call was.
    pub(crate) fn advance(&mut self, now: Timestamp, held: u64) {
        if now <= self.at {
            return;
        }
        let held = u128::from(held);
        let mut start = self.weight(self.at);
        for _ in self.at.0 / self.half_life_ms..now.0 / self.half_life_ms {
            let halved = (self.weighted + held * (2 * ONE - start)) / 2;
            let settled = start == ONE && halved == self.weighted;
            (self.weighted, start) = (halved, ONE);
            if settled {
                break; // further whole periods change nothing
            }
        }
        self.weighted += held * (self.weight(now) - start);
        self.at = now;
    }

    /// The sum as of the last call, in amount × ms. An amount held for ever leads to amount · half-life / ln 2. To see it
    /// as a part of what all could have used, divide by another such sum, of capacity over the same time.
    pub(crate) fn amount_ms(&self) -> u128 {
        scale(scale(self.weighted, self.half_life_ms.into(), self.weight(self.at)), ONE, LN_2)
    }

    /// 2^(part of the period that has passed), in units of 2^-`BITS`; never less than earlier in the period, and never
    /// above the true value.
    fn weight(&self, time: Timestamp) -> u128 {
        let half_life = u128::from(self.half_life_ms);
        let exponent = LN_2 * (u128::from(time.0) % half_life) / half_life;
        // The exponential series, innermost term first. The first term left out is below 2^-74. Each step keeps the order of
        // exponents, roundings included.
        (1..=20).rev().fold(ONE, |sum, n| ONE + ((exponent * sum) >> BITS) / n)
    }
}

/// value · numerator / denominator, rounded down. Needs the result, and numerator · denominator, below 2^128.
fn scale(value: u128, numerator: u128, denominator: u128) -> u128 {
    value / denominator * numerator + value % denominator * numerator / denominator
}

/// How usage of late moves a queue's share of what nobody deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct UsageRule {
    /// After so long half of it is forgotten, ms.
    pub half_life_ms: u64,
    /// How much it counts, thousandths: with 1000, a queue that used all of late what its weight entitles it to counts as it
    /// is; one that used none counts twice.
    pub factor_milli: u32,
}

/// The GPU usage of every queue of late.
#[derive(Debug, Clone)]
pub(crate) struct UsageBook {
    rule: UsageRule,
    queues: BTreeMap<QueueId, DecayedUsage>,
}

impl UsageBook {
    pub(crate) fn new(rule: UsageRule) -> Self {
        UsageBook { rule, queues: BTreeMap::new() }
    }

    /// The same usage under another rule: what was counted so far goes on from what it came to.
    pub(crate) fn under(self, rule: UsageRule, now: Timestamp) -> Self {
        let resumed = |usage: DecayedUsage| DecayedUsage::resume(rule.half_life_ms, now, usage.amount_ms());
        let queues = match rule.half_life_ms == self.rule.half_life_ms {
            true => self.queues,
            false => self.queues.into_iter().map(|(queue, usage)| (queue, resumed(usage))).collect(),
        };
        UsageBook { rule, queues }
    }

    /// Counts what queues have held until now; called before anything changes.
    pub(crate) fn advance(&mut self, queues: &Queues, now: Timestamp) {
        let half_life = self.rule.half_life_ms;
        for (id, queue) in queues.all() {
            let held = u64::try_from(queue.allocated.get(amounts::GPU)).unwrap_or(0);
            self.queues.entry(*id).or_insert_with(|| DecayedUsage::new(half_life, now)).advance(now, held);
        }
    }

    /// Goes on from what was read at a time, GPU-thousandths times ms; since then nothing was used.
    pub(crate) fn restore(&mut self, queue: QueueId, at: Timestamp, now: Timestamp, amount_ms: u128) {
        let mut usage = DecayedUsage::resume(self.rule.half_life_ms, at, amount_ms);
        usage.advance(now, 0);
        self.queues.insert(queue, usage);
    }

    /// What a queue has used of late, GPU-thousandths times ms.
    pub(crate) fn of(&self, queue: QueueId) -> u128 {
        self.queues.get(&queue).map_or(0, DecayedUsage::amount_ms)
    }

    /// For the division: what a queue has used, of what holding all of the cluster for ever would come to.
    pub(crate) fn share(&self, queue: QueueId, capacity_milli: i64) -> Usage {
        let capacity = u128::try_from(capacity_milli).unwrap_or(0) * u128::from(self.rule.half_life_ms);
        Usage { k_milli: self.rule.factor_milli, num: self.of(queue), den: scale(capacity, ONE, LN_2) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600_000;
    const YEAR: u64 = 8_766 * HOUR;

    fn after(half_life_ms: u64, steps: &[(u64, u64)]) -> DecayedUsage {
        let mut usage = DecayedUsage::new(half_life_ms, Timestamp(0));
        steps.iter().for_each(|&(now, held)| usage.advance(Timestamp(now), held));
        usage
    }

    #[test]
    fn another_rule_goes_on_from_what_was_used() {
        let (id, now) = (QueueId(1), Timestamp(3 * HOUR));
        let rule = |half_life_ms| UsageRule { half_life_ms, factor_milli: 1000 };
        let mut book = UsageBook::new(rule(HOUR));
        book.restore(id, Timestamp(HOUR), now, 1_000_000);
        assert_eq!(book.of(id) / 1000, 249, "two half-lives have passed, and what is read is never too much");
        let mut longer = book.clone().under(rule(24 * HOUR), now);
        assert!(book.of(id) - longer.of(id) <= 3);
        longer.queues.values_mut().for_each(|usage| usage.advance(Timestamp(27 * HOUR), 0));
        assert_eq!(longer.of(id) / 1000, 124, "and it is forgotten by the new rule from now on");
    }

    #[test]
    fn use_halves_with_every_half_life() {
        // In hours: the integral of 8 GPUs · 2^-(age / 24 h) over a day is 8 · 24 / ln 2 / 2 = 138.4989...
        let day = 24 * HOUR;
        let check = |case: &str, steps: &[(u64, u64)], gpu_hours: f64| {
            let read = after(day, steps).amount_ms() as f64 / (1000 * HOUR) as f64;
            assert!((read - gpu_hours).abs() < 1e-9, "{case}: {read} GPU hours, not {gpu_hours}");
        };
        let once = 8.0 * 12.0 / std::f64::consts::LN_2;
        check("nothing held", &[(day, 0)], 0.0);
        check("a day of 8 GPUs", &[(day, 8000)], once);
        check("and a day without", &[(day, 8000), (2 * day, 0)], once / 2.0);
        check("and ten days without", &[(day, 8000), (11 * day, 0)], once / 1024.0);
        check("two days of 8 GPUs", &[(2 * day, 8000)], once * 1.5);
        check(
            "a second is hardly decayed",
            &[(1000, 8000)],
            8.0 / 3600.0 * (1.0 - std::f64::consts::LN_2 / 2.0 / 86_400.0),
        );
        check("half a day and half a day off", &[(day / 2, 8000), (day, 0)], once * (2f64.sqrt() - 1.0));
        check("for ever", &[(100 * 365 * day, 8000)], 2.0 * once);
    }

    #[test]
    fn one_long_step_equals_many_of_a_millisecond() {
        // Half-lives much shorter and much longer than the time; the amount changes twice.
        for half_life in [1, 2, 7, 1000, 65_537, 199_999, HOUR, YEAR, u64::MAX] {
            let mut often = DecayedUsage::new(half_life, Timestamp(123));
            let mut rarely = often.clone();
            for (from, to, held) in [(123, 100_000, 7_001), (100_000, 100_001, 999_999), (100_001, 200_000, 3)] {
                (from + 1..=to).for_each(|now| often.advance(Timestamp(now), held));
                rarely.advance(Timestamp(to), held);
                assert_eq!(often, rarely, "half-life {half_life} ms, at {to}");
            }
        }
    }

    #[test]
    fn a_standstill_in_part_of_a_period_is_not_taken_for_the_end() {
        // The sum stays as it is over the second half of the first period, and rises from there.
        let start = DecayedUsage::new(1000, Timestamp(500));
        let start = DecayedUsage { weighted: 2 * ONE - start.weight(Timestamp(500)), ..start };
        let (mut whole, mut pieces) = (start.clone(), start.clone());
        whole.advance(Timestamp(5000), 1);
        (1..=5).for_each(|period| pieces.advance(Timestamp(period * 1000), 1));
        assert_eq!(whole, pieces);
        assert!(whole.weighted > start.weighted);
    }

    #[test]
    fn nothing_overflows_or_takes_long() {
        for half_life in [0, 1, HOUR, u64::MAX] {
            let mut usage = DecayedUsage::new(half_life, Timestamp(0));
            usage.advance(Timestamp(u64::MAX), u64::MAX);
            let most = u128::from(u64::MAX) * u128::from(half_life.clamp(1, HALF_LIFE_MAX_MS));
            let read = usage.amount_ms();
            assert!(read > most && read < most / 2 * 3, "half-life {half_life}: {read}");
            let resumed = DecayedUsage::resume(half_life, Timestamp(u64::MAX), u128::MAX).amount_ms();
            assert!(resumed.abs_diff(read) <= 3 + read / ONE * 32, "half-life {half_life}: {resumed}, not {read}");
        }
        assert_eq!(after(1, &[(1_000, 5), (u64::MAX, 0)]).amount_ms(), 0, "forgotten in the end");
    }

    #[test]
    fn time_does_not_run_backwards() {
        let usage = after(HOUR, &[(5_000, 10)]);
        let mut late = usage.clone();
        late.advance(Timestamp(4_000), 1_000_000);
        late.advance(Timestamp(5_000), 1_000_000);
        assert_eq!(late, usage);
    }

    /// With their ends at 1 and 2, only an exponential does this.
    #[test]
    fn weights_multiply_as_times_add() {
        for thousandth in [1, 86_400, YEAR / 1000, HALF_LIFE_MAX_MS / 1000] {
            let usage = DecayedUsage::new(1000 * thousandth, Timestamp(0));
            let weight = |thousandths: u64| usage.weight(Timestamp(thousandths * thousandth));
            assert_eq!((weight(0), weight(1000)), (ONE, ONE), "a period ends where the next one starts");
            assert!((2 * ONE).abs_diff(weight(500) * weight(500) / ONE) <= 16, "twice as much at the end");
            for (a, b) in (0..1000).flat_map(|a| (0..1000 - a).step_by(37).map(move |b| (a, b))) {
                let (sum, product) = (weight(a + b), weight(a) * weight(b) / ONE);
                assert!(sum.abs_diff(product) <= 16, "{a} + {b} of {thousandth} ms: {sum}, not {product}");
            }
        }
    }

    proptest! {
        #[test]
        fn updates_between_do_not_change_the_sum(
            half_life in 1u64..5_000,
            steps in prop::collection::vec((1u64..3_000, 0u64..1 << 53), 1..20),
            cut in 1u64..1_000,
        ) {
            let mut whole = DecayedUsage::new(half_life, Timestamp(0));
            let mut pieces = whole.clone();
            let mut now = 0;
            for (length, held) in steps {
                let mut piece = now;
                now += length;
                while piece < now {
                    piece = now.min(piece + cut);
                    pieces.advance(Timestamp(piece), held);
                }
                whole.advance(Timestamp(now), held);
                prop_assert_eq!(&whole, &pieces);
            }
        }

        #[test]
        fn the_sum_is_the_integral(
            half_life in 1u64..100 * YEAR,
            steps in prop::collection::vec((1u64..10 * YEAR, 0u64..1 << 40), 1..20),
        ) {
            let mut usage = DecayedUsage::new(half_life, Timestamp(77));
            let half_life = half_life.min(HALF_LIFE_MAX_MS) as f64;
            let (mut now, mut expected, mut most) = (77, 0.0, 0.0f64);
            for (length, held) in steps {
                now += length;
                usage.advance(Timestamp(now), held);
                let kept = libm::exp2(-(length as f64) / half_life);
                let gained = -libm::expm1(-(length as f64) / half_life * std::f64::consts::LN_2);
                expected = expected * kept + held as f64 * gained * half_life / std::f64::consts::LN_2;
                most = most.max(held as f64);
                let bound = 3.0 + expected * 1e-13 + most * half_life * 1e-16;
                let read = usage.amount_ms() as f64;
                prop_assert!((read - expected).abs() <= bound, "{} instead of {}", read, expected);
            }
        }

        #[test]
        fn what_was_read_can_be_resumed(
            half_life in 1u64..HALF_LIFE_MAX_MS,
            now in any::<u64>(),
            held in 0u64..1 << 53,
            length in 0u64..YEAR,
        ) {
            let mut usage = DecayedUsage::new(half_life, Timestamp(now));
            usage.advance(Timestamp(now.saturating_add(length)), held);
            let read = usage.amount_ms();
            let again = DecayedUsage::resume(half_life, Timestamp(now.saturating_add(length)), read).amount_ms();
            prop_assert!(again <= read && read - again <= 3, "{} became {}", read, again);
        }
    }
}
