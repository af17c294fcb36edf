//! Runs the program: traces on the lab's client, replays without any privilege.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::lab::Lab;
use crate::report::Report;

/// A user that has no privilege and owns nothing.
pub(crate) const NOBODY: u32 = 65534;

/// A directory for one trace, open to everybody, and a program that everybody can run.
pub(crate) struct Bench {
    directory: TempDir,
    program: PathBuf,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Private to the user whom a test traces as, or a recording there would belong to somebody else.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        let built = PathBuf::from(env!("CARGO_BIN_EXE_whichhop"));
        let program = if is_open_to_all(&built) { built } else { copy(&built, directory.path()) };
        Self { directory, program }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where the recording goes.
    pub(crate) fn recording(&self) -> PathBuf {
        self.path().join("run.pcapng")
    }

    /// The program, as text for a command line.
    pub(crate) fn program(&self) -> &str {
        self.program.to_str().expect("UTF-8")
    }

    /// A trace by root, to be recorded.
    pub(crate) fn trace(&self, lab: &Lab, arguments: &[&str]) -> Command {
        self.complete(lab.client().command(self.program()), arguments)
    }

    /// A trace by a user without privilege, to be recorded.
    pub(crate) fn trace_as(&self, user: u32, lab: &Lab, arguments: &[&str]) -> Command {
        self.complete(lab.client().command_as(user, self.program()), arguments)
    }

    fn complete(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(["trace", "-w"]).arg(self.recording()).args(arguments);
        // Whoever runs the tests with sudo is not who traces.
        command.env_remove("SUDO_UID").env_remove("SUDO_GID").stdin(Stdio::null());
        command
    }

    /// Replays the recording as nobody.
    pub(crate) fn replay(&self, arguments: &[&str]) -> Ran {
        let recording = self.recording();
        chown(&recording, Some(NOBODY), Some(NOBODY)).expect("there is a recording");
        let id = NOBODY.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups", self.program(), "replay"]);
        ran(command.args(arguments).arg(recording))
    }

    /// Keeps the recording for whoever looks into a failure; says where.
    pub(crate) fn keep(&self, name: &str) -> String {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pcapng"));
        match fs::copy(self.recording(), &kept) {
            Ok(_) => format!("the recording is {}", kept.display()),
            Err(e) => format!("the recording could not be kept: {e}"),
        }
    }
}

/// What a run of the program came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn report(&self) -> Report {
        Report::parse(&self.stdout)
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Runs a command to its end.
pub(crate) fn ran(command: &mut Command) -> Ran {
    command.output().unwrap_or_else(|e| panic!("{command:?}: {e}")).into()
}

fn is_open_to_all(file: &Path) -> bool {
    file.ancestors().all(|path| fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 1 == 1))
}

fn copy(program: &Path, directory: &Path) -> PathBuf {
    let copy = directory.join("whichhop");
    fs::copy(program, &copy).unwrap();
    fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
    copy
}
