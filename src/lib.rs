//! whichhop says which hop drops your SSH, and shows the packets that prove it.
//!
//! **A live trace is a recording being made. Replaying the recording gives the very same report.** So there is one
//! pipeline, fed from two taps, and nothing in it touches a clock, a socket or a file:
//!
//! ```text
//!  live/  (sockets, libpcap, clock) ──writes──►┐
//!    ▲                                         ├─► recording ─► packet ─► attempt ─► evidence ─► verdict ─► report
//!    │    a .pcap/.pcapng file ────────reads──►┘                    │          ▲
//!    │                                                              └─► path ──┘
//!  probe/ (what to send next) ◄── the same records
//! ```
//!
//! The rooms in reading order; a room uses none that stands below it:
//!
//! 1. [`packet`]: bytes to packets and back.
//! 2. [`recording`]: what was seen, in order: frames and events, to and from files.
//! 3. [`attempt`]: records to TCP connection attempts and their outcomes.
//! 4. [`path`]: hops, the segments they lie in, and how far away an answer came from.
//! 5. [`evidence`]: rules that clear or implicate suspects, each citing the records that show it.
//! 6. [`verdict`]: who still stands, and the step that would split them.
//! 7. [`diagnose`]: the composition of all these: records in, findings out.
//! 8. [`report`]: findings to text and JSON.
//! 9. [`probe`]: what a trace sends next; a state machine without I/O that uses rooms 1 to 4.
//! 10. [`confine`]: what a process gives up before it reads a stranger's bytes; it uses no other room.
//! 11. `live`: sockets, libpcap and the clock (feature `live`, Linux).
//!
//! # Replaying a capture
//!
//! ```no_run
//! use std::fs::File;
//!
//! use whichhop::diagnose::{Diagnosis, Question};
//! use whichhop::recording::Reader;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut reader = Reader::new(File::open("run.pcapng")?)?;
//! let mut diagnosis = Diagnosis::new(Question::default());
//! while let Some(record) = reader.next()? {
//!     diagnosis.push(&record);
//! }
//! if let Some(truncation) = reader.truncation() {
//!     diagnosis.truncated(truncation);
//! }
//! print!("{}", whichhop::report::json(&diagnosis.finish()?));
//! # Ok(())
//! # }
//! ```
pub mod attempt;
pub mod confine;
pub mod diagnose;
pub mod evidence;
#[cfg(all(feature = "live", target_os = "linux"))]
pub mod live;
pub mod packet;
pub mod path;
pub mod probe;
pub mod recording;
pub mod report;
#[cfg(test)]
mod testing;
pub mod verdict;
