//! Whatever the network, a file or the command line says: nothing that is printed acts on a terminal, misleads a reader,
//! or gives a shell more than it should get.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use whichhop::packet::{LinkType, MacAddr, SeqNumber, build};
use whichhop::recording::{
    ConnectStage, Direction, EndReason, Event, InterfaceInfo, Route, Start, Target, Timestamp, Writer,
    escape_bytes, is_hostile,
};

/// What a hostile host, DNS server or file may say.
const SAYINGS: [&str; 6] = [
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m",
    "all is well\r\nVerdict: nobody\n\u{8}\u{8}\u{7f}",
    "vm\u{202e}gnp.exe\u{2066}\u{200b}\u{feff}\u{e0041}\u{3164}",
    "-oProxyCommand=touch\u{20}/tmp/owned",
    "$(reboot)`id`;'\"&|<>*",
    "\u{0}\u{1}\u{2028}\u{85}",
];

const CLIENT: &str = "10.22.1.2:50000";
const SERVER: &str = "198.19.0.4:22";

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A recording in which everything that is text is `saying`, and the server's first line too.
fn recording(saying: &str) -> Vec<u8> {
    let (client, server) = (socket(CLIENT), socket(SERVER));
    let mut writer = Writer::new(Vec::new()).unwrap();
    writer.interface(&InterfaceInfo { name: saying.to_owned(), link: LinkType::ETHERNET }).unwrap();
    let mut at = 1_600_000_000_000_000_000;
    let mut time = || {
        at += 1_000_000;
        Timestamp::from_nanos(at)
    };
    let said = || saying.to_owned();
    let connect = |stage| Event::Connect { id: 0, server, client: Some(client), stage };
    let mut event = |event: Event| writer.event(time(), &event).map(drop).unwrap();
    event(Event::Start(Box::new(Start {
        version: said(),
        seed: 1,
        target: Target { name: Some(said()), addresses: vec![server.ip()], port: 22 },
        captured: true,
        edge_nets: vec![],
        azure_nets: vec![],
        deadline_ms: 10_000,
        banner_wait_ms: 5_000,
        uid: 1000,
        contained: false,
        deep: false,
    })));
    event(Event::Route(Route {
        destination: server.ip(),
        interface: Some(said()),
        gateway: None,
        source: Some(client.ip()),
        mac: None,
        error: None,
    }));
    event(connect(ConnectStage::Started));
    event(Event::SendFailed { interface: said(), errno: 1, error: said() });
    event(Event::CaptureLost { interface: said(), error: said() });
    event(Event::Tunnel { interface: said(), read: 7 });
    event(Event::Unprivileged { missing: said() });
    event(Event::Deadline { why: said() });
    event(connect(ConnectStage::Established));
    event(connect(ConnectStage::Received { data: escape_bytes(format!("{saying}\r\n").as_bytes()) }));
    event(connect(ConnectStage::Received { data: said() }));
    event(connect(ConnectStage::Broken { errno: 104, error: said() }));
    event(Event::End { reason: EndReason::Settled });
    writer.finish().unwrap()
}

/// A capture by another program of a connection whose server says `line` first.
fn capture(line: &[u8]) -> Vec<u8> {
    let (client, server) = (socket(CLIENT), socket(SERVER));
    let mut writer = Writer::new(Vec::new()).unwrap();
    writer.interface(&InterfaceInfo { name: "eth0".to_owned(), link: LinkType::ETHERNET }).unwrap();
    let syn = build::syn(&build::Syn::plain(client, server, SeqNumber(1000)));
    let segment = |from: SocketAddr, to: SocketAddr, seq: u32, ack: u32, flags: u8, data: &[u8]| {
        let reset = build::Reset { source: from, destination: to, seq: SeqNumber(seq), identification: 1 };
        let mut packet = build::reset(&reset);
        packet[28..32].copy_from_slice(&ack.to_be_bytes());
        packet[33] = flags;
        packet.extend_from_slice(data);
        let length = (packet.len() as u16).to_be_bytes();
        packet[2..4].copy_from_slice(&length);
        packet
    };
    let packets = [
        syn,
        segment(server, client, 5000, 1001, 0x12, b""),
        segment(client, server, 1001, 5001, 0x10, b""),
        segment(server, client, 5001, 1001, 0x18, line),
    ];
    for (i, packet) in packets.iter().enumerate() {
        let frame = build::ethernet(MacAddr([2; 6]), MacAddr([4; 6]), packet);
        let at = Timestamp::from_nanos(1_600_000_000_000_000_000 + 1_000_000 * i as i64);
        writer.frame(0, at, Direction::Unknown, frame.len() as u32, &frame).unwrap();
    }
    writer.finish().unwrap()
}

fn run(arguments: &[OsString]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whichhop"));
    command.args(arguments).stdin(Stdio::null()).env_remove("CLICOLOR_FORCE").output().unwrap()
}

fn words(arguments: &[&str]) -> Vec<OsString> {
    arguments.iter().map(Into::into).collect()
}

