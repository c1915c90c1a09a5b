//! temporary
#[derive(Debug, Clone, Copy)]
pub struct Usage;
impl Usage {
    pub const NONE: Usage = Usage;
}
#[derive(Debug)]
pub struct Claim<'a> {
    pub deserved: Option<i64>,
    pub requestable: i64,
    pub weight: i64,
    pub priority: i64,
    pub rank: u32,
    pub name: &'a str,
    pub usage: Usage,
}
pub fn divide(amount: i64, unit: i64, claims: &[Claim]) -> Vec<i64> {
    let mut share: Vec<i64> = claims.iter().map(|c| c.deserved.unwrap_or(amount).min(c.requestable)).collect();
    let mut left = amount - share.iter().sum::<i64>();
    if left <= 0 {
        return share;
    }
    let mut rem: Vec<(i128, i128)> = vec![(0, 1); claims.len()];
    let mut prios: Vec<i64> = claims.iter().map(|c| c.priority).collect();
    prios.sort();
    prios.dedup();
    prios.reverse();
    for p in &prios {
        loop {
            let open: Vec<usize> =
                (0..claims.len()).filter(|i| claims[*i].priority == *p && share[*i] < claims[*i].requestable).collect();
            let w: i64 = open.iter().map(|i| claims[*i].weight).sum();
            if w == 0 || left <= 0 {
                break;
            }
            let pool = left;
            let mut again = false;
            for i in open {
                if claims[i].weight == 0 {
                    continue;
                }
                let want = claims[i].requestable - share[i];
                let num = i128::from(pool) * i128::from(claims[i].weight);
                let den = i128::from(w);
                if i128::from(want) * den <= num {
                    share[i] += want;
                    left -= want;
                    rem[i] = (0, 1);
                    if i128::from(want) * den < num {
                        again = true;
                    }
                } else {
                    let units = num / (den * i128::from(unit));
                    let give = (units * i128::from(unit)) as i64;
                    share[i] += give;
                    left -= give;
                    rem[i] = (num - units * i128::from(unit) * den, den);
                }
            }
            if !again || left <= 0 {
                break;
            }
        }
    }
    for p in &prios {
        let mut g: Vec<usize> = (0..claims.len()).filter(|i| claims[*i].priority == *p && rem[*i].0 > 0).collect();
        g.sort_by(|a, b| {
            (rem[*b].0 * rem[*a].1)
                .cmp(&(rem[*a].0 * rem[*b].1))
                .then(claims[*a].rank.cmp(&claims[*b].rank))
                .then(claims[*a].name.cmp(claims[*b].name))
        });
        for i in g {
            if left <= 0 {
                break;
            }
            let give = unit.min(left);
            share[i] += give;
            left -= give;
        }
    }
    share
}
