//! The invariants: each violated once, by hand-made states.

mod hand;

use berth::scenario::format::Mode;
use berth::scenario::invariants::{self, Change};
use berth::scenario::played::initial;
use berth::scenario::world::World;
use hand::{changed, scenario};

/// The violations when an action makes these changes to a scenario's start.
fn violations(given: &str, kind: Mode, tasks: &[&str]) -> Vec<String> {
    let world = World::of(&scenario(given));
    let before = initial(&world);
    let after = changed(&before, tasks);
    invariants::violations(&Change { world: &world, kind, start: &before, before: &before, after: &after })
}

#[test]
fn each_invariant_is_violated_once() {
    use Mode::{Allocate, Consolidate, Preempt, Reclaim, StaleGang};
    let mig =
        "node n mig=mixed:1g.10gb*1\nnode m mig=single:1g.10gb*1 gpus=1\njob j min=1\n  2 x mig=1g.10gb\n  gpu=0.5";
    let sharing =
        "node n gpus=1 gpu-memory=100Mi\njob a gpu=0.6 running on n sharing=A\njob b gpu-memory=50Mi\njob c gpu=1";
    let zones =
        "topology t levels=zone,rack\nnode n gpus=9 zone=z rack=r\nnode m gpus=9 zone=z rack=s\nnode o gpus=9\n";
    let picky = "node n gpus=1 model=A100 taint=x cordoned label.d=ssd\n";
    let two = format!("{zones}job j 2 x gpu=1 min=1 required=rack");
    let apart =
        "node n m label.z=1\njob a label.app=db running on n\njob b anti-affinity=z:app=db\njob c affinity=node:app=db";
    let quotas = "node n gpus=9 model=A\nqueue up limit=3\nqueue q parent=up deserved=1 gpu:A.limit=1\nqueue r parent=up cpu.limit=1\n";
    let tree = "node n gpus=9\njob j min=2\n  group p min=1\n    2 x gpu=1\n  group q min=2\n    2 x gpu=1";
    let cases: Vec<(&str, String, Mode, Vec<&str>, &str)> = vec![
        (
            "cpu",
            "node n cpu=1\njob j 2 x".into(),
            Allocate,
            vec!["j-0 placed n", "j-1 placed n"],
            "node `n` holds 2000 thousandths of a core of 1000",
        ),
        (
            "memory",
            "node n memory=1Gi\njob j 2 x".into(),
            Allocate,
            vec!["j-0 placed n", "j-1 placed n"],
            "node `n` holds 2048 MiB of memory of 1024",
        ),
        (
            "pods",
            "node n pods=1\njob j 2 x".into(),
            Allocate,
            vec!["j-0 placed n", "j-1 placed n"],
            "node `n` holds 2 tasks of 1",
        ),
        (
            "leaving still holds",
            "node n pods=1\njob e evicted on n\njob j".into(),
            Allocate,
            vec!["j-0 placed n"],
            "node `n` holds 2 tasks of 1",
        ),
        (
            "promises over capacity",
            "node n pods=1\njob e evicted on n\njob j 2 x".into(),
            Allocate,
            vec!["j-0 nominated n", "j-1 nominated n"],
            "node `n` holds 2 tasks of 1 once all have left that leave",
        ),
        (
            "stuck leaves nothing",
            "node n pods=1\njob e stuck on n\njob j".into(),
            Allocate,
            vec!["j-0 nominated n"],
            "node `n` holds 2 tasks of 1 once all have left that leave",
        ),
        (
            "MIG instances",
            mig.into(),
            Allocate,
            vec!["j-0 placed n", "j-1 placed n"],
            "node `n` holds 2 MIG instances 1g.10gb of 1",
        ),
        (
            "MIG strategy",
            mig.into(),
            Allocate,
            vec!["j-0 placed m"],
            "task `j-0` came to `m`, which does not offer MIG instances by profile",
        ),
        (
            "shares on MIG",
            mig.into(),
            Allocate,
            vec!["j-2 placed m 0"],
            "task `j-2` came to `m`, whose GPUs are split by MIG and not shared",
        ),
        (
            "device memory",
            sharing.into(),
            Allocate,
            vec!["b-0 placed n 0"],
            "node `n` gives 110 MiB of the 100 of device 0 to `a-0`, `b-0`",
        ),
        (
            "a shared device is no whole one",
            sharing.into(),
            Allocate,
            vec!["c-0 placed n 0"],
            "node `n` gives device 0, which somebody has whole, to `a-0`, `c-0`",
        ),
        (
            "devices that are not there",
            sharing.into(),
            Allocate,
            vec!["c-0 placed n 1"],
            "task `c-0` asks for 1 devices and has [1] of the 1 on `n`",
        ),
        (
            "the same device twice",
            "node n gpus=2\njob j gpu=2".into(),
            Allocate,
            vec!["j-0 placed n 1,1"],
            "task `j-0` asks for 2 devices and has [1, 1] of the 2 on `n`",
        ),
        (
            "no such node",
            "node n\njob j".into(),
            Allocate,
            vec!["j-0 placed x"],
            "task `j-0` is on `x`, which is not there",
        ),
        (
            "a state without its node",
            "node n\njob j".into(),
            Allocate,
            vec!["j-0 placed"],
            "task `j-0` is placed but on no node",
        ),
        (
            "a node without its state",
            "node n\njob j".into(),
            Allocate,
            vec!["j-0 pending n"],
            "task `j-0` is pending but on `n`",
        ),
        (
            "cordon",
            format!("{picky}job j tolerate=x"),
            Allocate,
            vec!["j-0 placed n"],
            "task `j-0` came to `n`, which is cordoned",
        ),
        (
            "taint",
            format!("{picky}job j"),
            Allocate,
            vec!["j-0 placed n"],
            "task `j-0` came to `n`, whose taint `x` it does not tolerate",
        ),
        (
            "model",
            format!("{picky}job j gpu=1 models=H100"),
            Allocate,
            vec!["j-0 placed n 0"],
            "task `j-0` came to `n`, whose GPU model `A100` it does not accept",
        ),
        (
            "selector",
            format!("{picky}job j select.d=hdd"),
            Allocate,
            vec!["j-0 placed n"],
            "task `j-0` came to `n`, which lacks labels it asks for",
        ),
        (
            "node names",
            "node n m\njob j only=m".into(),
            Allocate,
            vec!["j-0 nominated n"],
            "task `j-0` came to `n`, which is not among the nodes it names",
        ),
        (
            "affinity",
            apart.into(),
            Allocate,
            vec!["c-0 placed m"],
            "task `c-0` came to `m`, where no task is near by `node` with the labels its affinity names",
        ),
        (
            "anti-affinity",
            apart.into(),
            Allocate,
            vec!["b-0 placed m"],
            "task `b-0` came to `m`, though anti-affinity keeps it apart from `a-0`",
        ),
        (
            "anti-affinity the other way",
            "node n\njob b anti-affinity=node:app=db running on n\njob a label.app=db".into(),
            Allocate,
            vec!["a-0 placed n"],
            "task `a-0` came to `n`, though anti-affinity keeps it apart from `b-0`",
        ),
        (
            "required level",
            two.clone(),
            Allocate,
            vec!["j-0 placed n 0", "j-1 placed m 0"],
            "task `j-0` came to `n`, and its gang is not in one domain of `t` at level `rack`",
        ),
        (
            "outside the topology",
            two,
            Allocate,
            vec!["j-0 placed o 0"],
            "task `j-0` came to `o`, and its gang is not in one domain of `t` at level `rack`",
        ),
        (
            "a moved one, too",
            format!("{zones}job j gpu=1 required=rack running on n"),
            Consolidate,
            vec!["j-0 nominated o 0"],
            "task `j-0` came to `o`, and its gang is not in one domain of `t` at level `rack`",
        ),
        (
            "limit of an ancestor",
            format!("{quotas}job j queue=r 4 x gpu=1 cpu=0"),
            Allocate,
            vec!["j-0 placed n 0", "j-1 placed n 1", "j-2 placed n 2", "j-3 placed n 3"],
            "queue `up` went from 0 to 4000 thousandths of a GPU over its limit of 3000",
        ),
        (
            "limit of CPU",
            format!("{quotas}job j queue=r 2 x"),
            Allocate,
            vec!["j-0 placed n", "j-1 placed n"],
            "queue `r` went from 0 to 2000 thousandths of a core over its limit of 1000",
        ),
        (
            "limit of a model",
            format!("{quotas}job j queue=q gpu=2"),
            Allocate,
            vec!["j-0 nominated n 0,1"],
            "queue `q` went from 0 to 2000 thousandths of a GPU of model `A` over its limit of 1000",
        ),
        (
            "further over a limit",
            format!("{quotas}job i queue=r gpu=4 cpu=0 running on n\njob j queue=r gpu=1 cpu=0"),
            Allocate,
            vec!["j-0 placed n 4"],
            "queue `up` went from 4000 to 5000 thousandths of a GPU over its limit of 3000",
        ),
        (
            "beyond what is deserved",
            format!("{quotas}job j queue=q gpu=2 non-preemptible"),
            Allocate,
            vec!["j-0 placed n 0,1"],
            "queue `q` went from 0 to 2000 thousandths of a GPU in non-preemptible jobs, beyond the deserved 1000",
        ),
        (
            "memory shares are rounded up",
            "node n gpus=1 gpu-memory=300Mi\nqueue q limit=333m\njob j gpu-memory=100Mi".into(),
            Allocate,
            vec!["j-0 placed n 0"],
            "queue `q` went from 0 to 340 thousandths of a GPU over its limit of 333",
        ),
        (
            "MIG counts by its slices",
            "node n mig=mixed:2g.20gb*1\nqueue q limit=1\njob j mig=2g.20gb".into(),
            Allocate,
            vec!["j-0 placed n"],
            "queue `q` went from 0 to 2000 thousandths of a GPU over its limit of 1000",
        ),
        (
            "a non-preemptible one evicted",
            "node n\njob j non-preemptible running on n".into(),
            Reclaim,
            vec!["j-0 evicted n"],
            "task `j-0` of a non-preemptible job was evicted or moved",
        ),
        (
            "and moved",
            "node n m\njob j non-preemptible running on n".into(),
            Consolidate,
            vec!["j-0 nominated m"],
            "task `j-0` of a non-preemptible job was evicted or moved",
        ),
        (
            "gang below its minimum",
            "node n gpus=9\njob j 3 x gpu=1".into(),
            Allocate,
            vec!["j-0 placed n 0", "j-1 placed n 1"],
            "job `j` was started without its gang minimum",
        ),
        (
            "below that of a group",
            tree.into(),
            Allocate,
            vec!["j-0 placed n 0", "j-2 placed n 1"],
            "job `j` was started without its gang minimum",
        ),
        (
            "one group of two",
            tree.into(),
            Preempt,
            vec!["j-0 nominated n 0"],
            "job `j` was started without its gang minimum",
        ),
        (
            "a budget",
            "node n\nbudget b max-unavailable=0 match.app=db\njob j label.app=db running on n".into(),
            Preempt,
            vec!["j-0 evicted n"],
            "disruption budget `b` was overdrawn",
        ),
    ];
    for (case, given, kind, tasks, expected) in cases {
        let found = violations(&given, kind, &tasks);
        assert!(found.iter().any(|text| text == expected), "{case}: {found:#?}, not {expected}");
    }
    let broken = "node n\nbudget b max-unavailable=0 match.app=db\njob j label.app=db non-preemptible running on n";
    assert_eq!(
        violations(broken, StaleGang, &["j-0 evicted n"]),
        Vec::<String>::new(),
        "a broken gang may be given up"
    );
}

