//! What a trace may still do while it runs, and who it is.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::inspect::{has_landlock, open_within, privileges, threads, wait_until};
use crate::lab::{Fault, Lab, Options};
use crate::report::Expected;
use crate::tool::{Bench, NOBODY, Ran, ran};
use crate::wire::Wire;

const USER: u32 = 4321;

fn silent_lab(test: &str) -> Option<Lab> {
    let mut lab = Lab::for_test(test, Options::default())?;
    lab.apply(Fault::VmDropIn).unwrap();
    Some(lab)
}

/// Looks into a trace while it runs, as the user it should have become, and ends it.
fn is_confined(bench: &Bench, command: &mut Command, uid: u32) -> Ran {
    let child: Child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let process = child.id();
    let recorded = || fs::metadata(bench.recording()).is_ok_and(|meta| meta.len() > 4000);
    wait_until("frames are recorded", recorded);
    for (thread, status) in threads(process) {
        assert_eq!(status["Name"], "whichhop");
        let broken = privileges(&status, uid, uid);
        assert!(broken.is_empty(), "thread {thread}: {}", broken.join(", "));
        if has_landlock() {
            let recording = bench.recording();
            for file in ["/etc/passwd", "/proc/self/maps", recording.to_str().unwrap()] {
                assert_eq!(open_within(thread, file), Err(Errno::EACCES), "thread {thread}: {file}");
            }
        }
    }
    kill(Pid::from_raw(process as i32), Signal::SIGINT).unwrap();
    Ran::from(child.wait_with_output().unwrap())
}

/// It went on unharmed after it was looked into.
fn is_sound(bench: &Bench, traced: &Ran) {
    let wire = Wire::read(&bench.recording());
    let broken = traced.report().unsound(&Expected::from(Fault::VmDropIn.truth()), wire.records);
    assert!(broken.is_empty(), "{}\n{}", broken.join("\n"), traced.report().summary());
    assert!(wire.misconduct().is_empty());
}

#[test]
fn root_becomes_nobody() {
    let Some(lab) = silent_lab("root_becomes_nobody") else { return };
    let bench = Bench::new();
    let traced = is_confined(&bench, &mut bench.trace(&lab, &["--json", "198.19.0.4"]), NOBODY);
    is_sound(&bench, &traced);
    assert_eq!(traced.stderr, "");
}

#[test]
fn under_sudo_it_becomes_the_caller() {
    let Some(lab) = silent_lab("under_sudo_it_becomes_the_caller") else { return };
    let bench = Bench::new();
    let mut command = bench.trace(&lab, &["--json", "198.19.0.4"]);
    command.env("SUDO_UID", USER.to_string()).env("SUDO_GID", USER.to_string());
    let traced = is_confined(&bench, &mut command, USER);
    is_sound(&bench, &traced);
    assert_eq!(traced.stderr, "");
}

/// An ordinary user with the one capability, as setcap(8) grants it.
#[test]
fn cap_net_raw_alone_is_enough() {
    let Some(lab) = silent_lab("cap_net_raw_alone_is_enough") else { return };
    let bench = Bench::new();
    let mut command = lab.client().command("setpriv");
    let id = USER.to_string();
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
    command.args([
        "--inh-caps=-all,+net_raw",
        "--ambient-caps=-all,+net_raw",
        "--bounding-set=-all,+net_raw",
    ]);
    command.args([bench.program(), "trace", "--json", "-w"]).arg(bench.recording()).arg("198.19.0.4");
    command.env_remove("SUDO_UID").env_remove("SUDO_GID").stdin(Stdio::null());
    let traced = is_confined(&bench, &mut command, USER);
    is_sound(&bench, &traced);
    assert_eq!(traced.stderr, "");
    assert!(Wire::read(&bench.recording()).syns.len() > 2, "it captures and crafts");
}

/// Root of a container that may neither become another user nor change owners.
#[test]
fn root_without_setuid_says_whom_it_speaks_for() {
    let Some(lab) = silent_lab("root_without_setuid_says_whom_it_speaks_for") else { return };
    let bench = Bench::new();
    let mut command = lab.client().command("setpriv");
    command.args([
        "--inh-caps=-all,+net_raw",
        "--ambient-caps=-all,+net_raw",
        "--bounding-set=-all,+net_raw",
    ]);
    command.args([bench.program(), "trace", "--json", "-w"]).arg(bench.recording()).arg("198.19.0.4");
    command.env("SUDO_UID", USER.to_string()).env("SUDO_GID", USER.to_string()).stdin(Stdio::null());
    let traced = is_confined(&bench, &mut command, 0);
    is_sound(&bench, &traced);
    assert!(traced.stderr.contains("without CAP_SETUID"), "{}", traced.stderr);
}

/// Rules of the client's firewall that tell users apart see the caller, whoever crafts the probes.
#[test]
fn the_connection_is_the_callers() {
    let Some(lab) = Lab::for_test("the_connection_is_the_callers", Options::default()) else { return };
    let drop_of = |user: u32| {
        let rule = format!("meta skuid {user} tcp dport 22 drop");
        format!(
            "flush ruleset\ntable inet whose {{\nchain out {{\ntype filter hook output priority 0\n{rule}\n}}\n}}\n"
        )
    };
    for (sudo, user) in [(Some(USER), USER), (None, 0)] {
        for dropped in [user, 1] {
            lab.client().nft(&drop_of(dropped)).unwrap();
            let bench = Bench::new();
            let mut command = bench.trace(&lab, &["--json", "198.19.0.4"]);
            if let Some(uid) = sudo {
                command.env("SUDO_UID", uid.to_string()).env("SUDO_GID", uid.to_string());
            }
            let traced = ran(&mut command);
            let expected = if dropped == user { "local-failure" } else { "open" };
            assert_eq!(
                traced.report().outcome(),
                expected,
                "sudo {sudo:?}, dropped {dropped}: {}",
                traced.stdout
            );
        }
    }
}

#[test]
fn a_recording_belongs_to_the_caller_alone() {
    let Some(lab) = Lab::for_test("a_recording_belongs_to_the_caller_alone", Options::default()) else {
        return;
    };
    let bench = Bench::new();
    let mut command = bench.trace(&lab, &["--json", "198.19.0.4"]);
    command.env("SUDO_UID", USER.to_string()).env("SUDO_GID", USER.to_string());
    let traced = ran(&mut command);
    assert_eq!(traced.status, Some(0), "{traced:?}");
    let meta = fs::metadata(bench.recording()).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (USER, USER, 0o600));
    // Again, over the old one.
    let traced = ran(&mut command);
    assert_eq!(traced.status, Some(0), "{traced:?}");
    // But not over another user's, though root could.
    chown(bench.recording(), Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(bench.recording(), Permissions::from_mode(0o666)).unwrap();
    let before = fs::read(bench.recording()).unwrap();
    let traced = ran(&mut command);
    assert_eq!(traced.status, Some(2), "{traced:?}");
    assert!(traced.stderr.contains("belongs to another user"), "{}", traced.stderr);
    assert!(fs::read(bench.recording()).unwrap() == before, "it is untouched");
}
