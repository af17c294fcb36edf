//! What `replay` and `attempts` may still do while they read: nothing.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod inspect;

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::unistd::{getegid, geteuid};

use inspect::{has_landlock, open_within, privileges, threads, wait_until};

/// The user whom sudo speaks for here.
const CALLER: u32 = 4321;
const CALLERS_GROUP: u32 = 4322;

/// A recording of the project's own, to be fed in part.
fn some_recording() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/azure-reset/capture.pcapng");
    fs::read(path).expect("a fixture")
}

/// Starts a verb that reads standard input, and feeds it half a capture, so that it waits for the rest.
fn reading(verb: &[&str], variables: &[(&str, &str)]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whichhop"));
    command.args(verb).env_remove("SUDO_UID").env_remove("SUDO_GID").envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let recording = some_recording();
    child.stdin.as_mut().unwrap().write_all(&recording[..recording.len() / 2]).unwrap();
    child
}

/// Whom the process should have become, given whom sudo speaks for.
fn expected(caller: Option<(u32, u32)>) -> (u32, u32) {
    match (geteuid().is_root(), caller) {
        (true, Some(caller)) => caller,
        (true, None) => (65_534, 65_534),
        (false, _) => (geteuid().as_raw(), getegid().as_raw()),
    }
}

fn is_confined(mut child: Child, caller: Option<(u32, u32)>) {
    let (uid, gid) = expected(caller);
    let process = child.id();
    wait_until("it gives up its privileges", || threads(process).iter().all(|(_, t)| t["NoNewPrivs"] == "1"));
    // It gives up files last.
    wait_until("it reads", || {
        fs::read_to_string(format!("/proc/{process}/wchan"))
            .is_ok_and(|w| w.contains("pipe") || w.contains("poll"))
    });
    for (thread, status) in threads(process) {
        let broken = privileges(&status, uid, gid);
        assert!(broken.is_empty(), "thread {thread}: {}", broken.join(", "));
        if geteuid().is_root() {
            assert_eq!(status["CapBnd"], "0000000000000000");
            assert_eq!(status["Groups"], "");
        }
        if has_landlock() {
            for file in ["/etc/hostname", "/etc/passwd", "/proc/self/status", "/dev/null"] {
                assert_eq!(open_within(thread, file), Err(Errno::EACCES), "thread {thread}: {file}");
            }
        }
    }
    let rest = some_recording();
    child.stdin.take().unwrap().write_all(&rest[rest.len() / 2..]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1 | 3)), "it goes on unharmed: {output:?}");
    assert!(!output.stdout.is_empty());
}

#[test]
fn replay_keeps_no_privilege() {
    is_confined(reading(&["replay", "-"], &[]), None);
}

#[test]
fn attempts_keeps_no_privilege() {
    is_confined(reading(&["attempts", "-p", "any", "-"], &[]), None);
}

#[test]
fn under_sudo_it_is_the_caller_who_reads() {
    let (uid, gid) = (CALLER.to_string(), CALLERS_GROUP.to_string());
    let child = reading(&["attempts", "-"], &[("SUDO_UID", &uid), ("SUDO_GID", &gid)]);
    is_confined(child, Some((CALLER, CALLERS_GROUP)));
}

/// Files that are opened when their time has come, in a folder that root alone may enter.
#[test]
fn files_of_root_alone_are_read_to_the_last() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_whichhop"));
    command.args(["attempts", "-p", "any", "--json"]);
    for number in 0..3 {
        let path = folder.path().join(format!("{number}.pcapng"));
        let mut file = File::create(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        file.write_all(&some_recording()).unwrap();
        command.arg(path);
    }
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{output:?}");
    assert!(!output.stdout.is_empty());
}
