use berth::scenario::{
    compare,
    format::{PolicySet, Scenario, Tier},
    play,
    world::World,
};
#[test]
fn kai() {
    let dir = "/work/shared/scenarios/kai";
    let only = std::env::var("ONLY").ok();
    let set = if std::env::var("SET").is_ok() { PolicySet::Default } else { PolicySet::Kai };
    let (mut ok, mut bad) = (0, 0);
    let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    for path in names {
        let name = path.file_name().unwrap().to_string_lossy().to_string();
        if !name.ends_with(".json") || name == "index.json" {
            continue;
        }
        if only.as_ref().is_some_and(|o| !name.contains(o.as_str())) {
            continue;
        }
        let scenario: Scenario = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let mut diffs = Vec::new();
        match play::play(&scenario, set, only.is_some()) {
            Err(e) => diffs.push(format!("ERROR {e}")),
            Ok(played) => {
                let expect = scenario.expect.as_ref().unwrap();
                let world = World::of(&scenario);
                for (i, round) in played.rounds.iter().enumerate() {
                    if let Some(d) = compare::too_many_evictions(expect, &round.evictions()) {
                        diffs.push(format!("round {i}: {d}"));
                    }
                    let state = if i + 1 == scenario.run.rounds as usize {
                        Some(&round.settled)
                    } else if i + 1 > scenario.run.rounds as usize {
                        Some(round.end())
                    } else {
                        None
                    };
                    let state = if scenario.run.mode != berth::scenario::format::Mode::Cycle {
                        Some(round.end())
                    } else {
                        state
                    };
                    if let Some(state) = state {
                        for d in compare::differences(expect, &world, state) {
                            diffs.push(format!("round {i}: {d}"));
                        }
                    }
                    if only.is_some() {
                        println!(
                            "--- round {i}\n{}\n{:#?}\n{:?}",
                            round.report.join("\n"),
                            round.actions.iter().map(|a| &a.decisions).collect::<Vec<_>>(),
                            round.waits
                        );
                    }
                }
            }
        }
        if diffs.is_empty() {
            ok += 1;
        } else if scenario.tier != Tier::Taste {
            bad += 1;
            println!("FAIL {} {name}: {}", scenario.tier, scenario.name);
            for d in diffs.iter().take(6) {
                println!("    {d}");
            }
        }
    }
    println!("ok {ok} bad {bad}");
}
