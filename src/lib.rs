//! whichhop says which hop drops your SSH, and shows the packets that prove it.
pub mod attempt;
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
