//! What holds for every division, and a second one that follows the rules word by word in fractions.

use std::cmp::Ordering;
use std::ops::{Add, Div, Mul, Sub};

use proptest::prelude::*;

use super::*;

/// Numerator and positive denominator, in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fraction(i128, i128);

const ZERO: Fraction = Fraction(0, 1);

fn of(numerator: impl Into<i128>, denominator: impl Into<i128>) -> Fraction {
    let (numerator, denominator) = (numerator.into(), denominator.into());
    let (mut a, mut b) = (numerator.abs(), denominator.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Fraction(numerator * denominator.signum() / a, denominator.abs() / a)
}

impl Add for Fraction {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        of(self.0 * other.1 + other.0 * self.1, self.1 * other.1)
    }
}

impl Sub for Fraction {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + Fraction(-other.0, other.1)
    }
}

impl Mul for Fraction {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        of(self.0 * other.0, self.1 * other.1)
    }
}

impl Div for Fraction {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        of(self.0 * other.1, self.1 * other.0)
    }
}

impl Ord for Fraction {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0 * other.1).cmp(&(other.0 * self.1))
    }
}

impl PartialOrd for Fraction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn sum(fractions: impl Iterator<Item = Fraction>) -> Fraction {
    fractions.fold(ZERO, Add::add)
}

/// A queue while the literal division goes on.
struct Row<'a> {
    claim: Claim<'a>,
    position: usize,
    fair_share: Fraction,
    remainder: Option<Fraction>,
}

impl Row<'_> {
    fn want(&self) -> Fraction {
        of(self.claim.requestable, 1) - self.fair_share
    }

    /// Its weight among open queues whose weights sum up to `weights`.
    fn share_weight(&self, weights: i64) -> Fraction {
        let normal = of(self.claim.weight, weights);
        let Usage { k_milli, num, den } = self.claim.usage;
        let used = of(num as i128, den as i128);
        (normal + of(k_milli, 1000) * (normal - used)).max(ZERO)
    }
}

