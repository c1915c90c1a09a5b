//! Rules between pods by seed: selectors of pods and of namespaces, affinity terms, rules about even spreading.

use serde_json::{Value, json};

use crate::cluster::NAMESPACES;
use crate::dice::Dice;

/// Node labels that make domains; no node has the last.
pub(crate) const KEYS: [&str; 4] = ["kubernetes.io/hostname", "topology.kubernetes.io/zone", "rack", "nowhere"];

/// A selector of pods; seldom one of all, or of none (`null`).
fn selector(dice: &mut Dice) -> Value {
    if dice.chance(6) {
        return Value::Null;
    }
    let mut selector = json!({});
    if dice.chance(65) {
        selector["matchLabels"] = json!({ "app": dice.pick(&["web", "db", "cache"]) });
    }
    if dice.chance(40) {
        selector["matchExpressions"] = json!([requirement(dice)]);
    }
    selector
}

fn requirement(dice: &mut Dice) -> Value {
    let (key, values) =
        dice.pick(&[("app", &["web", "db"][..]), ("tier", &["gold", "silver"]), ("version", &["1", "3"])]);
    match dice.pick(&["In", "NotIn", "Exists", "DoesNotExist"]) {
        operator @ ("In" | "NotIn") => {
            let values = &values[..1 + dice.below(values.len())];
            json!({ "key": key, "operator": operator, "values": values })
        }
        operator => json!({ "key": key, "operator": operator }),
    }
}

/// A term of pod affinity or anti-affinity.
pub(crate) fn near(dice: &mut Dice) -> Value {
    let key = KEYS[dice.pick(&[0, 0, 0, 1, 1, 1, 2, 2, 2, 3])];
    let mut term = json!({ "topologyKey": key, "labelSelector": selector(dice) });
    if dice.chance(25) {
        let names: Vec<&str> = (0..1 + dice.below(2)).map(|_| dice.pick(&NAMESPACES).0).collect();
        term["namespaces"] = json!(names);
    }
    if dice.chance(25) {
        term["namespaceSelector"] = match dice.below(3) {
            0 => json!({}),
            1 => json!({ "matchLabels": { "team": dice.pick(&["red", "blue"]) } }),
            _ => json!({ "matchExpressions": [{ "key": "team", "operator": "NotIn", "values": ["red"] }] }),
        };
    }
    if !term["labelSelector"].is_null() && dice.chance(12) {
        term[dice.pick(&["matchLabelKeys", "mismatchLabelKeys"])] = json!(["version"]);
    }
    term
}

/// A rule about even spreading over domains of this key.
pub(crate) fn spread(dice: &mut Dice, key: &str) -> Value {
    let required = dice.chance(85);
    let mut rule = json!({
        "maxSkew": dice.pick(&[1, 1, 1, 2, 3]),
        "topologyKey": key,
        "whenUnsatisfiable": if required { "DoNotSchedule" } else { "ScheduleAnyway" },
        "labelSelector": selector(dice),
    });
    if required && dice.chance(25) {
        rule["minDomains"] = json!(1 + dice.below(5));
    }
    for name in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
        if dice.chance(25) {
            rule[name] = json!(dice.pick(&["Honor", "Ignore"]));
        }
    }
    if !rule["labelSelector"].is_null() && dice.chance(12) {
        rule["matchLabelKeys"] = json!(["version"]);
    }
    rule
}
