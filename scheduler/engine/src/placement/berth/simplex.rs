//! A small linear program: maximise `gain · x` where every row of `limits` sums to at most 1 and x ≥ 0.
//! Dense tableau with Bland's rule, exact enough for the few dozen sizes of a GPU. Kept here rather than taken from a
//! library so that the engine's prices cannot change with somebody else's pivoting rule, or read somebody else's clock.

/// Below this a coefficient counts as zero. The inputs are small whole numbers and shares of 1.
const ZERO: f64 = 1e-9;

/// Bland's rule cannot cycle, but rounding might; a few pivots per row are usual, so this only ever stops the unforeseen.
const PIVOTS_MAX: usize = 10_000;

/// The best x. `limits` must bound every variable with a positive gain.
pub(super) fn maximise(gain: &[f64], limits: &[Vec<f64>]) -> Vec<f64> {
    let (rows, variables) = (limits.len(), gain.len());
    let width = variables + rows + 1;
    let mut tableau: Vec<Vec<f64>> = (0..rows)
        .map(|row| {
            let mut line = vec![0.0; width];
            line[..variables].copy_from_slice(&limits[row]);
            line[variables + row] = 1.0;
            line[width - 1] = 1.0;
            line
        })
        .collect();
    let mut objective = vec![0.0; width];
    for (column, gain) in gain.iter().enumerate() {
        objective[column] = -gain;
    }
    let mut basis: Vec<usize> = (variables..variables + rows).collect();
    for _ in 0..PIVOTS_MAX {
        let Some(entering) = objective[..width - 1].iter().position(|&cost| cost < -ZERO) else { break };
        let ratio = |row: &usize| tableau[*row][width - 1] / tableau[*row][entering];
        let eligible = (0..rows).filter(|&row| tableau[row][entering] > ZERO);
        let leaving = eligible.min_by(|a, b| ratio(a).total_cmp(&ratio(b)).then(basis[*a].cmp(&basis[*b])));
        let Some(leaving) = leaving else { break };
        let pivot = tableau[leaving][entering];
        tableau[leaving].iter_mut().for_each(|value| *value /= pivot);
        let pivot_row = tableau[leaving].clone();
        let eliminate = |line: &mut Vec<f64>| {
            let factor = line[entering];
            if factor.abs() > ZERO * ZERO {
                line.iter_mut().zip(&pivot_row).for_each(|(value, pivot)| *value -= factor * pivot);
            }
        };
        tableau.iter_mut().enumerate().filter(|(row, _)| *row != leaving).for_each(|(_, line)| eliminate(line));
        eliminate(&mut objective);
        basis[leaving] = entering;
    }
    let mut x = vec![0.0; variables];
    for (row, &variable) in basis.iter().enumerate().filter(|(_, variable)| **variable < variables) {
        x[variable] = tableau[row][width - 1];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_corner_is_found() {
        let check = |case: &str, gain: &[f64], limits: &[[f64; 2]], expected: [f64; 2]| {
            let x = maximise(gain, &limits.iter().map(|row| row.to_vec()).collect::<Vec<_>>());
            assert!(x.iter().zip(expected).all(|(x, e)| (x - e).abs() < 1e-9), "{case}: {x:?}");
        };
        check("each on its own", &[1.0, 2.0], &[[2.0, 0.0], [0.0, 4.0]], [0.5, 0.25]);
        check("two limits meet", &[1.0, 1.0], &[[1.0, 2.0], [2.0, 1.0]], [1.0 / 3.0, 1.0 / 3.0]);
        check("no gain, no use", &[0.0, 1.0], &[[1.0, 1.0], [1.0, 1.0]], [0.0, 1.0]);
    }
}
