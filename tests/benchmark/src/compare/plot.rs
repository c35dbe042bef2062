//! Latency against load, drawn as SVG: one colour for each contender, p50 solid and p99 dashed.
//!
//! Both scales are logarithmic. Colours follow the reader's light or dark scheme.

use std::fmt::Write;

use super::report::Heat;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
/// Where the curves are: left, top, right, bottom.
const FRAME: [f64; 4] = [70.0, 40.0, 580.0, 370.0];

/// Colours that are told apart on white and on black, also by those who see few.
const COLOURS: [&str; 8] = [
    "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7f7f7f", "#8a5cd6",
];

const STYLE: &str = "\
text{font:12px sans-serif;fill:#222}.grid{stroke:#ccc}.curve{fill:none;stroke-width:2}\
.p99{stroke-dasharray:5 4}.page{fill:#fff}\
@media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#444}.page{fill:#16181c}}";

/// One contender's times: in flight, p50 and p99 in microseconds.
struct Curve<'a> {
    who: &'a str,
    points: Vec<(f64, f64, f64)>,
}

/// Draws a group's heats; nothing if there is only one load or none.
pub(crate) fn latency(group: &str, heats: &[&Heat]) -> Option<String> {
    let curves = curves(heats);
    let loads: Vec<f64> = heats.iter().map(|heat| heat.in_flight().into()).collect();
    let x = Scale::over(loads.iter().copied(), FRAME[0], FRAME[2])?;
    let times = curves.iter().flat_map(|curve| &curve.points);
    let times = times.flat_map(|(_, p50, p99)| [*p50, *p99]);
    let y = Scale::over(decades(times), FRAME[3], FRAME[1])?;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
         <title>{group}: latency against requests in flight</title>\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n"
    );
    text(
        &mut svg,
        FRAME[0],
        24.0,
        &format!("{group}: latency in µs, p50 solid, p99 dashed"),
    );
    text(&mut svg, 260.0, HEIGHT - 12.0, "requests in flight");
    draw_grid(&mut svg, &x, &y, &loads);
    for (number, curve) in curves.iter().enumerate() {
        draw_curve(&mut svg, &x, &y, number, curve);
    }
    svg += "</svg>\n";
    Some(svg)
}

fn curves<'a>(heats: &[&'a Heat]) -> Vec<Curve<'a>> {
    let mut curves: Vec<Curve<'a>> = Vec::new();
    for heat in heats {
        for standing in heat.standings() {
            let (p50, p99) = (standing.p50_us, standing.p99_us);
            // A logarithm wants something above nothing; a nanosecond is the finest we tell apart.
            let point = (heat.in_flight().into(), p50.max(0.001), p99.max(0.001));
            match curves.iter_mut().find(|curve| curve.who == standing.who) {
                Some(curve) => curve.points.push(point),
                None => curves.push(Curve {
                    who: &standing.who,
                    points: vec![point],
                }),
            }
        }
    }
    curves
}

/// The powers of ten around all values.
fn decades(values: impl Iterator<Item = f64>) -> impl Iterator<Item = f64> {
    let logarithms: Vec<_> = values.map(f64::log10).filter(|v| v.is_finite()).collect();
    let least = logarithms.iter().copied().reduce(f64::min).map(f64::floor);
    let most = logarithms.iter().copied().reduce(f64::max).map(f64::ceil);
    least
        .into_iter()
        .chain(most)
        .map(|power| 10_f64.powf(power))
}

/// Takes a value to a coordinate, by its logarithm.
struct Scale {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Nothing if all values are the same.
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Option<Self> {
        let values: Vec<_> = values.collect();
        let least = values.iter().copied().reduce(f64::min)?;
        let most = values.iter().copied().reduce(f64::max)?;
        (least < most).then_some(Self {
            least,
            most,
            from,
            to,
        })
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value / self.least).ln() / (self.most / self.least).ln();
        self.from + share * (self.to - self.from)
    }
}

fn text(svg: &mut String, x: f64, y: f64, text: &str) {
    // Writing to a string cannot fail, here and below.
    _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
}

