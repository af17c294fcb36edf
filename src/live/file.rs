//! The file a recording is kept in.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use super::privilege::Caller;

/// Opens `path` for a recording: private to the caller, never through a symbolic link, never into a file
/// of someone else's. An old recording there is overwritten.
pub(super) fn create(path: &Path, caller: Caller) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits() | OFlag::O_NONBLOCK.bits());
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            if caller.is_other() {
                fchown(&file, Some(caller.uid.as_raw()), Some(caller.gid.as_raw()))?;
            }
            return Ok(file);
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(e),
    }
    if path.is_symlink() {
        return Err(io::Error::other("it is a symbolic link, which is not followed; name the file itself"));
    }
    let file = options.open(path)?;
    let what = file.metadata()?;
    if what.file_type().is_char_device() {
        return Ok(file);
    }
    if !what.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if ![caller.uid.as_raw(), geteuid().as_raw()].contains(&what.uid()) {
        let owner = what.uid();
        return Err(io::Error::other(format!("it exists and belongs to another user (uid {owner})")));
    }
    file.set_len(0)?;
    Ok(file)
}

/// Remembers where the last whole record ends, to cut off what a failed write left behind.
pub(super) struct Tail {
    file: File,
    whole: u64,
}

impl Tail {
    /// For a file whose position is shared with its writer.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Ok(Self { file: file.try_clone()?, whole: 0 })
    }

    /// A record was written whole.
    pub(super) fn mark(&mut self) {
        self.whole = self.file.stream_position().unwrap_or(self.whole);
    }

    /// Cuts the file after its last whole record.
    pub(super) fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.whole)?;
        self.file.seek(SeekFrom::Start(self.whole)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_file_is_private_and_an_old_one_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.pcapng");
        create(&path, Caller::find()).unwrap().write_all(b"old recording").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        create(&path, Caller::find()).unwrap().write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn links_and_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("precious");
        std::fs::write(&real, b"data").unwrap();
        let link = dir.path().join("run.pcapng");
        symlink(&real, &link).unwrap();
        assert!(create(&link, Caller::find()).unwrap_err().to_string().contains("symbolic link"));
        assert_eq!(std::fs::read(&real).unwrap(), b"data");
        assert!(create(dir.path(), Caller::find()).is_err());
    }

    #[test]
    fn a_half_written_record_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.pcapng");
        let mut file = create(&path, Caller::find()).unwrap();
        let mut tail = Tail::of(&file).unwrap();
        file.write_all(b"whole").unwrap();
        tail.mark();
        file.write_all(b"hal").unwrap();
        tail.cut().unwrap();
        file.write_all(b" end").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole end");
    }
}