/// Everything that was said is fit for a terminal.
fn is_harmless(output: &Output) -> String {
    let text = format!(
        "{}{}",
        str::from_utf8(&output.stdout).expect("UTF-8"),
        str::from_utf8(&output.stderr).expect("UTF-8")
    );
    let hostile: Vec<char> = text.chars().filter(|c| *c != '\n' && is_hostile(*c)).collect();
    assert!(hostile.is_empty(), "{hostile:?} in {text:?}");
    text
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_a_recording_says() {
    let folder = tempfile::tempdir().unwrap();
    for saying in SAYINGS {
        let path = file(folder.path(), "run.pcapng", &recording(saying));
        for arguments in [&["replay", &path][..], &["replay", "--json", &path]] {
            let output = run(&words(arguments));
            let text = is_harmless(&output);
            assert!(text.contains("198.19.0.4"), "{text}");
            assert!(
                !text.lines().any(|line| line.starts_with("Verdict: nobody")),
                "no line of its own: {text}"
            );
        }
        let json: serde_json::Value =
            serde_json::from_slice(&run(&words(&["replay", "--json", &path])).stdout).unwrap();
        assert_eq!(json["target"]["name"], *saying, "nothing is lost to programs");
        // Command lines hold addresses only.
        for step in json["verdict"]["next"].as_array().unwrap() {
            let command = step["command"].as_str().unwrap_or_default();
            assert!(!command.contains("owned") && !command.contains("reboot"), "{command}");
        }
    }
}

#[test]
fn what_a_server_says() {
    let folder = tempfile::tempdir().unwrap();
    for saying in SAYINGS {
        let line = [b"SSH-2.0-", saying.as_bytes(), b"\xff\xfe\xc3\x28\r\n"].concat();
        let path = file(folder.path(), "foreign.pcapng", &capture(&line));
        let path = path.as_str();
        for arguments in [
            &["replay", path][..],
            &["replay", "--json", path],
            &["attempts", path],
            &["attempts", "--json", path],
            &["attempts", "--sort", path],
            &["attempts", "--summary", path],
        ] {
            let text = is_harmless(&run(&words(arguments)));
            assert!(!text.is_empty());
        }
    }
}

#[cfg(unix)]
#[test]
fn what_a_file_is_called() {
    use std::os::unix::ffi::OsStringExt;
    let folder = tempfile::tempdir().unwrap();
    for saying in SAYINGS {
        let mut name = saying.replace(['\0', '/'], "").into_bytes();
        name.extend(b"\xff\xfe");
        let name = OsString::from_vec(name);
        let path = folder.path().join(&name).into_os_string();
        for verb in ["replay", "attempts"] {
            let missing = run(&[verb.into(), path.clone()]);
            assert_eq!(missing.status.code(), Some(2));
            assert_eq!(is_harmless(&missing).lines().count(), 1);
        }
        fs::write(&path, b"no capture").unwrap();
        is_harmless(&run(&["replay".into(), path.clone()]));
        is_harmless(&run(&["attempts".into(), path.clone()]));
        let whole = recording("x");
        fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        is_harmless(&run(&["replay".into(), path.clone()]));
        is_harmless(&run(&["attempts".into(), path]));
    }
}

#[test]
fn what_is_typed() {
    for saying in SAYINGS {
        let saying = saying.replace('\0', "");
        for arguments in [
            vec!["trace".into(), "-p".into(), format!("x{saying}")],
            vec!["trace".into(), "--".into(), saying.clone()],
            vec!["trace".into(), "--edge-net".into(), format!("x{saying}"), "198.19.0.4".into()],
            vec![format!("x{saying}")],
            vec!["replay".into(), format!("--x{saying}")],
        ] {
            let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
            let output = run(&arguments);
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            is_harmless(&output);
        }
    }
}

/// clap takes colours out only where it does not write to a terminal.
#[cfg(target_os = "linux")]
#[test]
fn what_is_typed_on_a_terminal() {
    let program = env!("CARGO_BIN_EXE_whichhop");
    for arguments in [
        "trace $'x\\e[31m.invalid'",
        "trace -p 1 $'x\\e[31m:22'",
        "attempts -p $'\\e[31mfoo' x",
        "attempts $'--\\e[31mfoo' x",
        "$'\\e[31mfoo'",
    ] {
        let line = format!("'{program}' {arguments}");
        let mut command = Command::new("script");
        let output = command.env("SHELL", "/bin/bash").args(["-qec", &line, "/dev/null"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        let text = String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n");
        assert!(text.contains("\\u{1b}[31m") && !text.contains('\u{1b}'), "{text:?}");
    }
}

#[test]
fn what_is_typed_at_length() {
    let long = "x".repeat(70_000);
    for arguments in [vec!["trace", &long], vec![&long], vec!["attempts", "-p", &long, "x"]] {
        let output = run(&words(&arguments));
        assert_eq!(output.status.code(), Some(2));
        let text = is_harmless(&output);
        assert!(text.len() < 1000 && text.contains("… (70000 bytes)"), "{text}");
    }
    let output = run(&words(&["replay", &format!("--{long}")]));
    assert!(is_harmless(&output).len() < 1000);
}
