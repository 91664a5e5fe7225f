//! A log file that stays within a bound: full, it becomes the old one, of which there is one.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The most that one file holds; with the old one, twice that.
pub const MAX_BYTES: u64 = 5 * 1024 * 1024;

/// A log file.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
}

impl RotatingFile {
    /// Opens a file to go on at its end.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::with_bound(path, MAX_BYTES)
    }

    fn with_bound(path: &Path, max_bytes: u64) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            file,
            bytes,
            max_bytes,
        })
    }

    fn rotate(&mut self) -> io::Result<()> {
        fs::rename(&self.path, self.path.with_extension("log.old"))?;
        self.file = File::options().create(true).append(true).open(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

impl Write for RotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes >= self.max_bytes {
            self.rotate()?;
        }
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_makes_room_and_one_old_one_is_kept() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("a.log");
        for round in 0..10 {
            let mut file = RotatingFile::with_bound(&path, 20).unwrap();
            for line in 0..3 {
                // At once: a line is in one file.
                let line = format!("round {round} line {line}\n");
                file.write_all(line.as_bytes()).unwrap();
            }
        }
        let names = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 2);
        assert!(fs::metadata(&path).unwrap().len() <= 40);
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .ends_with("round 9 line 2\n")
        );
    }
}
