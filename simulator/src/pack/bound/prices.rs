//! The bound as a search for prices.
//! Owns the linear programme and its solution. May not know nodes or pods one by one.
//!
//! Put any price on the CPU, memory and cards of each pool and on each size of share cut there, none negative, and let
//! a card cost at least what any pattern's shares cost. A pod that is placed then yields its GPU: part of it is paid for
//! what it takes, the rest, if any, is its surplus, at most that on the pool cheapest for it. So no placement yields
//! more than the price of all that there is plus the surplus of all pods; this holds for whatever prices, so no error of
//! the solver can make the bound too low. The cheapest prices are the dual of the programme of maximal placement, so
//! they give its very optimum.
//!
//! The patterns are far too many to list where shares are small. Those that matter are found as they are needed: solve
//! with some, then per pool add the pattern whose shares cost most, while they cost more than the card.

use std::collections::BTreeSet;

use microlp::{ComparisonOp, OptimizationDirection, Problem, Solution, SolveOutcome, Variable};

use super::{Ask, BoundError, Class, Model, Pattern, Pool, pattern};

/// How far the bound may lie above the optimum, as a part of it. 1e-7 of the published cluster is 0.6 thousandths of one
/// GPU.
const GAP: f64 = 1e-7;
/// Rounds of adding patterns: 5 to 20 for the published traces as one pool, then 1 to 3. The bound holds after any
/// number of them.
const ROUNDS_MAX: usize = 300;

/// The prices of one pool. Unit: GPUs yielded, for the CPU or memory that goes with one card, for one card, and for one
/// share of each of the pool's sizes.
struct Prices {
    cpu: f64,
    memory: f64,
    card: f64,
    shares: Vec<f64>,
}

/// The same as variables.
struct Variables {
    cpu: Variable,
    memory: Variable,
    card: Variable,
    shares: Vec<Variable>,
}

/// The least bound, in GPUs, and all patterns used for it. Starts from `seeds`.
pub(super) fn cheapest(model: &Model<'_>, seeds: &[Pattern]) -> Result<(f64, Vec<Pattern>), BoundError> {
    let mut patterns: BTreeSet<Pattern> = seeds.iter().cloned().collect();
    let (problem, variables) = programme(model, seeds);
    let mut solution = solved(problem.solve())?;
    let mut bound = f64::INFINITY;
    for _ in 0..ROUNDS_MAX {
        let mut prices: Vec<Prices> = variables.iter().map(|of| of.values(&solution)).collect();
        let mut missing = Vec::new();
        for ((pool, prices), variables) in model.pools.iter().zip(&mut prices).zip(&variables) {
            let (pattern, worth) = pattern::worth_most(&pool.sizes, &prices.shares);
            if worth > prices.card {
                prices.card = worth;
                missing.push(variables.row(pool, &pattern));
                patterns.insert(pattern);
            }
        }
        bound = bound.min(bound_at(model, &prices));
        if missing.is_empty() || bound - solution.objective() <= GAP * bound {
            break;
        }
        for row in missing {
            solution = solved(solution.add_constraint(row, ComparisonOp::Ge, 0.0))?;
        }
    }
    Ok((bound, patterns.into_iter().collect()))
}

/// What the prices prove, in GPUs.
fn bound_at(model: &Model<'_>, prices: &[Prices]) -> f64 {
    let mut surplus = vec![0.0_f64; model.classes.len()];
    let mut bound = 0.0;
    for (pool, prices) in model.pools.iter().zip(prices) {
        bound += pool.cards * (prices.cpu + prices.memory + prices.card);
        for &class in &pool.classes {
            let left = model.classes[class].ask.gpus() - prices.of(pool, &model.classes[class]);
            surplus[class] = surplus[class].max(left);
        }
    }
    let surpluses = model.classes.iter().zip(surplus).map(|(class, surplus)| class.pods * surplus);
    bound + surpluses.sum::<f64>()
}

/// The programme: the cheapest prices and surpluses such that every pod on every pool it fits is paid for, and every
/// known pattern costs no more than its card.
fn programme(model: &Model<'_>, seeds: &[Pattern]) -> (Problem, Vec<Variables>) {
    let mut problem = Problem::new(OptimizationDirection::Minimize);
    let mut price = |capacity| problem.add_var(capacity, (0.0, f64::INFINITY));
    let surplus: Vec<Variable> = model.classes.iter().map(|class| price(class.pods)).collect();
    let variables: Vec<Variables> = model.pools.iter().map(|pool| Variables::of(pool, &mut price)).collect();
    for (pool, variables) in model.pools.iter().zip(&variables) {
        for &class in &pool.classes {
            let mut row = variables.cost(pool, &model.classes[class]);
            row.push((surplus[class], 1.0));
            problem.add_constraint(row, ComparisonOp::Ge, model.classes[class].ask.gpus());
        }
        let mut patterns: BTreeSet<Pattern> = pattern::plain(&pool.sizes).into_iter().collect();
        patterns.extend(seeds.iter().map(|seed| pattern::restricted(seed, &pool.sizes)));
        for pattern in patterns {
            problem.add_constraint(variables.row(pool, &pattern), ComparisonOp::Ge, 0.0);
        }
    }
    (problem, variables)
}

impl Prices {
    /// The price of all that one pod takes.
    fn of(&self, pool: &Pool, class: &Class<'_>) -> f64 {
        let gpu = match class.ask {
            Ask::Cards(cards) => self.card * f64::from(cards),
            Ask::Share(size) => self.shares[place(pool, size)],
        };
        self.cpu * pool.cpu_part(class) + self.memory * pool.memory_part(class) + gpu
    }
}

impl Variables {
    fn of(pool: &Pool, price: &mut impl FnMut(f64) -> Variable) -> Self {
        Self {
            cpu: price(pool.cards),
            memory: price(pool.cards),
            card: price(pool.cards),
            shares: pool.sizes.iter().map(|_| price(0.0)).collect(),
        }
    }

    /// `Prices::of`, as terms.
    fn cost(&self, pool: &Pool, class: &Class<'_>) -> Vec<(Variable, f64)> {
        let gpu = match class.ask {
            Ask::Cards(cards) => (self.card, f64::from(cards)),
            Ask::Share(size) => (self.shares[place(pool, size)], 1.0),
        };
        vec![(self.cpu, pool.cpu_part(class)), (self.memory, pool.memory_part(class)), gpu]
    }

    /// The price of a card less that of the pattern's shares, as terms.
    fn row(&self, pool: &Pool, pattern: &Pattern) -> Vec<(Variable, f64)> {
        let share = |(&size, &count): (&u32, &u32)| (self.shares[place(pool, size)], -f64::from(count));
        std::iter::once((self.card, 1.0)).chain(pattern.iter().map(share)).collect()
    }

    /// The solver may return prices a rounding error below 0, where the bound would not hold.
    fn values(&self, solution: &Solution) -> Prices {
        let value = |variable| solution.var_value(variable).max(0.0);
        Prices {
            cpu: value(self.cpu),
            memory: value(self.memory),
            card: value(self.card),
            shares: self.shares.iter().map(|&share| value(share)).collect(),
        }
    }
}

/// Where in the pool's sizes `size` stands: all patterns and classes of a pool have its sizes only.
fn place(pool: &Pool, size: u32) -> usize {
    pool.sizes.partition_point(|&smaller| smaller < size)
}

fn solved(outcome: Result<SolveOutcome, microlp::Error>) -> Result<Solution, BoundError> {
    let outcome = outcome.map_err(BoundError::Solver)?;
    outcome.into_solution().map_err(|_| BoundError::Interrupted)
}
