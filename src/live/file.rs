//! The file a recording is kept in.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, fchown};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;

use super::privilege::Caller;

/// Symbolic links followed on the way to a file, at most (as Linux does).
const MOST_LINKS: usize = 40;

const PIPE: &str = "it is a pipe or a socket, and a recording needs a regular file";

/// Opens `path` for a recording: private to the caller, never through a symbolic link that a stranger can have put
/// there, never into a file of someone else's. An old recording there is overwritten.
pub(super) fn create(path: &Path, caller: Caller) -> io::Result<File> {
    let Some(name) = path.file_name() else { return Err(io::Error::other("it names no file")) };
    let folder = folder(path.parent().unwrap_or(Path::new("")), caller)?;
    let flags = OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let private = Mode::S_IRUSR | Mode::S_IWUSR;
    match openat(&folder, name, flags | OFlag::O_CREAT | OFlag::O_EXCL, private) {
        Ok(file) => {
            let file = File::from(file);
            if caller.is_other() {
                fchown(&file, Some(caller.uid.as_raw()), Some(caller.gid.as_raw()))?;
            }
            return Ok(file);
        }
        Err(Errno::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let file = match openat(&folder, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::ELOOP) => {
            return Err(io::Error::other(
                "it is a symbolic link, which is not followed; name the file itself",
            ));
        }
        // What has no file behind it, and nobody who reads from it.
        Err(Errno::ENXIO) => return Err(io::Error::other(PIPE)),
        Err(error) => return Err(error.into()),
    };
    let what = file.metadata()?;
    if what.file_type().is_fifo() {
        return Err(io::Error::other(PIPE));
    }
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
    if what.nlink() > 1 {
        return Err(io::Error::other("it exists and has other names (hard links); remove it first"));
    }
    file.set_len(0)?;
    Ok(file)
}

/// Opens the folder at `path`, component by component. Symbolic links are followed only out of folders that no stranger
/// can write to.
fn folder(path: &Path, caller: Caller) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let from = |start: &str| open(start, flags, Mode::empty());
    let mut here = from(".")?;
    let mut rest: VecDeque<OsString> = parts(path).collect();
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        if part == "/" {
            here = from("/")?;
            continue;
        }
        match openat(&here, part.as_os_str(), flags | OFlag::O_NOFOLLOW, Mode::empty()) {
            Ok(next) => here = next,
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                let target = readlinkat(&here, part.as_os_str()).map_err(|_| Errno::ENOTDIR)?;
                if !is_ours(&here, caller)? {
                    return Err(io::Error::other(format!(
                        "{} is a symbolic link that a stranger can have made; name the real folder",
                        part.display()
                    )));
                }
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::ELOOP.into());
                }
                for part in parts(Path::new(&target)).collect::<Vec<_>>().into_iter().rev() {
                    rest.push_front(part);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(here)
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter(|c| *c != Component::CurDir).map(|c| c.as_os_str().to_owned())
}

/// Whether no stranger can put anything into a folder.
fn is_ours(folder: impl AsFd, caller: Caller) -> io::Result<bool> {
    let what = File::from(folder.as_fd().try_clone_to_owned()?).metadata()?;
    let known = [0, caller.uid.as_raw(), geteuid().as_raw()].contains(&what.uid());
    Ok(known && what.mode() & 0o002 == 0)
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
    use std::fs::{self, Permissions};
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_file_is_private_and_an_old_one_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.pcapng");
        create(&path, Caller::find().0).unwrap().write_all(b"old recording").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        create(&path, Caller::find().0).unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn links_and_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("precious");
        fs::write(&real, b"data").unwrap();
        let link = dir.path().join("run.pcapng");
        symlink(&real, &link).unwrap();
        assert!(create(&link, Caller::find().0).unwrap_err().to_string().contains("symbolic link"));
        assert_eq!(fs::read(&real).unwrap(), b"data");
        assert!(create(dir.path(), Caller::find().0).is_err());
    }

    #[test]
    fn a_link_in_a_folder_that_all_may_write_to_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (open, real) = (dir.path().join("open"), dir.path().join("real"));
        for folder in [&open, &real] {
            fs::create_dir(folder).unwrap();
        }
        symlink("../real", open.join("link")).unwrap();
        let caller = Caller::find().0;
        create(&open.join("link/run.pcapng"), caller).unwrap();
        assert!(real.join("run.pcapng").exists(), "so long as the folder is ours");
        for mode in [0o777, 0o1777] {
            fs::set_permissions(&open, Permissions::from_mode(mode)).unwrap();
            let refused = create(&open.join("link/other.pcapng"), caller).unwrap_err().to_string();
            assert!(refused.contains("a stranger can have made"), "{refused}");
            assert!(!real.join("other.pcapng").exists());
        }
        // A link of ours that leads to one of a stranger's is no better.
        symlink(open.join("link"), dir.path().join("detour")).unwrap();
        assert!(create(&dir.path().join("detour/other.pcapng"), caller).is_err());
        symlink("loop", dir.path().join("loop")).unwrap();
        assert!(create(&dir.path().join("loop/run.pcapng"), caller).is_err());
        create(&open.join("../real/./up.pcapng"), caller).unwrap();
    }

    #[test]
    fn pipes_and_other_names_of_a_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let caller = Caller::find().0;
        let (precious, other) = (dir.path().join("precious"), dir.path().join("run.pcapng"));
        fs::write(&precious, "data").unwrap();
        fs::hard_link(&precious, &other).unwrap();
        assert!(create(&other, caller).unwrap_err().to_string().contains("hard links"));
        assert_eq!(fs::read(&precious).unwrap(), b"data");
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let refused = || create(&pipe, caller).unwrap_err().to_string();
        assert!(refused().contains("needs a regular file"), "and nobody waits for a reader");
        let _reader = File::options().read(true).write(true).open(&pipe).unwrap();
        assert!(refused().contains("needs a regular file"));
    }

    #[test]
    fn a_half_written_record_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.pcapng");
        let mut file = create(&path, Caller::find().0).unwrap();
        let mut tail = Tail::of(&file).unwrap();
        file.write_all(b"whole").unwrap();
        tail.mark();
        file.write_all(b"hal").unwrap();
        tail.cut().unwrap();
        file.write_all(b" end").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole end");
    }
}
