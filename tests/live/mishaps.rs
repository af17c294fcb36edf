//! Traces that do not run to their end in peace: signals, a lost interface, a full disk.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use whichhop::recording::EndReason;

use crate::lab::{Fault, Lab, Options};
use crate::report::Expected;
use crate::tool::{Bench, Ran, ran};
use crate::wire::Wire;

/// By then a trace of a silent target has sent its probes and waits.
const MIDWAY: Duration = Duration::from_millis(900);

/// Starts a trace of a target that stays silent, and lets it get midway.
fn begun(bench: &Bench, lab: &Lab) -> Child {
    let mut command = bench.trace(lab, &["--json", "198.19.0.4"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    thread::sleep(MIDWAY);
    assert!(child.try_wait().unwrap().is_none(), "the trace still runs");
    child
}

fn silent_lab(test: &str) -> Option<Lab> {
    let mut lab = Lab::for_test(test, Options::default())?;
    lab.apply(Fault::VmDropIn).unwrap();
    Some(lab)
}

/// The report is sound, and the recording replays to the same bytes.
fn assert_sound(bench: &Bench, fault: Fault, traced: &Ran) -> Wire {
    let wire = Wire::read(&bench.recording());
    let report = traced.report();
    let broken = report.unsound(&Expected::from(fault.truth()), wire.records);
    assert!(broken.is_empty(), "{}\n{}", broken.join("\n"), report.summary());
    let misconduct = wire.misconduct();
    assert!(misconduct.is_empty(), "{}", misconduct.join("\n"));
    let replayed = bench.replay(&["--json"]);
    assert_eq!(replayed.stdout, traced.stdout, "{}", bench.keep("mishap"));
    wire
}

fn is_interrupted_by(test: &str, signal: Signal) {
    let Some(lab) = silent_lab(test) else { return };
    let bench = Bench::new();
    let child = begun(&bench, &lab);
    let asked = Instant::now();
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    let traced = Ran::from(child.wait_with_output().unwrap());
    assert!(asked.elapsed() < Duration::from_secs(1), "it ends at once: {:?}", asked.elapsed());
    assert_eq!(traced.status, Some(traced.report().exit_status()), "{traced:?}");
    assert!(traced.report().caveats().iter().any(|c| c.contains("interrupted")), "{}", traced.stdout);
    let wire = assert_sound(&bench, Fault::VmDropIn, &traced);
    assert_eq!((wire.end, wire.breaks_off), (Some(EndReason::Interrupted), None));
}

#[test]
fn ctrl_c_gives_the_verdict_so_far() {
    is_interrupted_by("ctrl_c_gives_the_verdict_so_far", Signal::SIGINT);
}

#[test]
fn termination_gives_the_verdict_so_far() {
    is_interrupted_by("termination_gives_the_verdict_so_far", Signal::SIGTERM);
}

#[test]
fn a_recording_outlives_its_trace() {
    let Some(lab) = silent_lab("a_recording_outlives_its_trace") else { return };
    let bench = Bench::new();
    let child = begun(&bench, &lab);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).unwrap();
    let killed = child.wait_with_output().unwrap();
    assert_eq!((killed.status.signal(), killed.stdout.as_slice()), (Some(9), &b""[..]));
    let wire = Wire::read(&bench.recording());
    assert_eq!(wire.end, None);
    assert!(wire.records > 20, "all that was seen by then is there: {} records", wire.records);
    let replayed = bench.replay(&["--json"]);
    let report = replayed.report();
    let broken = report.unsound(&Expected::from(Fault::VmDropIn.truth()), wire.records);
    assert!(broken.is_empty(), "{}\n{}", broken.join("\n"), report.summary());
    assert!(report.caveats().iter().any(|c| c.contains("no end")), "{}", report.summary());
}

/// The interface goes away, or only down.
fn loses_the_interface(test: &str, how: &str) {
    let Some(lab) = silent_lab(test) else { return };
    let bench = Bench::new();
    let child = begun(&bench, &lab);
    let lost = Instant::now();
    lab.client().ip(how).unwrap();
    let traced = Ran::from(child.wait_with_output().unwrap());
    assert!(lost.elapsed() < Duration::from_secs(12), "it ends: {:?}", lost.elapsed());
    assert_eq!(traced.status, Some(traced.report().exit_status()), "{traced:?}");
    assert!(traced.stderr.contains("eth0"), "it is said: {:?}", traced.stderr);
    assert_sound(&bench, Fault::VmDropIn, &traced);
}

#[test]
fn an_interface_may_be_removed_meanwhile() {
    loses_the_interface("an_interface_may_be_removed_meanwhile", "link del eth0\n");
}

#[test]
fn an_interface_may_go_down_meanwhile() {
    loses_the_interface("an_interface_may_go_down_meanwhile", "link set eth0 down\n");
}

#[test]
fn a_full_disk_costs_the_recording_and_not_the_report() {
    let test = "a_full_disk_costs_the_recording_and_not_the_report";
    let Some(mut lab) = Lab::for_test(test, Options::default()) else { return };
    lab.apply(Fault::EdgeReset).unwrap();
    let bench = Bench::new();
    let recording = bench.path().join("small/run.pcapng");
    fs::create_dir(bench.path().join("small")).unwrap();
    // The mount is private to what `ip netns exec` runs. One page holds about half of a recording.
    let script = "mount -t tmpfs -o size=4k tmpfs \"$1/small\" || exit 77\n\
                  \"$2\" trace --json -w \"$1/small/run.pcapng\" 198.19.0.4\n\
                  status=$?; cp \"$1/small/run.pcapng\" \"$1/run.pcapng\"; exit $status";
    let mut command = lab.client().command("sh");
    let traced = ran(command.args(["-c", script, "sh"]).arg(bench.path()).arg(bench.program()));
    assert_eq!(traced.status, Some(2), "{traced:?}");
    let said = format!("cannot write the recording {}: No space left on device", recording.display());
    assert!(traced.stderr.contains(&said), "{}", traced.stderr);
    let wire = assert_sound(&bench, Fault::EdgeReset, &traced);
    assert!(wire.records > 10, "what fitted is there: {} records", wire.records);
    assert_eq!(wire.breaks_off, None, "and ends with a whole record");
}

#[test]
fn a_disk_full_from_the_start_is_said() {
    let Some(lab) = Lab::for_test("a_disk_full_from_the_start_is_said", Options::default()) else { return };
    let bench = Bench::new();
    let mut command: Command = lab.client().command(bench.program());
    let traced = ran(command.args(["trace", "-w", "/dev/full", "198.19.0.4"]));
    assert_eq!(traced.status, Some(2), "{traced:?}");
    assert!(traced.stderr.contains("recording /dev/full: No space left"), "{}", traced.stderr);
}
