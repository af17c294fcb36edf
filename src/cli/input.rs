//! Where captures are read from.

mod compressed;

use std::fs::File;
use std::io::{self, IsTerminal};
#[cfg(unix)]
use std::os::fd::AsFd;
#[cfg(windows)]
use std::os::windows::io::AsHandle;
use std::path::Path;

use anyhow::{Context, bail};
use ipnet::IpNet;
use whichhop::path;

pub(super) use compressed::plain;

use super::args::{Input, Nets};

/// What standard input is called in messages.
pub(super) const STDIN: &str = "standard input";

/// Standard input, without std's buffer; unless that is a terminal: nobody types a capture.
pub(super) fn stdin() -> anyhow::Result<File> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        bail!("{STDIN}: standard input is a terminal: pipe a capture into it, or name a file");
    }
    #[cfg(unix)]
    let stdin = stdin.as_fd().try_clone_to_owned();
    #[cfg(windows)]
    let stdin = stdin.as_handle().try_clone_to_owned();
    Ok(stdin.context(STDIN)?.into())
}

/// Every network to count as Azure that was named, be it in a ServiceTags document.
pub(super) fn azure_networks(nets: &Nets) -> anyhow::Result<Vec<IpNet>> {
    let mut azure = nets.azure.clone();
    if let Some(file) = &nets.tags {
        let name = || format!("--azure-tags {}", file.display());
        let document = std::fs::read(file).with_context(name)?;
        azure.extend(path::azure_networks(&document).with_context(name)?);
    }
    Ok(azure)
}

/// Whether an input is a file that can be read anew.
pub(super) fn is_regular(input: &Input) -> bool {
    match input {
        Input::Stdin => false,
        Input::File(path) => path.metadata().is_ok_and(|about| about.is_file()),
    }
}

/// Lets as many files be open at once as this process may have: shells allow fewer, for the sake of select(2).
pub(super) fn open_as_many_as_allowed() {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        // Where it fails, opening one too many will say so.
        if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
        }
    }
}

/// Opens a file that may hold a capture.
pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        bail!("{}: is a directory; name a pcap or pcapng file in it", path.display());
    }
    Ok(file)
}
