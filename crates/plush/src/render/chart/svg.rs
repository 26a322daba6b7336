//! A drawing as SVG: colours are names of a style sheet, so a page decides about light and dark.
//! Not the page.

use super::font::FAMILIES;
use super::{Anchor, Drawing, Shape, Stroke, Text, Tint};
use std::fmt::Write;

/// The drawing inside an HTML page that has [`style`].
pub fn inline(drawing: &Drawing) -> String {
    let (width, height) = (number(drawing.width), number(drawing.height));
    let mut text = format!(
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\
         <title>{}</title>\n",
        escaped(&drawing.title)
    );
    for shape in &drawing.shapes {
        text.push_str(&self::shape(shape));
        text.push('\n');
    }
    text.push_str("</svg>");
    text
}

/// What the classes of a drawing mean, on light and on dark ground.
pub fn style() -> String {
    let of = |rgb: fn(Tint) -> [u8; 3]| -> String {
        let line = |tint: Tint| format!("--{}:{};", tint.name(), hex(rgb(tint)));
        Tint::all().into_iter().map(line).collect()
    };
    let mut style = format!(
        ":root{{color-scheme:light dark;{}}}\n@media (prefers-color-scheme:dark){{:root{{{}}}}}\n",
        of(Tint::light),
        of(Tint::dark)
    );
    for tint in Tint::all() {
        let name = tint.name();
        writeln!(style, ".f-{name}{{fill:var(--{name})}}.l-{name}{{stroke:var(--{name})}}")
            .expect("writing to a String succeeds");
    }
    write!(style, "svg text{{font-family:{FAMILIES}}}svg .l{{fill:none;stroke-linejoin:round}}")
        .expect("writing to a String succeeds");
    style
}

/// Text for XML: whatever would be markup is written out, and what XML cannot hold is replaced.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\t' | '\n' => safe.push(letter),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn shape(shape: &Shape) -> String {
    match shape {
        Shape::Boxes { boxes, tint } => {
            let path: String = boxes.iter().map(boxed).collect();
            format!("<path class=\"f-{}\" d=\"{path}\"/>", tint.name())
        }
        Shape::Line { points, stroke } => line(points, stroke),
        Shape::Dot { at, radius, tint } => format!(
            "<circle class=\"f-{}\" cx=\"{}\" cy=\"{}\" r=\"{}\"/>",
            tint.name(),
            number(at.0),
            number(at.1),
            number(*radius)
        ),
        Shape::Text(text) => self::text(text),
    }
}

fn boxed([x, y, w, h]: &[f64; 4]) -> String {
    format!("M{} {}h{}v{}h{}z", number(*x), number(*y), number(*w), number(*h), number(-*w))
}

fn line(points: &[super::Point], stroke: &Stroke) -> String {
    let points: Vec<String> =
        points.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect();
    let dashes = if stroke.is_dashed { " stroke-dasharray=\"4 3\"" } else { "" };
    format!(
        "<polyline class=\"l l-{}\" stroke-width=\"{}\"{dashes} points=\"{}\"/>",
        stroke.tint.name(),
        number(stroke.width),
        points.join(" ")
    )
}

fn text(text: &Text) -> String {
    let anchor = match text.anchor {
        Anchor::Start => "",
        Anchor::Middle => " text-anchor=\"middle\"",
        Anchor::End => " text-anchor=\"end\"",
    };
    let weight = if text.face.is_bold { " font-weight=\"bold\"" } else { "" };
    let (x, y) = (number(text.at.0), number(text.at.1));
    let turn =
        if text.is_upright { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
    format!(
        "<text class=\"f-{}\" x=\"{x}\" y=\"{y}\" font-size=\"{}\"{weight}{anchor}{turn}>{}</text>",
        text.face.tint.name(),
        number(text.face.size),
        escaped(&text.text)
    )
}

/// Two digits after the point are a fiftieth of what an eye can tell.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.to_owned() }
}