#[test]
fn what_is_allowed_is_no_violation() {
    let cases: [(&str, &str, &[&str]); 9] = [
        (
            "a promise of what is leaving",
            "node n gpus=1\njob e gpu=1 evicted on n\njob j gpu=1",
            &["j-0 nominated n 0"],
        ),
        (
            "a device shared within its memory",
            "node n gpus=1 gpu-memory=100Mi\njob a gpu=0.6 running on n sharing=A\njob b gpu=0.4",
            &["b-0 placed n 0"],
        ),
        (
            "over a limit from the start",
            "node n gpus=9\nqueue q limit=1\njob a gpu=2 running on n\njob b",
            &["b-0 placed n"],
        ),
        ("first of its kind", "node n\njob j affinity=node:app=db label.app=db", &["j-0 placed n"]),
        (
            "anti-affinity to one who leaves",
            "node n\njob e label.app=db evicted on n\njob j anti-affinity=node:app=db",
            &["j-0 nominated n"],
        ),
        (
            "less than before",
            "node n gpus=9\nqueue q limit=1\njob a min=1 gpu=1\n  2 x running on n",
            &["a-1 evicted n 1"],
        ),
        ("one more than the minimum", "node n gpus=9\njob j min=1\n  gpu=1 running on n\n  gpu=1", &["j-1 placed n 1"]),
        (
            "a group of a tree that needs only one",
            "node n\njob j min=1\n  group p\n    2 x\n  group q\n    2 x",
            &["j-0 placed n", "j-1 placed n"],
        ),
        (
            "a promise of the file alone",
            "node n gpus=2\nqueue q limit=1\njob a gpu=1 nominated on n\njob b gpu=1",
            &["b-0 placed n 1"],
        ),
    ];
    for (case, given, tasks) in cases {
        assert_eq!(violations(given, Mode::Allocate, tasks), Vec::<String>::new(), "{case}");
    }
}