/// One round of F3 in a group; whether another follows.
fn literal_round(group: &mut [Row<'_>], unit: Fraction, left: &mut Fraction) -> bool {
    let pool = *left;
    let weights = group.iter().filter(|row| row.want() > ZERO).map(|row| row.claim.weight).sum::<i64>();
    if weights == 0 {
        return false;
    }
    let mut open: Vec<&mut Row<'_>> = group.iter_mut().filter(|row| row.want() > ZERO).collect();
    let total = sum(open.iter().map(|row| row.share_weight(weights)));
    if total == ZERO {
        return false;
    }
    let mut wanted_less = false;
    for row in open.iter_mut().filter(|row| row.share_weight(weights) > ZERO) {
        let part = pool * row.share_weight(weights) / total;
        let want = row.want();
        wanted_less |= want < part;
        let gets = if want <= part {
            row.remainder = None;
            want
        } else {
            let units = part / unit;
            let whole = of(units.0.div_euclid(units.1), 1) * unit;
            row.remainder = Some(part - whole).filter(|&cut| cut > ZERO);
            whole
        };
        row.fair_share = row.fair_share + gets;
        *left = *left - gets;
    }
    wanted_less && *left > ZERO
}

/// F2 to F4 as they stand.
fn literal(amount: i64, unit: i64, claims: &[Claim<'_>]) -> Vec<i64> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (position, &claim) in claims.iter().enumerate() {
        let fair_share = of(claim.deserved.unwrap_or(amount).min(claim.requestable), 1);
        rows.push(Row { claim, position, fair_share, remainder: None });
    }
    rows.sort_by_key(|row| Reverse(row.claim.priority));
    let mut left = of(amount, 1) - sum(rows.iter().map(|row| row.fair_share));
    if left > ZERO {
        let unit = of(unit, 1);
        for group in rows.chunk_by_mut(|a, b| a.claim.priority == b.claim.priority) {
            while literal_round(group, unit, &mut left) {}
        }
        for group in rows.chunk_by_mut(|a, b| a.claim.priority == b.claim.priority) {
            group.sort_by(|a, b| {
                let older = (a.claim.rank, a.claim.name).cmp(&(b.claim.rank, b.claim.name));
                b.remainder.cmp(&a.remainder).then(older)
            });
            for row in group.iter_mut().filter(|row| row.remainder.is_some()) {
                let gets = unit.min(left);
                row.fair_share = row.fair_share + gets;
                left = left - gets;
            }
        }
    }
    rows.sort_by_key(|row| row.position);
    rows.iter().map(|row| row.fair_share).map(|share| i64::try_from(share.0 / share.1).unwrap()).collect()
}

const NAMES: [&str; 8] = ["h", "g", "f", "e", "d", "c", "b", "a"];

/// An amount, a unit, and up to eight claims of which many are neither satisfied nor empty-handed.
#[derive(Debug, Clone)]
struct Case {
    amount: i64,
    unit: i64,
    claims: Vec<Claim<'static>>,
}

impl Case {
    fn shares(&self) -> Vec<i64> {
        divide(self.amount, self.unit, &self.claims)
    }

    fn guaranteed(&self, claim: &Claim<'_>) -> i64 {
        claim.deserved.unwrap_or(self.amount).min(claim.requestable)
    }
}

/// Usage in 128ths of capacity: the division keeps those exactly.
fn some_usage() -> impl Strategy<Value = Usage> {
    (0..4000u32, 0..160u128).prop_map(|(k_milli, num)| Usage { k_milli, num, den: 128 })
}

fn a_case(
    usage: impl Strategy<Value = Usage> + 'static,
    priorities: i64,
    weight: std::ops::Range<i64>,
) -> BoxedStrategy<Case> {
    let deserved = prop_oneof![2 => Just(Some(0)), 2 => (0i64..1000).prop_map(Some), 1 => Just(None)];
    let claim = (deserved, 0i64..1000, weight, 0..priorities, 0u32..3, usage);
    let units = prop_oneof![Just((1, 1)), Just((1, 100)), Just((1000, 10)), Just((7, 1))];
    (0i64..3000, units, prop::collection::vec(claim, 0..8))
        .prop_map(|(amount, (unit, scale), claims)| {
            let claim = |(claim, name): (_, &&'static str)| {
                let (deserved, requestable, weight, priority, rank, usage): (Option<i64>, i64, _, _, _, _) = claim;
                let deserved = deserved.map(|deserved| deserved * scale / 4);
                Claim { deserved, requestable: requestable * scale, weight, priority, rank, name, usage }
            };
            Case { amount: amount * scale, unit, claims: claims.into_iter().zip(&NAMES).map(claim).collect() }
        })
        .boxed()
}

fn any_case() -> BoxedStrategy<Case> {
    let usage = prop_oneof![3 => Just(Usage::NONE), 1 => some_usage()];
    prop_oneof![a_case(usage, 3, 0..6), a_case(some_usage(), 2, 0..1000)].boxed()
}

fn plain_case() -> BoxedStrategy<Case> {
    a_case(Just(Usage::NONE), 3, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn shares_are_those_of_the_literal_rules(case in any_case()) {
        prop_assert_eq!(case.shares(), literal(case.amount, case.unit, &case.claims));
    }

    #[test]
    fn the_order_of_claims_does_not_matter(case in any_case(), keys in prop::collection::vec(any::<u32>(), 8)) {
        let mut order: Vec<usize> = (0..case.claims.len()).collect();
        order.sort_by_key(|&position| (keys[position], position));
        let shuffled = divide(case.amount, case.unit, &order.iter().map(|&p| case.claims[p]).collect::<Vec<_>>());
        let shares = case.shares();
        prop_assert_eq!(shuffled, order.iter().map(|&position| shares[position]).collect::<Vec<_>>());
    }

    #[test]
    fn amounts_and_units_may_be_counted_in_anything(case in any_case(), factor in 1i64..5000) {
        let grown = |claim: &Claim<'static>| Claim {
            deserved: claim.deserved.map(|deserved| deserved * factor),
            requestable: claim.requestable * factor,
            ..*claim
        };
        let claims: Vec<_> = case.claims.iter().map(grown).collect();
        let expected: Vec<i64> = case.shares().iter().map(|share| share * factor).collect();
        prop_assert_eq!(divide(case.amount * factor, case.unit * factor, &claims), expected);
    }

    #[test]
    fn only_weights_in_proportion_matter(case in any_case(), factor in 1i64..1_000_000) {
        let heavier = case.claims.iter().map(|claim| Claim { weight: claim.weight * factor, ..*claim });
        prop_assert_eq!(divide(case.amount, case.unit, &heavier.collect::<Vec<_>>()), case.shares());
    }

    #[test]
    fn everybody_gets_its_guarantee_and_nobody_more_than_it_can_use(case in any_case()) {
        for (share, claim) in case.shares().into_iter().zip(&case.claims) {
            prop_assert!(share >= case.guaranteed(claim), "{} gets {}", claim.name, share);
            // F4 gives a unit to who lacks less than that.
            prop_assert!(share < claim.requestable + case.unit, "{} gets {}", claim.name, share);
            prop_assert!(case.unit > 1 || share <= claim.requestable, "{} gets {}", claim.name, share);
        }
    }

    #[test]
    fn with_k_0_usage_does_not_count(case in any_case()) {
        let with = |usage: fn(Usage) -> Usage| -> Vec<Claim<'static>> {
            case.claims.iter().map(|claim| Claim { usage: usage(claim.usage), ..*claim }).collect()
        };
        let (k_0, none) = (with(|usage| Usage { k_milli: 0, ..usage }), with(|_| Usage::NONE));
        prop_assert_eq!(divide(case.amount, case.unit, &k_0), divide(case.amount, case.unit, &none));
    }

    /// With usage, who used too much may be left out; else nothing is left while somebody of weight could use it.
    #[test]
    fn all_is_given_that_somebody_can_use(case in plain_case()) {
        let guaranteed: i64 = case.claims.iter().map(|claim| case.guaranteed(claim)).sum();
        let weighty = case.claims.iter().filter(|claim| claim.weight > 0);
        let more: i64 = weighty.map(|claim| claim.requestable - case.guaranteed(claim)).sum();
        let given: i64 = case.shares().iter().sum();
        prop_assert_eq!(given, guaranteed.max(case.amount.min(guaranteed + more)));
    }

    /// What is given beyond guarantees never exceeds what is left of the amount.
    #[test]
    fn no_more_is_given_than_there_is(case in any_case()) {
        let guaranteed: i64 = case.claims.iter().map(|claim| case.guaranteed(claim)).sum();
        prop_assert!(case.shares().iter().sum::<i64>() <= guaranteed.max(case.amount));
    }

    /// In general more for all can be less for one: rounding changes, and with it what lower priorities find. Not so
    /// among equals, without a larger unit.
    #[test]
    fn among_equals_a_larger_amount_is_a_loss_for_nobody(case in a_case(Just(Usage::NONE), 1, 1..2), more in 0i64..50) {
        let case = Case { unit: 1, ..case };
        let larger = Case { amount: case.amount + more, ..case.clone() };
        for (less, more) in case.shares().into_iter().zip(larger.shares()) {
            prop_assert!(less <= more, "{} became {}", less, more);
        }
    }

    #[test]
    fn a_larger_amount_is_a_loss_for_no_sum(case in plain_case(), more in 0i64..5000) {
        let larger = Case { amount: case.amount + more, ..case.clone() };
        prop_assert!(case.shares().iter().sum::<i64>() <= larger.shares().iter().sum::<i64>());
    }

    #[test]
    fn amounts_of_63_bits_and_weights_of_31_do_not_overflow(
        amount in 0..=i64::MAX,
        unit in prop_oneof![Just(1), Just(1000), 1..=i64::MAX],
        weights in prop::collection::vec(0..=WEIGHT_MAX, 1..8),
        k_milli in any::<u32>(),
        used in prop::collection::vec((any::<u128>(), any::<u128>()), 8),
    ) {
        let claim = |(&weight, (&(num, den), name)): (&i64, (&(u128, u128), &&'static str))| {
            let usage = Usage { k_milli, num, den };
            Claim { deserved: Some(0), requestable: i64::MAX, weight, priority: 0, rank: 0, name, usage }
        };
        let claims: Vec<_> = weights.iter().zip(used.iter().zip(&NAMES)).map(claim).collect();
        let given: i128 = divide(amount, unit, &claims).into_iter().map(i128::from).sum();
        prop_assert!(given <= amount.into());
        let plain: Vec<_> = claims.iter().map(|claim| Claim { usage: Usage::NONE, ..*claim }).collect();
        let given: i128 = divide(amount, unit, &plain).into_iter().map(i128::from).sum();
        let expected = if weights.iter().all(|&weight| weight == 0) { 0 } else { amount.into() };
        prop_assert_eq!(given, expected);
    }
}
