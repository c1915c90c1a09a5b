//! Two texts line by line: what the one has and the other has not. Owns nothing else.

/// Lines that a table of all pairs is made for; longer texts are compared from their first different line on.
const LINES_MAX: usize = 2_000;

/// The lines that differ: `- ` expected and not there, `+ ` there and not expected, in order; empty for equal texts.
pub(super) fn lines(expected: &[&str], found: &[&str]) -> Vec<String> {
    let alike = expected.iter().zip(found).take_while(|(one, other)| one == other).count();
    let (expected, found) = (&expected[alike..], &found[alike..]);
    let removed = |line: &&str| format!("- {line}");
    let added = |line: &&str| format!("+ {line}");
    if expected.len() > LINES_MAX || found.len() > LINES_MAX {
        return expected.iter().map(removed).chain(found.iter().map(added)).collect();
    }
    let common = common(expected, found);
    let (mut i, mut j, mut shown) = (0, 0, Vec::new());
    while i < expected.len() || j < found.len() {
        if i < expected.len() && j < found.len() && expected[i] == found[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == found.len() || (i < expected.len() && common[i + 1][j] >= common[i][j + 1]) {
            shown.push(removed(&expected[i]));
            i += 1;
        } else {
            shown.push(added(&found[j]));
            j += 1;
        }
    }
    shown
}

/// `[i][j]`: the most lines that the texts from `i` and from `j` on have in common, in order.
fn common(expected: &[&str], found: &[&str]) -> Vec<Vec<u32>> {
    let mut common = vec![vec![0; found.len() + 1]; expected.len() + 1];
    for i in (0..expected.len()).rev() {
        for j in (0..found.len()).rev() {
            let both = expected[i] == found[j];
            common[i][j] = if both { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn only_what_differs_is_shown_in_order() {
        let cases: [(&[&str], &[&str], &[&str]); 5] = [
            (&["a", "b"], &["a", "b"], &[]),
            (&["a", "b", "c"], &["a", "c"], &["- b"]),
            (&["a", "c"], &["a", "b", "c"], &["+ b"]),
            (&["a", "b", "c"], &["a", "x", "c", "d"], &["- b", "+ x", "+ d"]),
            (&[], &["a"], &["+ a"]),
        ];
        for (expected, found, shown) in cases {
            assert_eq!(lines(expected, found), shown, "{expected:?} {found:?}");
        }
    }
}
