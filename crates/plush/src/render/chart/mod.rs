//! Pictures as plain values: a drawing holds shapes, and is written as SVG or as PNG.
//! Not what is drawn of a run: `report` chooses that.

pub mod axis;
pub mod bars;
pub mod curves;
pub mod font;
pub mod frame;
pub mod png;
pub mod rows;
pub mod svg;
pub mod tint;

pub use tint::Tint;

/// A point; x goes right, y goes down, in units of a CSS pixel.
pub type Point = (f64, f64);

/// A picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawing {
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    /// What it shows, for those who cannot see it.
    pub title: String,
    /// Drawn in this order.
    pub shapes: Vec<Shape>,
}

/// One shape of a drawing.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Filled rectangles of one tint.
    Boxes {
        /// Each has a left upper corner, a width and a height.
        boxes: Vec<[f64; 4]>,
        /// Their colour.
        tint: Tint,
    },
    /// A line through points.
    Line {
        /// Two or more.
        points: Vec<Point>,
        /// How it is drawn.
        stroke: Stroke,
    },
    /// A filled disc.
    Dot {
        /// Its centre.
        at: Point,
        /// Its radius.
        radius: f64,
        /// Its colour.
        tint: Tint,
    },
    /// A line of text.
    Text(Text),
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stroke {
    /// Its colour.
    pub tint: Tint,
    /// Its width.
    pub width: f64,
    /// It is drawn in dashes.
    pub is_dashed: bool,
}

/// A line of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// Where its base line begins, has its middle, or ends.
    pub at: Point,
    /// What it says; not yet escaped for XML.
    pub text: String,
    /// How it looks.
    pub face: Face,
    /// Which part of it is at `at`.
    pub anchor: Anchor,
    /// It runs upwards.
    pub is_upright: bool,
}

/// How text looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Face {
    /// Its size.
    pub size: f64,
    /// It is bold.
    pub is_bold: bool,
    /// Its colour.
    pub tint: Tint,
}

/// Which part of a text is at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The beginning.
    Start,
    /// The middle.
    Middle,
    /// The end.
    End,
}

/// Text of axes and labels.
pub const SMALL: Face = Face { size: 11.0, is_bold: false, tint: Tint::Muted };
/// Text of what matters.
pub const PLAIN: Face = Face { size: 11.5, is_bold: false, tint: Tint::Ink };
/// Titles.
pub const TITLE: Face = Face { size: 15.0, is_bold: true, tint: Tint::Ink };

impl Face {
    /// The same in another colour.
    pub fn tinted(self, tint: Tint) -> Face {
        Face { tint, ..self }
    }

    /// The same, bold.
    pub fn bold(self) -> Face {
        Face { is_bold: true, ..self }
    }
}

impl Drawing {
    /// An empty one.
    pub fn new(width: f64, height: f64, title: &str) -> Drawing {
        Drawing { width, height, title: title.to_owned(), shapes: Vec::new() }
    }

    /// Adds rectangles of one tint; nothing if there are none.
    pub fn boxes(&mut self, boxes: Vec<[f64; 4]>, tint: Tint) {
        if !boxes.is_empty() {
            self.shapes.push(Shape::Boxes { boxes, tint });
        }
    }

    /// Adds a line; a single point is none.
    pub fn line(&mut self, points: Vec<Point>, stroke: Stroke) {
        if points.len() > 1 {
            self.shapes.push(Shape::Line { points, stroke });
        }
    }

    /// Adds a disc.
    pub fn dot(&mut self, at: Point, radius: f64, tint: Tint) {
        self.shapes.push(Shape::Dot { at, radius, tint });
    }

    /// Adds text.
    pub fn text(&mut self, at: Point, text: impl Into<String>, face: Face, anchor: Anchor) {
        let text = text.into();
        self.shapes.push(Shape::Text(Text { at, text, face, anchor, is_upright: false }));
    }

    /// Adds text that runs upwards.
    pub fn upright_text(&mut self, at: Point, text: impl Into<String>, face: Face) {
        let (text, anchor) = (text.into(), Anchor::Middle);
        self.shapes.push(Shape::Text(Text { at, text, face, anchor, is_upright: true }));
    }

    /// The drawings below one another, in one.
    pub fn stacked(drawings: Vec<Drawing>, title: &str) -> Drawing {
        let width = drawings.iter().map(|d| d.width).fold(0.0, f64::max);
        let mut whole = Drawing::new(width, 0.0, title);
        for drawing in drawings {
            let down = whole.height;
            whole.height += drawing.height;
            whole.shapes.extend(drawing.shapes.into_iter().map(|shape| shape.lowered(down)));
        }
        whole
    }
}

impl Shape {
    fn lowered(self, down: f64) -> Shape {
        let lower = |(x, y): Point| (x, y + down);
        match self {
            Shape::Boxes { boxes, tint } => Shape::Boxes {
                boxes: boxes.into_iter().map(|[x, y, w, h]| [x, y + down, w, h]).collect(),
                tint,
            },
            Shape::Line { points, stroke } => {
                Shape::Line { points: points.into_iter().map(lower).collect(), stroke }
            }
            Shape::Dot { at, radius, tint } => Shape::Dot { at: lower(at), radius, tint },
            Shape::Text(text) => Shape::Text(Text { at: lower(text.at), ..text }),
        }
    }
}

impl Stroke {
    /// A whole line.
    pub fn whole(tint: Tint, width: f64) -> Stroke {
        Stroke { tint, width, is_dashed: false }
    }

    /// A dashed line.
    pub fn dashed(tint: Tint, width: f64) -> Stroke {
        Stroke { tint, width, is_dashed: true }
    }
}
