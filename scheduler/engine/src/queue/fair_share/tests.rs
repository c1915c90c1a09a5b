//! Divisions small enough to check by hand, one or more for each sentence of the rules.

use super::*;

/// A queue that borrows.
const CLAIM: Claim<'static> =
    Claim { deserved: Some(0), requestable: 9, weight: 1, priority: 0, rank: 0, name: "", usage: Usage::NONE };

/// (name, deserved or -1, requestable, weight, priority, expected share). Older queues come first.
type Row = (&'static str, i64, i64, i64, i64, i64);

fn check(case: &str, amount: i64, unit: i64, rows: &[Row]) {
    let claims: Vec<Claim<'_>> = rows
        .iter()
        .zip(0..)
        .map(|(&(name, deserved, requestable, weight, priority, _), rank)| Claim {
            deserved: (deserved != -1).then_some(deserved),
            requestable,
            weight,
            priority,
            rank,
            name,
            usage: Usage::NONE,
        })
        .collect();
    let expected: Vec<i64> = rows.iter().map(|row| row.5).collect();
    assert_eq!(divide(amount, unit, &claims), expected, "{case}");
}

#[test]
fn first_everybody_gets_what_it_deserves() {
    check("nobody there", 10, 1, &[]);
    check("what it deserves", 10, 1, &[("a", 6, 9, 0, 0, 6), ("b", 4, 4, 0, 0, 4)]);
    check("but not more than it can request", 10, 1, &[("a", 6, 2, 0, 0, 2), ("b", 4, 4, 0, 0, 4)]);
    check("-1 is the whole amount", 10, 1, &[("a", -1, 20, 0, 0, 10)]);
    check("-1 is still bounded by the request", 10, 1, &[("a", -1, 7, 0, 0, 7)]);
    check("for each of several", 10, 1, &[("a", -1, 20, 0, 0, 10), ("b", -1, 9, 0, 0, 9), ("c", 3, 5, 1, 0, 3)]);
    check("whatever the priority", 10, 1, &[("a", 0, 9, 1, 9, 4), ("b", 6, 9, 1, 0, 6)]);
    check("in parts of a unit", 2700, 1000, &[("a", 1500, 1500, 0, 0, 1500), ("b", 1200, 2000, 0, 0, 1200)]);
    check(
        "guarantees above the amount stay",
        10,
        1,
        &[("a", 6, 6, 1, 0, 6), ("b", 6, 8, 1, 0, 6), ("c", 0, 5, 1, 9, 0)],
    );
    check("guarantees equal to the amount", 10, 1, &[("a", 5, 9, 1, 0, 5), ("b", 5, 9, 1, 9, 5)]);
    check("nothing to divide", 0, 1, &[("a", 5, 9, 1, 0, 5), ("b", -1, 9, 1, 0, 0)]);
}

#[test]
fn then_the_rest_is_divided_by_priority_and_weight() {
    check("all to the higher priority", 5, 1, &[("a", 0, 5, 9, 1, 0), ("b", 0, 9, 1, 2, 5)]);
    check("the lower one gets what the higher leaves", 5, 1, &[("a", 0, 5, 1, 1, 2), ("b", 0, 3, 1, 2, 3)]);
    check("priorities may be negative", 5, 1, &[("a", 0, 5, 1, -2, 0), ("b", 0, 9, 1, -1, 5)]);
    check("equal priority by weight", 8, 1, &[("a", 0, 9, 3, 0, 6), ("b", 0, 9, 1, 0, 2)]);
    check("on top of what they deserve", 10, 1, &[("a", 2, 9, 3, 0, 8), ("b", 0, 9, 1, 0, 2)]);
    check("only open queues count", 8, 1, &[("a", 4, 4, 1000, 0, 4), ("b", 0, 9, 3, 0, 3), ("c", 0, 9, 1, 0, 1)]);
    check("weight 0 gets nothing", 8, 1, &[("a", 1, 9, 0, 0, 1), ("b", 0, 3, 1, 0, 3)]);
    check("nor does it stop lower priorities", 8, 1, &[("a", 0, 9, 0, 1, 0), ("b", 0, 9, 1, 0, 8)]);
    check("who wants exactly its part gets it", 8, 1, &[("a", 0, 2, 1, 0, 2), ("b", 0, 9, 3, 0, 6)]);
    check(
        "a want is met to the last thousandth",
        5000,
        1000,
        &[("a", 0, 1234, 1, 0, 1234), ("b", 0, 2345, 1, 0, 2345)],
    );
    check("what nobody wants stays", 10, 1, &[("a", 0, 3, 1, 0, 3), ("b", 1, 3, 1, 0, 3)]);
    // Parts 4, 4 and 4; a leaves 3, which are 1.5 more each, or one unit; the last goes to the older.
    check(
        "another round for what a did not need",
        12,
        1,
        &[("a", 0, 1, 1, 0, 1), ("b", 0, 9, 1, 0, 6), ("c", 0, 9, 1, 0, 5)],
    );
    // Parts 1 1/3 and 2/3, both of the 2 at the start of the round: a gets 1, b the larger remainder.
    check("the pool is that of the round's start", 2, 1, &[("a", 0, 2, 2, 0, 1), ("b", 0, 1, 1, 0, 1)]);
    // Parts 2/3 and 1 1/3. In another round, over the unit that is left, b would have the larger remainder.
    check("no other round if nobody needed less", 2, 1, &[("a", 0, 1, 1, 0, 1), ("b", 0, 2, 2, 0, 1)]);
    // Parts 0.5, 1.5 and 1. c needs all of its part; in another round b's remainder would be larger than a's.
    check(
        "nor if somebody needed just its part",
        3,
        1,
        &[("a", 0, 1, 1, 0, 1), ("b", 0, 2, 3, 0, 1), ("c", 0, 1, 2, 0, 1)],
    );
    // Parts 1.5 each of 3: b and c get 1, and d, which is less urgent, the one that is left.
    check(
        "what is cut off goes to lower priorities first",
        3,
        1,
        &[("b", 0, 3, 1, 1, 1), ("c", 0, 3, 1, 1, 1), ("d", 0, 1, 1, 0, 1)],
    );
}

#[test]
fn last_what_rounding_cut_off() {
    // Parts 2 1/7, 1 3/7 and 1 3/7.
    check("larger remainder first", 5, 1, &[("a", 0, 9, 3, 0, 2), ("b", 0, 9, 2, 0, 2), ("c", 0, 9, 2, 0, 1)]);
    check("then the older", 5, 1, &[("b", 0, 9, 1, 0, 3), ("a", 0, 9, 1, 0, 2)]);
    check("each once", 5, 1, &[("a", 0, 9, 1, 0, 2), ("b", 0, 9, 1, 0, 2), ("c", 0, 9, 1, 0, 1)]);
    check("whatever is left, if that is less", 4500, 1000, &[("a", 0, 9000, 1, 0, 2500), ("b", 0, 9000, 1, 0, 2000)]);
    check("even above the request", 5000, 1000, &[("a", 0, 2600, 1, 0, 3000), ("b", 0, 9000, 1, 0, 2000)]);
    // Parts 2 1/4 and 3/4 at first. b then needs less than what is left, and the last one is nobody's.
    check("a remainder is forgotten when all is met", 3, 1, &[("a", 0, 1, 3, 0, 1), ("b", 0, 1, 1, 0, 1)]);
    // Parts 1.2, 0.6 and 1.2 at first: b has the larger remainder. c needs less; parts 2/3 and 1/3 in the second round.
    check(
        "the remainder is that of the last round",
        3,
        1,
        &[("a", 0, 2, 2, 0, 2), ("b", 0, 1, 1, 0, 0), ("c", 0, 1, 2, 0, 1)],
    );
    // Parts 2/3 and 1/3 for b and c, then 1 for a: all is given before anybody's remainder is looked at.
    check("after all priorities", 1, 1, &[("a", 0, 2, 1, 0, 1), ("b", 0, 1, 2, 1, 0), ("c", 0, 1, 1, 1, 0)]);
    // b and c get 1 each and leave 1, of which a and d get half each: remainders in both groups.
    check(
        "higher priority first",
        3,
        1,
        &[("a", 0, 2, 1, 0, 0), ("b", 0, 3, 1, 1, 2), ("c", 0, 3, 1, 1, 1), ("d", 0, 2, 1, 0, 0)],
    );
}

#[test]
fn remainders_end_in_age_and_name() {
    let claim = |name, rank| Claim { name, rank, ..CLAIM };
    assert_eq!(divide(5, 1, &[claim("a", 7), claim("b", 3)]), [2, 3], "the smaller rank is older");
    assert_eq!(divide(5, 1, &[claim("b", 3), claim("a", 3)]), [2, 3], "by name if equally old");
    assert_eq!(divide(5, 1, &[claim("j-2", 3), claim("j-10", 3)]), [2, 3], "names are compared as bytes");
}

#[test]
fn remainders_are_compared_exactly() {
    // Of 2nq + 1 at weights n ± 1, the parts are nq + q + 1/2 + 1/2n and nq - q + 1/2 - 1/2n: a double would see a tie.
    let (n, q) = (1_i64 << 30, 1_i64 << 21);
    check(
        "half a unit and a 2^31st",
        2 * n * q + 1,
        1,
        &[("a", 0, 1 << 60, n - 1, 0, n * q - q), ("b", 0, 1 << 60, n + 1, 0, n * q + q + 1)],
    );
}

#[test]
fn the_examples_of_the_format() {
    check("two queues", 5000, 1000, &[("a", 0, 5000, 1, 0, 3000), ("b", 0, 5000, 1, 0, 2000)]);
    check(
        "and a third that asks for half a GPU",
        5000,
        1000,
        &[("a", 0, 5000, 1, 0, 2500), ("b", 0, 5000, 1, 0, 2000), ("c", 0, 500, 1, 0, 500)],
    );
}

/// Two queues of weight 1 that want everything, and what they used of 128.
fn with_usage(amount: i64, k_milli: u32, used: [u128; 2]) -> Vec<i64> {
    let claim = |name, num| Claim { requestable: amount, name, usage: Usage { k_milli, num, den: 128 }, ..CLAIM };
    divide(amount, 1, &[claim("a", used[0]), claim("b", used[1])])
}

#[test]
fn who_used_more_gets_less() {
    assert_eq!(with_usage(800, 0, [128, 0]), [400, 400], "k = 0: usage does not count");
    assert_eq!(with_usage(800, 1000, [64, 64]), [400, 400], "equal usage changes nothing");
    // Share weights 1/2 + (1/2 - 3/4) = 1/4 and 1/2 + (1/2 - 1/4) = 3/4.
    assert_eq!(with_usage(800, 1000, [96, 32]), [200, 600], "k = 1");
    // Share weights 1/2 - 1/8 = 3/8 and 1/2 + 1/8 = 5/8.
    assert_eq!(with_usage(800, 500, [96, 32]), [300, 500], "k = 0.5");
    // Share weights 1/2 + 2 · (1/2 - 3/4) = 0 and 1.
    assert_eq!(with_usage(800, 2000, [96, 32]), [0, 800], "nothing for who used far too much");
    assert_eq!(with_usage(800, 3000, [128, 0]), [0, 800], "and not less than nothing");
    assert_eq!(with_usage(800, 1000, [128, 128]), [0, 0], "the rule gives nobody anything if all used far too much");
}

#[test]
fn who_used_too_much_still_gets_what_others_leave() {
    let usage = |num| Usage { k_milli: 2000, num, den: 4 };
    let claim = |name, requestable, num| Claim { requestable, name, usage: usage(num), ..CLAIM };
    assert_eq!(divide(8, 1, &[claim("a", 9, 3), claim("b", 3, 1)]), [5, 3]);
}

#[test]
fn senseless_and_huge_numbers_are_harmless() {
    let most = Claim {
        deserved: Some(i64::MAX),
        requestable: i64::MAX,
        weight: i64::MAX,
        priority: i64::MIN,
        rank: u32::MAX,
        name: "a",
        usage: Usage { k_milli: u32::MAX, num: u128::MAX, den: 1 },
    };
    let least = Claim { deserved: Some(i64::MIN), requestable: i64::MIN, weight: i64::MIN, ..most };
    assert_eq!(divide(i64::MIN, i64::MIN, &[most, least]), [i64::MAX, 0]);
    assert_eq!(divide(i64::MAX, i64::MAX, &[most, most, least]), [i64::MAX, i64::MAX, 0]);
    assert_eq!(divide(i64::MIN, 1, &[Claim { deserved: None, ..most }]), [0], "a negative amount is none");
    let usage = Usage { k_milli: 1, num: u128::MAX, den: 1 };
    let spent = Claim { deserved: Some(0), usage, ..most };
    let saving = Claim { weight: 1, usage: Usage { num: 0, ..usage }, ..spent };
    assert_eq!(divide(9, 1, &[spent, saving]), [0, 9], "the least k, and far too much used");
    for (k_milli, num, den) in
        [(0, 0, 0), (u32::MAX, 1, 0), (u32::MAX, 0, 1), (u32::MAX, 1, 2), (1, u128::MAX, u128::MAX)]
    {
        let borrower = Claim { deserved: Some(0), usage: Usage { k_milli, num, den }, ..most };
        let half = i64::MAX / 2;
        assert_eq!(divide(i64::MAX, 1, &[borrower, Claim { name: "b", ..borrower }]), [half + 1, half], "{num}/{den}");
    }
}
