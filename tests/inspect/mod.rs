//! Looks into a running process: its credentials as /proc tells them, and what the kernel lets each thread open.

#![allow(dead_code, reason = "shared by several test programs; each uses its part")]
#![allow(clippy::disallowed_methods, reason = "processes live in real time")]

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// What /proc/PID/task/TID/status says of one thread.
pub(crate) type Status = BTreeMap<String, String>;

/// Every thread of a process.
pub(crate) fn threads(process: u32) -> Vec<(i32, Status)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(format!("/proc/{process}/task")).expect("the process runs") {
        let thread = entry.unwrap().file_name().to_str().unwrap().parse().unwrap();
        let text =
            fs::read_to_string(format!("/proc/{process}/task/{thread}/status")).expect("the thread runs");
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        all.push((thread, fields.map(|(k, v)| (k.to_owned(), v.trim().replace('\t', " "))).collect()));
    }
    all
}

/// What a thread may still do that it should not: no user but `uid`, no group but `gid`, no capability in any set that
/// can be emptied without privilege, and none to gain.
pub(crate) fn privileges(thread: &Status, uid: u32, gid: u32) -> Vec<String> {
    let four = |id: u32| [id.to_string(), id.to_string(), id.to_string(), id.to_string()].join(" ");
    let none = "0000000000000000".to_owned();
    let wanted = [
        ("Uid", four(uid)),
        ("Gid", four(gid)),
        ("CapInh", none.clone()),
        ("CapPrm", none.clone()),
        ("CapEff", none.clone()),
        ("CapAmb", none),
        ("NoNewPrivs", "1".to_owned()),
    ];
    let differs = |(key, wanted): &(&str, String)| thread.get(*key) != Some(wanted);
    wanted.iter().filter(|w| differs(w)).map(|(key, _)| format!("{key}: {:?}", thread.get(*key))).collect()
}

/// Waits until `ready` holds, for 5 s at most.
pub(crate) fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(5), "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the kernel fences processes in (Landlock), as far as an unprivileged process can tell.
pub(crate) fn has_landlock() -> bool {
    fs::read_to_string("/proc/kallsyms").is_ok_and(|symbols| symbols.contains("landlock_restrict_self"))
}

/// Where the code of another process makes a system call, so that a thread stopped anywhere can be made to.
#[cfg(target_arch = "x86_64")]
fn syscall_instruction(thread: i32) -> u64 {
    use std::os::unix::fs::FileExt;

    const SYSCALL: &[u8] = &[0x0f, 0x05];

    let maps = fs::read_to_string(format!("/proc/{thread}/maps")).expect("the thread runs");
    let memory = fs::File::open(format!("/proc/{thread}/mem")).expect("the thread can be traced");
    let mut code = maps.lines().filter(|line| line.contains(" r-xp "));
    let find = |line: &str| {
        let (from, to) = line.split_once(' ')?.0.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        let mut bytes = vec![0; (to - from) as usize];
        memory.read_exact_at(&mut bytes, from).ok()?;
        bytes.windows(2).position(|pair| pair == SYSCALL).map(|at| from + at as u64)
    };
    code.find_map(find).expect("a process makes system calls")
}

/// Makes a thread of another process call open(2) for reading; what came of it: a descriptor, or an error number.
///
/// The thread is stopped with ptrace(2), made to run one system call, and goes on as if nothing had happened.
#[cfg(target_arch = "x86_64")]
pub(crate) fn open_within(thread: i32, path: &str) -> Result<i64, nix::errno::Errno> {
    use nix::errno::Errno;
    use nix::sys::ptrace;
    use nix::sys::signal::Signal;
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::Pid;

    const OPENAT: u64 = 257;
    const AT_FDCWD: u64 = -100_i64 as u64;
    /// Beyond the red zone below the stack pointer.
    const SCRATCH: u64 = 1024;

    let pid = Pid::from_raw(thread);
    let wait = || waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap();
    ptrace::attach(pid).expect("the thread can be traced");
    assert!(matches!(wait(), WaitStatus::Stopped(..)));
    let before = ptrace::getregs(pid).unwrap();
    let mut text = path.as_bytes().to_vec();
    text.resize((text.len() + 1).next_multiple_of(8), 0);
    let at = (before.rsp - SCRATCH) & !15;
    let words: Vec<(u64, i64)> = (0..)
        .zip(text.chunks_exact(8))
        .map(|(i, word)| (at + 8 * i, i64::from_ne_bytes(word.try_into().unwrap())))
        .collect();
    let saved: Vec<(u64, i64)> =
        words.iter().map(|(at, _)| (*at, ptrace::read(pid, *at as ptrace::AddressType).unwrap())).collect();
    for (at, word) in words {
        ptrace::write(pid, at as ptrace::AddressType, word).unwrap();
    }
    let mut call = before;
    call.rip = syscall_instruction(thread);
    call.rax = OPENAT;
    call.rdi = AT_FDCWD;
    call.rsi = at;
    call.rdx = 0;
    // No system call to start over.
    call.orig_rax = u64::MAX;
    ptrace::setregs(pid, call).unwrap();
    ptrace::step(pid, None).unwrap();
    assert_eq!(wait(), WaitStatus::Stopped(pid, Signal::SIGTRAP));
    let result = ptrace::getregs(pid).unwrap().rax as i64;
    for (at, word) in saved {
        ptrace::write(pid, at as ptrace::AddressType, word).unwrap();
    }
    ptrace::setregs(pid, before).unwrap();
    ptrace::detach(pid, None).unwrap();
    if result < 0 { Err(Errno::from_raw(-result as i32)) } else { Ok(result) }
}
