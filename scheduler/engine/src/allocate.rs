//! Allocate: every waiting gang in its turn gets its next chunk placed, whole or not at all. One that does not fit holds up
//! nobody but those that ask for the same.

use crate::cycle::Context;
use crate::queue::serving::Serving;
use crate::search::Search;
use crate::trial::Trial;

/// One pass over everybody worth trying.
pub(crate) fn allocate(context: &mut Context<'_>) {
    let entries = context.waiting.lines(false).map(|(line, turn)| (line.queue, line, turn.clone()));
    let mut serving = Serving::of(context.state, entries);
    while let Some((queue, line, gang)) = serving.peek() {
        let chunk = context.state.next_chunk(gang);
        let mut trial = Trial::on(context.state);
        let placed = Search::new(&mut trial, context.placer, context.rules, context.steps).place(gang, &chunk);
        match placed {
            Ok(chosen) => {
                trial.keep();
                let name = &context.state.name(gang);
                context.report.note(|| format!("  {name}: {} pods placed", chosen.len()));
                context.report.placed(context.state, gang, &chosen);
                for changed in context.waiting.refresh(context.state, context.rules, gang).into_iter().flatten() {
                    let head = context.waiting.head(changed).cloned();
                    serving.set(context.state, changed.queue, changed, head);
                }
                serving.restand(context.state, queue);
            }
            Err(miss) => {
                drop(trial);
                let name = &context.state.name(gang);
                context.report.note(|| format!("  {name}: {miss}"));
                context.report.missed(line, gang, miss);
                context.waiting.block(line);
                serving.set(context.state, queue, line, None);
            }
        }
    }
}
