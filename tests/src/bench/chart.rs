//! The figures as a picture: panels of horizontal bars in one SVG, readable on a bright ground and on a
//! dark one.

use std::fmt::Write;

/// Which way is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Better {
    Higher,
    Lower,
}

/// What a bar is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rank {
    /// bg.
    Ours,
    /// What bg is compared with.
    Other,
    /// What nobody can be better than.
    Limit,
}

/// One figure.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Bar {
    pub(super) label: String,
    /// Its length; any unit that is the panel's.
    pub(super) value: f64,
    /// As it is written behind the bar.
    pub(super) text: String,
    pub(super) rank: Rank,
}

/// Figures of one kind, to be compared.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    /// Unit and number of rounds.
    pub(super) about: String,
    pub(super) better: Better,
    pub(super) bars: Vec<Bar>,
}

const WIDTH: usize = 960;
const MARGIN: usize = 32;
const GAP: usize = 40;
const COLUMN: usize = (WIDTH - 2 * MARGIN - GAP) / 2;
/// From the top to the first panel.
const TOP: usize = 98;
/// Title and unit of a panel.
const HEAD: usize = 50;
/// From bar to bar.
const PITCH: usize = 24;
const BAR: usize = 15;
/// Space for labels to the left of the bars, and for figures to the right.
const LABEL: usize = 140;
const FIGURE: usize = 84;
/// Below a panel.
const FOOT: usize = 22;

/// A card of its own ground, so that it is the same on any page; GitHub shows it through `<img>`, where
/// neither fonts nor scripts can be loaded.
const STYLE: &str = "\
    text { font-family: ui-sans-serif, system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif; \
    font-size: 12.5px; fill: #3d4653; }\n    \
    .title { font-size: 21px; font-weight: 650; fill: #12181f; }\n    \
    .head { font-size: 14.5px; font-weight: 650; fill: #12181f; }\n    \
    .about { font-size: 11.5px; fill: #6b7582; }\n    \
    .figure { font-variant-numeric: tabular-nums; }\n    \
    .ours { font-weight: 650; fill: #12181f; }\n";

/// The whole picture. `about` says where and how it was measured.
pub(super) fn svg(title: &str, about: &[String], panels: &[Panel]) -> String {
    let panels: Vec<&Panel> = panels.iter().filter(|panel| !panel.bars.is_empty()).collect();
    let rows: Vec<&[&Panel]> = panels.chunks(2).collect();
    let heights = rows.iter().map(|row| row.iter().map(|panel| panel_height(panel)).max().unwrap_or(0));
    let height = TOP + heights.clone().sum::<usize>() + 28;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\" aria-labelledby=\"title about\">\n  <title id=\"title\">{}</title>\n  <desc id=\"about\">{}</desc>\n  \
         <style>\n    {STYLE}  </style>\n  \
         <rect x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"10\" fill=\"#ffffff\" stroke=\"#d5dbe3\"/>\n",
        escaped(title),
        escaped(&describe(&panels)),
        WIDTH - 1,
        height - 1,
    );
    line(&mut text, MARGIN, 42, "title", "start", title);
    for (index, about) in about.iter().enumerate() {
        line(&mut text, MARGIN, 63 + 16 * index, "about", "start", about);
    }
    legend(&mut text);
    let mut y = TOP;
    for (row, height) in rows.iter().zip(heights) {
        for (column, panel) in row.iter().enumerate() {
            draw(&mut text, MARGIN + column * (COLUMN + GAP), y, panel);
        }
        y += height;
    }
    text + "</svg>\n"
}

fn panel_height(panel: &Panel) -> usize {
    HEAD + PITCH * panel.bars.len() + FOOT
}

fn draw(text: &mut String, x: usize, y: usize, panel: &Panel) {
    let better = match panel.better {
        Better::Higher => "more is better",
        Better::Lower => "less is better",
    };
    line(text, x, y + 16, "head", "start", &panel.title);
    line(text, x, y + 33, "about", "start", &format!("{} · {better}", panel.about));
    let most = panel.bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let room = (COLUMN - LABEL - FIGURE) as f64;
    for (index, bar) in panel.bars.iter().enumerate() {
        let top = y + HEAD + PITCH * index;
        let baseline = top + 12;
        // A sliver shows that there is something.
        let length = if most > 0.0 { (bar.value / most * room).max(1.5) } else { 0.0 };
        let class = if bar.rank == Rank::Ours { "ours" } else { "other" };
        line(text, x + LABEL - 8, baseline, class, "end", &bar.label);
        push(
            text,
            format_args!(
                "  <rect x=\"{}\" y=\"{top}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2.5\" {}/>\n",
                x + LABEL,
                paint(bar.rank)
            ),
        );
        let end = x as f64 + LABEL as f64 + length + 7.0;
        push(
            text,
            format_args!(
                "  <text x=\"{end:.1}\" y=\"{baseline}\" class=\"figure {class}\">{}</text>\n",
                escaped(&bar.text)
            ),
        );
    }
}

