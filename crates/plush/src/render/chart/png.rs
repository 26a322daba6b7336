//! A drawing as PNG: the same shapes, filled pixel by pixel, on light ground.
//! Not SVG: no text of it is read.

use super::font::{self, Piece};
use super::{Anchor, Drawing, Point, Shape, Stroke, Text, Tint};
use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use std::io::Write;
use zeno::{Cap, Command, Join, Mask, Placement, Vector};

/// Pixels for a unit of the drawing: sharp on paper and on dense screens.
const SCALE: f64 = 2.0;

/// Larger pictures have fewer pixels for a unit, so that none takes more than so many.
const PIXELS_MAX: f64 = 64e6;

/// The file's bytes.
pub fn file(drawing: &Drawing) -> Vec<u8> {
    let mut canvas = Canvas::new(drawing);
    drawing.shapes.iter().for_each(|shape| canvas.draw(shape));
    encode(canvas.width, canvas.height, &canvas.pixels)
}

struct Canvas {
    width: usize,
    height: usize,
    scale: f64,
    pixels: Vec<u8>,
}

impl Canvas {
    fn new(drawing: &Drawing) -> Canvas {
        let area = (drawing.width * drawing.height).max(1.0);
        let scale = SCALE.min((PIXELS_MAX / area).sqrt());
        let pixels = |length: f64| (length * scale).round().max(1.0) as usize;
        let (width, height) = (pixels(drawing.width), pixels(drawing.height));
        let ground = Tint::Ground.light();
        Canvas { width, height, scale, pixels: ground.repeat(width * height) }
    }

    fn draw(&mut self, shape: &Shape) {
        match shape {
            Shape::Boxes { boxes, tint } => self.boxes(boxes, *tint),
            Shape::Line { points, stroke } => self.line(points, stroke),
            Shape::Dot { at, radius, tint } => self.dot(*at, *radius, *tint),
            Shape::Text(text) => self.text(text),
        }
    }

    /// Boxes are many, straight and often side by side: what they cover of a pixel is added up before it is coloured, so
    /// that no seam is seen between them.
    fn boxes(&mut self, boxes: &[[f64; 4]], tint: Tint) {
        let mut cover = vec![0.0f32; self.width * self.height];
        for [x, y, w, h] in boxes {
            let (left, right) = self.clamped(*x, x + w, self.width);
            let (top, bottom) = self.clamped(*y, y + h, self.height);
            for row in top.floor() as usize..bottom.ceil() as usize {
                let high = covered(row, top, bottom);
                for column in left.floor() as usize..right.ceil() as usize {
                    let share = high * covered(column, left, right);
                    cover[row * self.width + column] += share as f32;
                }
            }
        }
        for (at, cover) in cover.into_iter().enumerate().filter(|(_, cover)| *cover > 0.0) {
            let cover = f64::from(cover).min(1.0);
            self.blend(at % self.width, at / self.width, tint, cover);
        }
    }

    fn clamped(&self, from: f64, to: f64, limit: usize) -> (f64, f64) {
        let within = |value: f64| (value * self.scale).clamp(0.0, limit as f64);
        (within(from), within(to))
    }

    fn line(&mut self, points: &[Point], stroke: &Stroke) {
        let commands: Vec<Command> = points
            .iter()
            .enumerate()
            .map(|(n, point)| match n {
                0 => Command::MoveTo(self.scaled(*point)),
                _ => Command::LineTo(self.scaled(*point)),
            })
            .collect();
        let mut style = zeno::Stroke::new((stroke.width * self.scale) as f32);
        style.join(Join::Round).cap(Cap::Butt);
        let dashes = [4.0 * self.scale as f32, 3.0 * self.scale as f32];
        if stroke.is_dashed {
            style.dash(&dashes, 0.0);
        }
        let (mask, place) = Mask::new(&commands).style(style).render();
        self.stamp(&mask, place, stroke.tint);
    }

