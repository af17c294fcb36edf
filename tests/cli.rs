//! The program as a script or a person meets it: help, exit status, and what it says of bad input.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use insta::assert_snapshot;

fn whichhop(args: &[&str]) -> Output {
    Command::cargo_bin("whichhop").unwrap().args(args).output().unwrap()
}

/// Runs with arguments that are refused: status 2, nothing on standard output. Gives what was said.
fn refused(args: &[&str]) -> String {
    let output = whichhop(args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    assert!(output.stdout.is_empty(), "{args:?}");
    assert!(!said.contains('\x1b'), "no colour where there is no terminal: {said:?}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// The one line in which the program itself, not its argument parser, reports an error.
fn error(args: &[&str]) -> String {
    let said = refused(args);
    assert!(said.starts_with("whichhop: "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

fn help(args: &[&str]) -> String {
    let output = whichhop(args);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for line in help.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    help
}

fn file(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> String {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    text(&path)
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

mod help {
    use super::*;

    #[test]
    fn of_the_program() {
        assert_snapshot!(help(&["--help"]));
    }

    #[test]
    fn of_trace() {
        assert_snapshot!(help(&["trace", "--help"]));
    }

    #[test]
    fn of_replay() {
        assert_snapshot!(help(&["replay", "--help"]));
    }

    #[test]
    fn of_attempts() {
        assert_snapshot!(help(&["attempts", "--help"]));
    }

    #[test]
    fn is_shown_where_no_verb_is_named() {
        let said = refused(&[]);
        assert!(said.contains("Usage: whichhop") && said.contains("replay"), "{said}");
    }

    #[test]
    fn version_is_the_crates() {
        assert_eq!(help(&["--version"]), format!("whichhop {}\n", env!("CARGO_PKG_VERSION")));
    }
}

mod bad_arguments {
    use super::*;

    #[test]
    fn port_0() {
        for args in [["trace", "-p", "0", "vm1"], ["replay", "-p", "0", "x.pcap"]] {
            assert!(refused(&args).contains("nothing can listen on port 0"));
        }
        assert!(refused(&["trace", "ssh://vm1:0"]).contains("port 0"));
    }

    #[test]
    fn ports_that_are_none() {
        for port in ["65536", "-1", "ssh", ""] {
            assert!(refused(&["trace", &format!("-p{port}"), "vm1"]).contains("error:"), "{port}");
        }
    }

    #[test]
    fn networks_that_are_none() {
        for option in ["--edge-net", "--azure-net"] {
            let said = refused(&["trace", option, "10.22.0.0/33", "vm1"]);
            assert!(said.contains(option) && said.contains("10.22.0.0/16"), "{said}");
        }
    }

    #[test]
    fn times_that_are_none() {
        assert!(refused(&["trace", "--deadline", "0", "vm1"]).contains("seconds"));
        assert!(refused(&["trace", "--banner-wait", "soon", "vm1"]).contains("seconds"));
        for option in ["--from", "--until"] {
            let said = refused(&["attempts", option, "noon", "x.pcap"]);
            assert!(said.contains(option) && said.contains("2026-11-22 17:00:00 (UTC)"), "{said}");
        }
    }

    #[test]
    fn negative_times() {
        for args in [["attempts", "--settle", "-1", "x"], ["trace", "--deadline", "-0.5", "vm1"]] {
            let said = refused(&args);
            assert!(said.contains("a number of seconds from 0.001"), "{said}");
        }
    }

    #[test]
    fn a_range_without_any_time() {
        for from in ["2026-11-22 18:00", "2026-11-22 19:00"] {
            let said = refused(&["attempts", "--from", from, "--until", "2026-11-22 18:00", "x"]);
            assert!(said.contains("the range is empty"), "{said}");
        }
    }

    #[test]
    fn hosts_that_are_none() {
        assert!(refused(&["trace"]).contains("<HOST>"));
        assert!(refused(&["trace", "user@"]).contains("no host"));
        assert!(refused(&["trace", "vm1:2222"]).contains("-p 2222 vm1"));
        assert!(refused(&["trace", "--", "-oProxyCommand=true"]).contains("cannot begin"));
    }

    #[test]
    fn both_ip_versions_at_once() {
        assert!(refused(&["trace", "-4", "-6", "vm1"]).contains("cannot be used with"));
    }

    #[cfg(all(feature = "live", target_os = "linux"))]
    #[test]
    fn a_source_address_of_the_other_ip_version() {
        let said = error(&["trace", "-4", "-b", "fd22::1", "198.19.0.4"]);
        assert_eq!(said, "whichhop: bind address fd22::1 does not fit -4\n");
    }

    #[cfg(not(all(feature = "live", target_os = "linux")))]
    #[test]
    fn a_live_trace_where_there_is_none() {
        assert!(error(&["trace", "198.19.0.4"]).contains("this build replays recordings only"));
    }

    #[test]
    fn a_recording_to_standard_output() {
        assert!(refused(&["trace", "-w", "-", "vm1"]).contains("file of its own"));
    }

    #[test]
    fn captures_taken_elsewhere() {
        let said = refused(&["replay", "vm=x.pcap"]);
        assert!(said.contains("not supported yet") && said.contains("vm"), "{said}");
    }

    #[test]
    fn verbs_that_are_none() {
        assert!(refused(&["tarce", "vm1"]).contains("trace"), "the nearest verb is suggested");
    }
}

mod bad_input {
    use super::*;

    #[test]
    fn no_such_file() {
        let said = error(&["replay", "no-such-file.pcap"]);
        assert!(said.starts_with("whichhop: cannot open no-such-file.pcap: "), "{said}");
    }

    #[test]
    fn a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let name = text(dir.path());
        assert!(error(&["replay", &name]).starts_with(&format!("whichhop: {name}: is a directory")));
    }

    #[test]
    fn files_that_hold_no_capture() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in
            [("empty.pcap", &b""[..]), ("notes.txt", b"which hop drops my SSH?"), ("one.pcap", b"\xd4")]
        {
            let name = file(&dir, name, bytes);
            let named = format!("client={name}");
            for arg in [&name, &named] {
                for json in [&["replay", arg][..], &["replay", "--json", arg]] {
                    let said = error(json);
                    assert!(said.starts_with(&format!("whichhop: {name}: ")), "{said}");
                }
            }
        }
    }

    #[test]
    fn a_compressed_recording_is_replayed_as_it_is() {
        let plain = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/edge-reset/capture.pcapng");
        let bytes = fs::read(&plain).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let whole = zstd::encode_all(&bytes[..], 3).unwrap();
        let zst = file(&dir, "capture.pcapng.zst", &whole);
        let (of_plain, of_zst) =
            (whichhop(&["replay", "--json", &text(&plain)]), whichhop(&["replay", "--json", &zst]));
        assert_eq!((of_plain.status, of_plain.stdout), (of_zst.status, of_zst.stdout));
        let cut = file(&dir, "cut.pcapng.zst", &whole[..whole.len() / 2]);
        let said = error(&["replay", &cut]);
        assert!(said.contains("its zstd data end too soon"), "{said}");
    }

    #[test]
    fn a_capture_without_packets() {
        // The header of a little-endian pcap of Ethernet frames, and nothing behind it.
        let header =
            [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0];
        let dir = tempfile::tempdir().unwrap();
        let name = file(&dir, "header.pcap", &header);
        assert_eq!(
            error(&["replay", &name]),
            format!(
                "whichhop: {name}: no attempt to connect to port 22 in it (no SYN at all); name another port \
                 with -p\n"
            )
        );
    }

    #[test]
    fn a_capture_that_could_not_be_read_at_all() {
        // Frames of IP version 5.
        let header =
            [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0];
        let frame = [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0x50];
        let dir = tempfile::tempdir().unwrap();
        let name = file(&dir, "five.pcap", &[&header[..], &frame, &frame].concat());
        let output = whichhop(&["replay", &name]);
        let said = String::from_utf8(output.stderr).unwrap();
        let unread = "whichhop: frames that could not be read: 2: IP version 5 (neither 4 nor 6) (2)\n";
        assert!(said.starts_with(unread), "{said}");
        assert!(said.contains("no SYN at all"), "{said}");
        assert_eq!(output.status.code(), Some(2));
    }

    #[test]
    fn standard_input_is_named() {
        let output =
            Command::cargo_bin("whichhop").unwrap().args(["replay", "-"]).write_stdin("no capture").output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().starts_with("whichhop: standard input: "));
    }

    #[cfg(unix)]
    #[test]
    fn names_that_would_act_on_the_terminal() {
        let said = error(&["replay", "\x1b[2Jx\ny.pcap"]);
        assert!(said.contains("\\u{1b}[2Jx\\ny.pcap"), "{said:?}");
    }
}

mod azure_tags {
    use super::*;

    /// The recording of a fixture whose trace was not told which networks are Azure's.
    const RECORDING: &str =
        concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/azure-reset-azure-unknown/capture.pcapng");

    const DOCUMENT: &str = r#"{ "changeNumber": 1, "cloud": "Public", "values": [ { "name": "AzureCloud", "id": "AzureCloud",
        "properties": { "region": "", "systemService": "", "addressPrefixes": ["198.18.3.0/24", "198.19.0.0/16"] } } ] }"#;

    fn report(args: &[&str]) -> serde_json::Value {
        let output = whichhop(&[&["replay", "--json"], args].concat());
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    #[test]
    fn name_networks_as_the_option_for_one_network_does() {
        let dir = tempfile::tempdir().unwrap();
        let tags = file(&dir, "ServiceTags_Public_20260622.json", DOCUMENT.as_bytes());
        let named = report(&["--azure-net=198.18.3.0/24", "--azure-net=198.19.0.0/16", RECORDING]);
        let listed = report(&["--azure-tags", &tags, RECORDING]);
        assert_eq!(listed, named);
        assert_ne!(listed["path"], report(&[RECORDING])["path"]);
    }

    #[test]
    fn that_cannot_be_used_are_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let page = file(&dir, "page.json", b"<!DOCTYPE html>");
        let said = error(&["replay", "--azure-tags", &page, RECORDING]);
        assert!(said.starts_with(&format!("whichhop: --azure-tags {page}: it is a web page")), "{said}");
        let missing = error(&["replay", "--azure-tags", "no-such-file", RECORDING]);
        assert!(
            missing.contains("--azure-tags no-such-file: ") && missing.contains("No such file"),
            "{missing}"
        );
        let directory = text(dir.path());
        assert!(error(&["replay", "--azure-tags", &directory, RECORDING]).contains("directory"));
    }
}