const fn paint(rank: Rank) -> &'static str {
    match rank {
        Rank::Ours => "fill=\"#1a6fd4\"",
        Rank::Other => "fill=\"#a9b4c2\"",
        Rank::Limit => "fill=\"#ffffff\" stroke=\"#a9b4c2\" stroke-dasharray=\"3 2\"",
    }
}

fn legend(text: &mut String) {
    let entries = [(Rank::Ours, "bg", 226), (Rank::Other, "compared with", 172), (Rank::Limit, "limit", 46)];
    for (rank, name, from_right) in entries {
        let x = WIDTH - MARGIN - from_right;
        push(
            text,
            format_args!(
                "  <rect x=\"{x}\" y=\"30\" width=\"14\" height=\"13\" rx=\"2.5\" {}/>\n",
                paint(rank)
            ),
        );
        line(text, x + 20, 41, "other", "start", name);
    }
}

/// The figures as a sentence each, for those who cannot see them.
fn describe(panels: &[&Panel]) -> String {
    let panel = |panel: &&Panel| {
        let bars: Vec<String> = panel.bars.iter().map(|bar| format!("{} {}", bar.label, bar.text)).collect();
        format!("{} ({}): {}.", panel.title, panel.about, bars.join("; "))
    };
    panels.iter().map(panel).collect::<Vec<_>>().join(" ")
}

fn line(text: &mut String, x: usize, y: usize, class: &str, anchor: &str, words: &str) {
    push(
        text,
        format_args!(
            "  <text x=\"{x}\" y=\"{y}\" class=\"{class}\" text-anchor=\"{anchor}\">{}</text>\n",
            escaped(words)
        ),
    );
}

fn push(text: &mut String, piece: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _ = text.write_fmt(piece);
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, value: f64, rank: Rank) -> Bar {
        Bar { label: label.to_owned(), value, text: format!("{value}"), rank }
    }

    fn panel(title: &str, bars: Vec<Bar>) -> Panel {
        Panel { title: title.to_owned(), about: "a unit".to_owned(), better: Better::Higher, bars }
    }

    /// The widths of all bars, in their order.
    fn widths(svg: &str) -> Vec<f64> {
        let bars = svg.lines().filter(|line| line.contains("height=\"15\""));
        bars.map(|line| line.split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect()
    }

    #[test]
    fn the_longest_bar_takes_all_the_room_and_the_others_their_share() {
        let bars =
            vec![bar("one", 10.0, Rank::Ours), bar("two", 5.0, Rank::Other), bar("three", 0.0, Rank::Limit)];
        let room = (COLUMN - LABEL - FIGURE) as f64;
        assert_eq!(widths(&svg("t", &[], &[panel("p", bars)])), [room, room / 2.0, 1.5]);
    }

    #[test]
    fn each_panel_has_its_own_scale_and_an_empty_one_is_left_out() {
        let panels = [
            panel("small", vec![bar("one", 1.0, Rank::Ours)]),
            panel("nothing", Vec::new()),
            panel("large", vec![bar("one", 1e9, Rank::Ours)]),
        ];
        let svg = svg("t", &[], &panels);
        assert_eq!(widths(&svg).len(), 2);
        assert_eq!(widths(&svg)[0], widths(&svg)[1]);
        assert!(!svg.contains("nothing"));
    }

    #[test]
    fn what_xml_would_take_for_its_own_is_escaped() {
        let svg = svg("a < b & \"c\"", &["x > y".to_owned()], &[]);
        assert!(svg.contains("a &lt; b &amp; &quot;c&quot;") && svg.contains("x &gt; y"), "{svg}");
    }

    #[test]
    fn every_element_is_closed_and_inside_the_picture() {
        let bars = vec![bar("one", 3.0, Rank::Ours), bar("two", 5.0, Rank::Other)];
        let panels = vec![panel("p", bars); 5];
        let svg = svg("t", &["machine".to_owned()], &panels);
        let of = |name: &str| {
            svg.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned()
        };
        let height: f64 = of("height").parse().unwrap();
        for element in svg.lines().filter(|line| line.trim_start().starts_with("<text")) {
            assert!(element.ends_with("</text>"), "{element}");
            let y: f64 = element.split(" y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
            assert!(y < height, "{element} below {height}");
        }
    }
}
