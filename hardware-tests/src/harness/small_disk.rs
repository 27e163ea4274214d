//! A small disk that can be filled.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory, gone when dropped.
pub struct SmallDisk {
    folder: PathBuf,
    size: usize,
}

impl SmallDisk {
    /// Puts one of so many MiB under what is in `folder`; `None` without the right to mount.
    ///
    /// # Panics
    /// When what is in the folder does not fit it.
    pub fn under(folder: &Path, mebibytes: usize) -> Option<Self> {
        let aside = folder.with_extension("aside");
        fs::rename(folder, &aside).expect("the folder to be moved aside");
        fs::create_dir(folder).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={mebibytes}m,mode=0700"))
            .arg("tmpfs")
            .arg(folder)
            .output()
            .expect("mount runs");
        if !mounted.status.success() {
            return None;
        }
        let disk = Self {
            folder: folder.to_owned(),
            size: mebibytes << 20,
        };
        let copied = Command::new("cp")
            .arg("-a")
            .arg(aside.join("."))
            .arg(folder)
            .status();
        assert!(copied.is_ok_and(|status| status.success()), "a full copy");
        Some(disk)
    }

    /// Leaves nothing of it.
    ///
    /// # Panics
    /// When it has more room than it was made with.
    pub fn fill(&self) {
        let filler = fs::File::create(self.filler()).expect("a file");
        let zeros = vec![0; 1 << 20];
        let mut written = 0;
        while let Ok(more) = std::io::Write::write(&mut &filler, &zeros) {
            written += more;
            assert!(written <= self.size, "a disk that is never full");
        }
    }

    /// Takes back what filled it.
    ///
    /// # Panics
    /// When nothing did.
    pub fn clear(&self) {
        fs::remove_file(self.filler()).expect("what filled the disk");
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a test that fails leaves a broker with open files here for a moment.
        let _done = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}
