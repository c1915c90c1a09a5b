//! The plots of a report. A policy has one colour and one line style wherever it occurs.

use berth_engine::Policy;

use super::axis::Axis;
use super::svg::{Anchor, Svg};
use crate::simulate::table::index_of;

/// Natural width of every plot: half of the page on a desktop, all of it on a small screen, so text keeps its size.
const WIDTH: f64 = 560.0;
/// Natural height of a plot with two axes.
const HEIGHT: f64 = 330.0;
/// Room around the plotting area, for labels: left, right, top, bottom.
const MARGINS: (f64, f64, f64, f64) = (62.0, 118.0, 12.0, 46.0);
/// Least distance between the baselines of two labels.
const LABEL_HEIGHT: f64 = 15.0;

/// One line of a plot.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) policy: Policy,
    pub(super) points: Vec<(f64, f64)>,
}

/// Where the lines are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Each at its right end.
    AtEnds,
    /// In a list in the lower right corner, for lines that end in one point.
    Inside,
}

/// Lines over two axes.
#[derive(Debug)]
pub(super) struct LinePlot<'a> {
    /// Unique on the page.
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) description: &'a str,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
    pub(super) names: Names,
}

/// The plotting area in pixels.
#[derive(Debug, Clone, Copy)]
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl LinePlot<'_> {
    pub(super) fn draw(&self) -> String {
        let mut svg = Svg::new(WIDTH, HEIGHT);
        let (left, right, top, bottom) = MARGINS;
        let right = if self.names == Names::AtEnds { right } else { 20.0 };
        let area = Area { left, right: WIDTH - right, top, bottom: HEIGHT - bottom };
        draw_axes(&mut svg, area, &self.x, &self.y);
        let place = |&(x, y): &(f64, f64)| {
            let x = area.left + self.x.place(x) * (area.right - area.left);
            (x, area.bottom - self.y.place(y) * (area.bottom - area.top))
        };
        let mut ends = Vec::new();
        // The first series is drawn last, on top.
        for series in self.series.iter().rev() {
            let points: Vec<_> = series.points.iter().map(place).collect();
            svg.path(&points, &format!("series s{}", index_of(series.policy)));
            ends.extend(points.last().map(|end| (series.policy, *end)));
        }
        match self.names {
            Names::AtEnds => name_ends(&mut svg, ends, area),
            Names::Inside => name_inside(&mut svg, &self.series, area),
        }
        svg.finish(self.id, self.title, self.description)
    }
}

fn draw_axes(svg: &mut Svg, area: Area, x: &Axis, y: &Axis) {
    for (value, label) in &y.ticks {
        let at = area.bottom - y.place(*value) * (area.bottom - area.top);
        svg.line((area.left, at), (area.right, at), "grid");
        svg.text((area.left - 8.0, at + 4.0), Anchor::End, "tick", label);
    }
    for (value, label) in &x.ticks {
        let at = area.left + x.place(*value) * (area.right - area.left);
        svg.line((at, area.bottom), (at, area.bottom + 5.0), "axis");
        svg.text((at, area.bottom + 19.0), Anchor::Middle, "tick", label);
    }
    svg.line((area.left, area.bottom), (area.right, area.bottom), "axis");
    svg.text((f64::midpoint(area.left, area.right), HEIGHT - 6.0), Anchor::Middle, "axis-title", &x.title);
}

/// Names at the right ends of the lines, pushed apart where they would overlap, with a hairline back to their line.
fn name_ends(svg: &mut Svg, mut ends: Vec<(Policy, (f64, f64))>, area: Area) {
    ends.sort_by(|(a, (_, a_y)), (b, (_, b_y))| a_y.total_cmp(b_y).then_with(|| a.cmp(b)));
    let wanted: Vec<f64> = ends.iter().map(|(_, (_, y))| *y).collect();
    let placed = spread_out(&wanted, LABEL_HEIGHT, (area.top, area.bottom));
    for ((policy, (x, y)), label_y) in ends.into_iter().zip(placed) {
        let index = index_of(policy);
        svg.line((x + 2.0, y), (area.right + 12.0, label_y), &format!("leader l{index}"));
        svg.text((area.right + 15.0, label_y + 4.0), Anchor::Start, &format!("name n{index}"), policy.name());
    }
}

