//! The colours of pictures, by what they mean; each has a value on a light ground and one on a dark ground.
//! Not the colours of a terminal.

use crate::render::words;
use plush_protocol::view::HostState;

/// A colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tint {
    /// What everything is drawn on.
    Ground,
    /// Text and what matters.
    Ink,
    /// Text that explains.
    Muted,
    /// Lines that only guide the eye.
    Grid,
    /// The n-th of several things that are alike; they repeat after [`Tint::SERIES`].
    Series(usize),
    /// A state of hosts.
    State(HostState),
    /// Something went wrong.
    Bad,
}

/// Red, green and blue.
pub type Rgb = [u8; 3];

impl Tint {
    /// So many colours tell series apart.
    pub const SERIES: usize = 8;

    /// Every colour, for a style sheet.
    pub fn all() -> Vec<Tint> {
        let states = [
            HostState::Connecting,
            HostState::Preparing,
            HostState::Ready,
            HostState::Running,
            HostState::Stopping,
            HostState::Collecting,
            HostState::Cleaning,
            HostState::Done,
            HostState::Failed,
            HostState::Spare,
        ];
        let plain = [Tint::Ground, Tint::Ink, Tint::Muted, Tint::Grid, Tint::Bad];
        let series = (0..Tint::SERIES).map(Tint::Series);
        plain.into_iter().chain(series).chain(states.map(Tint::State)).collect()
    }

    /// Its name in a style sheet.
    pub fn name(self) -> String {
        match self {
            Tint::Ground => "ground".into(),
            Tint::Ink => "ink".into(),
            Tint::Muted => "muted".into(),
            Tint::Grid => "grid".into(),
            Tint::Series(n) => format!("s{}", n % Tint::SERIES),
            Tint::State(state) => words::state(state).into(),
            Tint::Bad => "bad".into(),
        }
    }

    /// On a light ground.
    pub fn light(self) -> Rgb {
        match self {
            Tint::Ground => [255, 255, 255],
            Tint::Ink => [27, 31, 36],
            Tint::Muted => [88, 96, 107],
            Tint::Grid => [226, 230, 234],
            Tint::Series(n) => LIGHT[n % Tint::SERIES],
            Tint::State(state) => light_state(state),
            Tint::Bad => [196, 43, 48],
        }
    }

    /// On a dark ground.
    pub fn dark(self) -> Rgb {
        match self {
            Tint::Ground => [20, 23, 27],
            Tint::Ink => [230, 232, 235],
            Tint::Muted => [154, 164, 176],
            Tint::Grid => [47, 53, 60],
            Tint::Series(n) => DARK[n % Tint::SERIES],
            Tint::State(state) => dark_state(state),
            Tint::Bad => [255, 123, 114],
        }
    }
}

const LIGHT: [Rgb; Tint::SERIES] = [
    [33, 102, 190],
    [214, 104, 0],
    [31, 136, 84],
    [134, 74, 199],
    [196, 43, 48],
    [0, 139, 148],
    [140, 100, 40],
    [196, 64, 140],
];

const DARK: [Rgb; Tint::SERIES] = [
    [110, 170, 255],
    [246, 161, 75],
    [98, 200, 140],
    [190, 150, 255],
    [255, 123, 114],
    [80, 205, 212],
    [212, 172, 110],
    [242, 140, 196],
];

fn light_state(state: HostState) -> Rgb {
    match state {
        HostState::Connecting => [158, 170, 186],
        HostState::Preparing => [232, 163, 61],
        HostState::Ready => [116, 171, 226],
        HostState::Running => [46, 148, 96],
        HostState::Stopping => [176, 122, 214],
        HostState::Collecting => [146, 106, 196],
        HostState::Cleaning => [198, 180, 222],
        HostState::Done => [236, 239, 242],
        HostState::Failed => [206, 60, 62],
        HostState::Spare => [246, 247, 248],
    }
}

fn dark_state(state: HostState) -> Rgb {
    match state {
        HostState::Connecting => [96, 108, 124],
        HostState::Preparing => [204, 138, 42],
        HostState::Ready => [74, 134, 196],
        HostState::Running => [54, 160, 106],
        HostState::Stopping => [150, 100, 190],
        HostState::Collecting => [124, 88, 172],
        HostState::Cleaning => [98, 84, 122],
        HostState::Done => [38, 43, 49],
        HostState::Failed => [224, 84, 80],
        HostState::Spare => [28, 32, 37],
    }
}
