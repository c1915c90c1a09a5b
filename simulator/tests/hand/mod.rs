//! Scenarios and states made by hand, for tests of those who judge them.

use berth::scenario::format::{Scenario, TaskState};
use berth::scenario::played::{State, TaskNow};
use berth::scenario::text;

/// The scenario of a text without its title.
pub(crate) fn scenario(given: &str) -> Scenario {
    let whole = format!("# t\n{given}");
    text::parse(&whole, "t.txt", "t").unwrap_or_else(|problems| panic!("{problems}\n{whole}"))
}

/// Where a task is from then on: `a-0 running n 0,1`, the devices at the end.
fn put(state: &mut State, task: &str) {
    let mut words = task.split(' ');
    let name = words.next().expect("a name");
    let word = words.next().expect("a state");
    let stage = TaskState::of_word(word).expect(word);
    let node = words.next().map(str::to_owned);
    let devices =
        words.next().into_iter().flat_map(|list| list.split(',')).map(|one| one.parse().expect(task)).collect();
    assert!(state.insert(name.to_owned(), TaskNow { state: stage, node, devices }).is_some(), "no task {name}");
}

/// The state with some tasks elsewhere.
pub(crate) fn changed(state: &State, tasks: &[&str]) -> State {
    let mut after = state.clone();
    tasks.iter().for_each(|task| put(&mut after, task));
    after
}
