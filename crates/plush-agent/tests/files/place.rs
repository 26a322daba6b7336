//! A destination for archives, with things around it whose every change is seen.
//!
//! Not a judge of what an archive may bring into the destination.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use plush_agent::files::root::{Root, Walk};
use plush_agent::files::unpack::{Kind, Limits, Options, UnpackError, Unpacked, unpack};

use crate::go_on;
use crate::snapshot::{self, Snapshot};

/// A place with things around it that must not be touched.
pub struct Place {
    pub dir: tempfile::TempDir,
    before: Snapshot,
}

impl Place {
    pub fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("outside/dir")).unwrap();
        fs::write(dir.path().join("outside/secret"), "secret").unwrap();
        fs::write(dir.path().join("outside/dir/file"), "file").unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        let before = snapshot::of(dir.path());
        Place { dir, before }
    }

    pub fn unpack(
        &self,
        archive: &[u8],
        options: &Options,
        walk: Walk,
    ) -> Result<Unpacked, UnpackError> {
        let path = self.dir.path().join("archive");
        fs::write(&path, archive).unwrap();
        let file = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let root = Root::open(&self.dir.path().join("root")).unwrap().walked_by(walk);
        unpack(file, options, &root, Path::new("dest"), &mut go_on)
    }

    pub fn dest(&self) -> PathBuf {
        self.dir.path().join("root/dest")
    }

    /// What is different outside the destination; the directories' own times aside, which the making of it changes.
    pub fn assert_untouched(&self, label: &str) {
        let after = snapshot::of(self.dir.path());
        let only_outside = |snapshot: &Snapshot| -> Snapshot {
            let is_outside = |path: &Path| {
                !path.starts_with("root/dest") && path != Path::new("") && path != Path::new("root")
            };
            snapshot
                .iter()
                .filter(|(path, _)| is_outside(path))
                .map(|(path, what)| (path.clone(), what.clone()))
                .collect()
        };
        assert_eq!(
            only_outside(&after),
            only_outside(&self.before),
            "{label} changed something outside"
        );
    }
}

pub fn options(kind: Kind) -> Options {
    Options { kind, strip: 0, limits: Limits::default() }
}