/// Positions in the order given, at least `distance` apart and inside the bounds while there is room, near the wanted.
fn spread_out(wanted: &[f64], distance: f64, bounds: (f64, f64)) -> Vec<f64> {
    let mut placed: Vec<f64> = Vec::with_capacity(wanted.len());
    for want in wanted {
        let least = placed.last().map_or(bounds.0, |above| above + distance);
        placed.push(want.max(least));
    }
    let mut most = bounds.1;
    for at in placed.iter_mut().rev() {
        *at = at.min(most);
        most = *at - distance;
    }
    placed
}

fn name_inside(svg: &mut Svg, series: &[Series], area: Area) {
    let top = area.bottom - 12.0 - LABEL_HEIGHT * series.len() as f64;
    let left = area.right - 142.0;
    let height = LABEL_HEIGHT * series.len() as f64 + 8.0;
    svg.rect((left - 8.0, top), (150.0, height), "legend");
    for (row, series) in series.iter().enumerate() {
        let (y, index) = (top + LABEL_HEIGHT * (row as f64 + 0.75), index_of(series.policy));
        svg.line((left, y), (left + 34.0, y), &format!("series s{index}"));
        svg.text((left + 42.0, y + 4.0), Anchor::Start, &format!("name n{index}"), series.policy.name());
    }
}

/// A bar with its length in words.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) policy: Policy,
    pub(super) value: f64,
    pub(super) label: String,
}

/// Horizontal bars in groups, on one scale from zero.
#[derive(Debug)]
pub(super) struct BarPlot<'a> {
    /// Unique on the page.
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) description: &'a str,
    /// Groups with their headings.
    pub(super) groups: Vec<(String, Vec<Bar>)>,
}

impl BarPlot<'_> {
    pub(super) fn draw(&self) -> String {
        const ROW: f64 = 15.0;
        const HEADING: f64 = 24.0;
        const GAP: f64 = 6.0;
        let rows: usize = self.groups.iter().map(|(_, bars)| bars.len()).sum();
        let height = rows as f64 * ROW + self.groups.len() as f64 * (HEADING + GAP);
        let mut svg = Svg::new(WIDTH, height);
        let longest = self.groups.iter().flat_map(|(_, bars)| bars).map(|bar| bar.value).fold(0.0, f64::max);
        let (left, right) = (112.0, WIDTH - 116.0);
        let mut y = 0.0;
        for (heading, bars) in &self.groups {
            svg.text((0.0, y + 17.0), Anchor::Start, "heading", heading);
            svg.line((0.0, y + HEADING - 2.0), (WIDTH, y + HEADING - 2.0), "grid");
            y += HEADING;
            for bar in bars {
                let index = index_of(bar.policy);
                let length = if longest > 0.0 { bar.value / longest * (right - left) } else { 0.0 };
                svg.text((left - 8.0, y + 11.5), Anchor::End, &format!("name n{index}"), bar.policy.name());
                svg.rect((left, y + 2.0), (length.max(1.0), ROW - 4.0), &format!("bar b{index}"));
                svg.text((left + length + 6.0, y + 11.5), Anchor::Start, "tick", &bar.label);
                y += ROW;
            }
            y += GAP;
        }
        svg.finish(self.id, self.title, self.description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_distance_and_stay_inside() {
        for (case, wanted, expected) in [
            ("apart already", vec![10.0, 50.0], vec![10.0, 50.0]),
            ("one point", vec![20.0, 20.0, 20.0], vec![20.0, 30.0, 40.0]),
            ("at the lower edge", vec![99.0, 100.0], vec![90.0, 100.0]),
            ("above the upper edge", vec![-5.0, 3.0], vec![0.0, 10.0]),
        ] {
            assert_eq!(spread_out(&wanted, 10.0, (0.0, 100.0)), expected, "{case}");
        }
    }
}