    /// Four curves by one control point each would not be round; eight are.
    fn dot(&mut self, at: Point, radius: f64, tint: Tint) {
        let eighth = std::f64::consts::TAU / 8.0;
        let on = |angle: f64, radius: f64| {
            self.scaled((at.0 + radius * angle.cos(), at.1 + radius * angle.sin()))
        };
        let mut commands = vec![Command::MoveTo(on(0.0, radius))];
        for n in 0..8 {
            let angle = f64::from(n) * eighth;
            let control = on(angle + eighth / 2.0, radius / (eighth / 2.0).cos());
            commands.push(Command::QuadTo(control, on(angle + eighth, radius)));
        }
        commands.push(Command::Close);
        self.fill(&commands, tint);
    }

    fn text(&mut self, text: &Text) {
        let before = match text.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => font::width(&text.text, text.face) / 2.0,
            Anchor::End => font::width(&text.text, text.face),
        };
        let place = |(x, y): Point| {
            let x = x - before;
            let turned = if text.is_upright { (-y, -x) } else { (x, -y) };
            self.scaled((text.at.0 + turned.0, text.at.1 + turned.1))
        };
        let commands: Vec<Command> = font::outline(&text.text, text.face)
            .into_iter()
            .map(|piece| match piece {
                Piece::Move(to) => Command::MoveTo(place(to)),
                Piece::Line(to) => Command::LineTo(place(to)),
                Piece::Curve(by, to) => Command::QuadTo(place(by), place(to)),
                Piece::Close => Command::Close,
            })
            .collect();
        self.fill(&commands, text.face.tint);
    }

    fn fill(&mut self, commands: &[Command], tint: Tint) {
        if commands.is_empty() {
            return;
        }
        let (mask, place) = Mask::new(commands).render();
        self.stamp(&mask, place, tint);
    }

    fn scaled(&self, (x, y): Point) -> Vector {
        Vector::new((x * self.scale) as f32, (y * self.scale) as f32)
    }

    fn stamp(&mut self, mask: &[u8], place: Placement, tint: Tint) {
        for (n, cover) in mask.iter().enumerate().filter(|(_, cover)| **cover > 0) {
            let x = i64::from(place.left) + (n % place.width as usize) as i64;
            let y = i64::from(place.top) + (n / place.width as usize) as i64;
            if let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) {
                self.blend(x, y, tint, f64::from(*cover) / 255.0);
            }
        }
    }

    fn blend(&mut self, x: usize, y: usize, tint: Tint, cover: f64) {
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (y * self.width + x) * 3;
        for (below, above) in self.pixels[at..at + 3].iter_mut().zip(tint.light()) {
            let mixed = f64::from(*below) * (1.0 - cover) + f64::from(above) * cover;
            *below = mixed.round() as u8;
        }
    }
}

/// How much of pixel `n` lies between two edges.
fn covered(n: usize, from: f64, to: f64) -> f64 {
    (to.min(n as f64 + 1.0) - from.max(n as f64)).clamp(0.0, 1.0)
}

/// Eight bits for each of red, green and blue; rows as differences to the row above, which pack well.
fn encode(width: usize, height: usize, pixels: &[u8]) -> Vec<u8> {
    let stride = width * 3;
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::new(6));
    let mut above = vec![0; stride];
    for row in pixels.chunks_exact(stride) {
        let up: Vec<u8> = row.iter().zip(&above).map(|(a, b)| a.wrapping_sub(*b)).collect();
        rows.write_all(&[2]).and_then(|()| rows.write_all(&up)).expect("memory takes every byte");
        above.copy_from_slice(row);
    }
    let packed = rows.finish().expect("memory takes every byte");
    let size = |length: usize| u32::try_from(length).expect("a picture's sides are bounded");
    let mut header = [size(width).to_be_bytes(), size(height).to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, content) in [(b"IHDR", header.as_slice()), (b"IDAT", &packed), (b"IEND", &[])] {
        chunk(&mut file, name, content);
    }
    file
}

fn chunk(file: &mut Vec<u8>, name: &[u8; 4], content: &[u8]) {
    let length = u32::try_from(content.len()).expect("a picture's bytes are bounded");
    file.extend(length.to_be_bytes());
    let mut crc = Crc::new();
    for part in [name.as_slice(), content] {
        crc.update(part);
        file.extend(part);
    }
    file.extend(crc.sum().to_be_bytes());
}