fn draw_grid(svg: &mut String, x: &Scale, y: &Scale, loads: &[f64]) {
    let [left, top, right, bottom] = FRAME;
    let mut line = |x1: f64, y1: f64, x2: f64, y2: f64| {
        _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    };
    let mut marks = Vec::new();
    for load in loads {
        line(x.at(*load), top, x.at(*load), bottom);
        marks.push((x.at(*load) - 8.0, bottom + 18.0, *load));
    }
    let mut decade = y.least;
    // Rounding must not cost the uppermost.
    while decade <= y.most * 1.001 {
        line(left, y.at(decade), right, y.at(decade));
        marks.push((12.0, y.at(decade) + 4.0, decade));
        decade *= 10.0;
    }
    for (x, y, value) in marks {
        let digits = if value < 0.9 { 3 } else { 0 };
        text(svg, x, y, &format!("{value:.digits$}"));
    }
}

fn draw_curve(svg: &mut String, x: &Scale, y: &Scale, number: usize, curve: &Curve<'_>) {
    let colour = COLOURS[number % COLOURS.len()];
    let p50 = curve.points.iter().map(|(load, p50, _)| (*load, *p50));
    let p99 = curve.points.iter().map(|(load, _, p99)| (*load, *p99));
    for (class, points) in [
        ("curve", p50.collect::<Vec<_>>()),
        ("curve p99", p99.collect()),
    ] {
        let points: Vec<_> = points
            .iter()
            .map(|(load, time)| format!("{:.1},{:.1}", x.at(*load), y.at(*time)))
            .collect();
        let points = points.join(" ");
        _ = writeln!(
            svg,
            "<polyline class=\"{class}\" stroke=\"{colour}\" points=\"{points}\"/>"
        );
    }
    let (left, at) = (FRAME[2] + 20.0, FRAME[1] + 12.0 + 22.0 * number as f64);
    _ = writeln!(
        svg,
        "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"16\" height=\"4\" fill=\"{colour}\"/>",
        at - 6.0
    );
    text(svg, left + 24.0, at, curve.who);
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::heat;
    use super::*;

    /// Whether every element that is opened is closed, in order.
    fn is_well_formed(svg: &str) -> bool {
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1) {
            let Some((tag, _)) = tag.split_once('>') else {
                return false;
            };
            let name = tag.trim_start_matches('/').split([' ', '/']).next();
            if tag.matches('"').count() % 2 == 1 {
                return false;
            }
            match (tag.starts_with('/'), tag.ends_with('/')) {
                (true, _) if open.pop() != name => return false,
                (false, false) => open.extend(name),
                _ => {}
            }
        }
        open.is_empty()
    }

    #[test]
    fn everybody_has_two_curves_within_the_frame_and_a_name() {
        let heats = [heat(1), heat(16), heat(256)];
        let svg = latency("wire-64B", &heats.iter().collect::<Vec<_>>()).unwrap();
        assert!(is_well_formed(&svg), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 2 * 3);
        for who in ["modulith", "tonic-tls", "unix"] {
            assert!(svg.contains(&format!(">{who}</text>")), "{svg}");
        }
        let points = svg.split("points=\"").skip(1);
        let points = points.flat_map(|rest| rest.split('"').next().unwrap_or_default().split(' '));
        for point in points {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((FRAME[0]..=FRAME[2]).contains(&x), "{point}");
            assert!((FRAME[1]..=FRAME[3]).contains(&y), "{point}");
        }
    }

    #[test]
    fn one_load_alone_is_no_curve() {
        assert!(latency("wire-64B", &[&heat(8)]).is_none());
        assert!(latency("wire-64B", &[]).is_none());
    }

    #[test]
    fn a_page_that_is_broken_off_is_noticed() {
        assert!(is_well_formed("<a><b x=\"1\"/></a>"));
        assert!(!is_well_formed("<a><b></a>"));
        assert!(!is_well_formed("<a x=\"1/></a>"));
    }
}
