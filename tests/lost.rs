//! Captures by other programs that say they lost packets.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::process::{Command, Output, Stdio};

use whichhop::packet::{LinkType, MacAddr, SeqNumber, build};
use whichhop::recording::{Direction, InterfaceInfo, Timestamp, Writer};

/// A SYN that nobody answers, and at the end the statistics of the interface as dumpcap writes them.
fn capture(lost: u64) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    writer.interface(&InterfaceInfo { name: "eth0".to_owned(), link: LinkType::ETHERNET }).unwrap();
    let syn = build::syn(&build::Syn::plain(
        "10.22.1.2:50000".parse().unwrap(),
        "198.19.0.4:22".parse().unwrap(),
        SeqNumber(1000),
    ));
    let frame = build::ethernet(MacAddr([2; 6]), MacAddr([4; 6]), &syn);
    let at = Timestamp::from_nanos(1_600_000_000_000_000_000);
    writer.frame(0, at, Direction::Unknown, frame.len() as u32, &frame).unwrap();
    let mut file = writer.finish().unwrap();
    // Type 5, interface 0, no time, isb_ifdrop, end of options.
    let mut block = [[5_u32, 40, 0, 0, 0].map(u32::to_le_bytes).concat(), vec![5, 0, 8, 0]].concat();
    block.extend(lost.to_le_bytes());
    block.extend([0; 4]);
    block.extend(40_u32.to_le_bytes());
    file.extend(block);
    file
}

fn run(verb: &[&str], lost: u64) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dumpcap.pcapng");
    fs::write(&path, capture(lost)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_whichhop"));
    command.args(verb).arg(path).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_report_says_so_and_takes_silence_for_nothing() {
    let whole = String::from_utf8(run(&["replay", "--json"], 0).stdout).unwrap();
    let lossy = String::from_utf8(run(&["replay", "--json"], 12).stdout).unwrap();
    assert!(lossy.contains("it lost 12 packets: silence is not taken as evidence"), "{lossy}");
    assert!(!whole.contains("silence is not taken"), "{whole}");
    // What rests on nothing having come back.
    assert!(whole.contains("syn-on-wire") && !lossy.contains("syn-on-wire"), "{whole}{lossy}");
}

#[test]
fn a_list_of_attempts_says_so() {
    let said = |lost| String::from_utf8(run(&["attempts"], lost).stderr).unwrap();
    assert_eq!(said(0), "");
    assert!(said(12).contains("dumpcap.pcapng: the capture says that it lost 12 packets"), "{}", said(12));
}
