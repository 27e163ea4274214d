//! A folder on a file system that has no idmapped mounts.

use std::io::ErrorKind;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast_hardware_tests::harness::skipped;

/// Kinds that kernels have without a server of another's.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// As in containers and live systems.
    Overlay,
    /// As simple as one can be.
    Ram,
    /// A file system that a program makes.
    Fuse,
}

impl Kind {
    /// All that can be had here; says loudly what cannot.
    pub fn all() -> Vec<Self> {
        let bindfs = Command::new("bindfs").arg("--version").output();
        let mut all = vec![Self::Overlay, Self::Ram];
        match bindfs.map_err(|error| error.kind()) {
            Err(ErrorKind::NotFound) => skipped("bindfs makes a file system of FUSE"),
            Ok(_) | Err(_) => all.push(Self::Fuse),
        }
        all
    }
}

/// Such a folder; dropped, it is gone.
pub struct Unmapped {
    place: PathBuf,
    _layers: tempfile::TempDir,
}

impl Unmapped {
    /// Mounts one at `place`, which `uid` owns.
    pub fn mount(kind: Kind, place: &Path, uid: u32) -> Self {
        let layers = tempfile::Builder::new()
            .prefix("holdfast-layers-")
            .tempdir()
            .unwrap();
        let mut mount = Command::new("mount");
        match kind {
            Kind::Overlay => {
                let [lower, upper, work] = ["lower", "upper", "work"].map(|name| {
                    let layer = layers.path().join(name);
                    std::fs::create_dir(&layer).unwrap();
                    layer.display().to_string()
                });
                let layers = format!("lowerdir={lower},upperdir={upper},workdir={work}");
                mount.args(["-t", "overlay", "overlay", "-o", &layers]);
            }
            Kind::Ram => {
                mount.args(["-t", "ramfs", "ramfs"]);
            }
            Kind::Fuse => {
                mount = Command::new("bindfs");
                mount.arg(layers.path());
            }
        }
        assert!(mount.arg(place).status().unwrap().success());
        chown(place, Some(uid), Some(uid)).unwrap();
        Self {
            place: place.to_owned(),
            _layers: layers,
        }
    }
}

impl Drop for Unmapped {
    fn drop(&mut self) {
        let mut gone = Command::new("umount");
        let gone = gone.arg("--lazy").arg(&self.place).status();
        if !gone.is_ok_and(|status| status.success()) {
            eprintln!("left behind: {}", self.place.display());
        }
    }
}
