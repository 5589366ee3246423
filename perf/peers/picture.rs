//! Bars of what a query costs, as an SVG file that can be read on light and on dark ground.

use std::fmt::Write as _;

use crate::figures::{Series, Spread};

const WIDTH: f64 = 760.0;
const LABELS: f64 = 130.0;
/// Room for the figures right of the longest bar.
const FIGURES: f64 = 150.0;
const TOP: f64 = 64.0;
const ROW: f64 = 28.0;
const BAR: f64 = 16.0;

/// The file's text; servers without a round that counts have no bar.
pub(crate) fn draw(all: &[Series], subtitle: &str) -> String {
    let costs: Vec<(&Series, Spread, f64)> = all
        .iter()
        .filter_map(|one| Some((one, one.spread(|run| run.cpu_ns)?, one.spread(|run| run.user_ns)?.median)))
        .collect();
    let longest = costs.iter().map(|(_, cost, _)| cost.max).fold(1.0, f64::max);
    let scale = (WIDTH - LABELS - FIGURES) / longest;
    let height = TOP + ROW * costs.len() as f64 + 12.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"CPU time a query\">\n<style>\n\
         text {{ font: 13px system-ui, sans-serif; fill: #24292f; }} .small {{ font-size: 11px; fill: #57606a; }}\n\
         .user {{ fill: #0969da; }} .system {{ fill: #8db8e8; }} .ours .user {{ fill: #1a7f37; }} .ours .system {{ fill: #7fc493; }}\n\
         .spread {{ stroke: #57606a; fill: none; }}\n\
         @media (prefers-color-scheme: dark) {{\n\
         text {{ fill: #e6edf3; }} .small {{ fill: #9198a1; }} .spread {{ stroke: #c9d1d9; }}\n\
         .user {{ fill: #4493f8; }} .system {{ fill: #2b4f7d; }} .ours .user {{ fill: #3fb950; }} .ours .system {{ fill: #235c32; }}\n\
         }}\n</style>\n"
    );
    text(&mut svg, 8.0, 20.0, "", "CPU time of the server a query, ns (less is better)");
    text(&mut svg, 8.0, 37.0, "small", subtitle);
    text(&mut svg, 8.0, 53.0, "small", "dark: user, light: system; line: least to most of the rounds");
    for (row, (one, cost, user)) in costs.iter().enumerate() {
        let top = TOP + ROW * row as f64;
        let middle = top + BAR / 2.0;
        let ours = if one.name.starts_with("steerd") { "ours" } else { "" };
        let _infallible = writeln!(svg, "<g class=\"{ours}\">");
        text(&mut svg, 8.0, middle + 4.5, "", one.name);
        bar(&mut svg, LABELS, top, user * scale, "user");
        bar(&mut svg, LABELS + user * scale, top, (cost.median - user) * scale, "system");
        let (least, most) = (LABELS + cost.min * scale, LABELS + cost.max * scale);
        let _infallible = writeln!(
            svg,
            "<path class=\"spread\" d=\"M{least:.1} {middle}H{most:.1}M{least:.1} {:.1}v6M{most:.1} {:.1}v6\"/>",
            middle - 3.0,
            middle - 3.0
        );
        let ratio = all.iter().find(|base| base.name == "echo").and_then(|echo| one.ratio_to(echo));
        let ratio = ratio.map_or(String::new(), |ratio| format!(" ({:.2} × echo)", ratio.median));
        text(&mut svg, most + 8.0, middle + 4.5, "", &format!("{:.0}{ratio}", cost.median));
        svg += "</g>\n";
    }
    svg + "</svg>\n"
}

fn bar(svg: &mut String, left: f64, top: f64, width: f64, class: &str) {
    let _infallible = writeln!(
        svg,
        "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{BAR}\"/>",
        width.max(0.0)
    );
}

fn text(svg: &mut String, left: f64, base: f64, class: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _infallible = writeln!(svg, "<text class=\"{class}\" x=\"{left:.1}\" y=\"{base:.1}\">{words}</text>");
}
