//! Network namespaces: making them, running things in them, removing them and whatever still runs there.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const NAMED: &str = "/run/netns";
const ETC: &str = "/etc/netns";
const PREFIX: &str = "whl-";

/// A named network namespace.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Only a name so far.
    pub(super) fn named(lab: &str, role: &str) -> Self {
        Self { name: format!("{lab}-{role}") }
    }

    /// As `ip netns` knows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run in this namespace, with its own `/etc/hosts` and `/etc/resolv.conf` if it has any.
    pub(crate) fn command(&self, program_name: &str) -> Command {
        let mut command = Command::new(tool("ip"));
        command.args(["netns", "exec", &self.name, program_name]);
        command
    }

    /// The same, as a user (and group) without any privilege.
    pub(crate) fn command_as(&self, uid: u32, program_name: &str) -> Command {
        let mut command = self.command("setpriv");
        let id = uid.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--inh-caps=-all", program_name]);
        command
    }

    /// Runs `work` in a thread that is in this namespace: its sockets, its files under `/proc/sys/net`, and the
    /// processes it starts belong there.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let namespace = File::open(self.path())?;
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                setns(&namespace, CloneFlags::CLONE_NEWNET)?;
                Ok(work())
            });
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs a program here, with `input` as its standard input, until it ends.
    ///
    /// # Errors
    /// When it does not succeed; the message holds what it said.
    pub(crate) fn run(&self, name: &str, args: &[&str], input: &str) -> io::Result<()> {
        self.enter(|| run(name, args, input))?
    }

    /// Feeds `lines` to `ip -batch` here; then those that begin with `-6`, which a batch does not understand, to
    /// `ip -6 -batch`.
    pub(crate) fn ip(&self, lines: &str) -> io::Result<()> {
        let (v6, others): (Vec<&str>, Vec<&str>) = lines.lines().partition(|line| line.starts_with("-6 "));
        let text = |lines: Vec<&str>| {
            lines.iter().map(|line| line.trim_start_matches("-6 ").to_owned() + "\n").collect::<String>()
        };
        if !others.is_empty() {
            self.run("ip", &["-batch", "-"], &text(others))?;
        }
        if !v6.is_empty() {
            self.run("ip", &["-6", "-batch", "-"], &text(v6))?;
        }
        Ok(())
    }

    /// Feeds `script` to nft here.
    pub(crate) fn nft(&self, script: &str) -> io::Result<()> {
        self.run("nft", &["-f", "-"], script)
    }

    /// Reads a setting; `key` is a path below `/proc/sys`.
    pub(crate) fn sysctl(&self, key: &str) -> io::Result<String> {
        self.enter(|| fs::read_to_string(sysctl_path(key)))?.map(|value| value.trim().to_owned())
    }

    /// Writes a setting; `key` is a path below `/proc/sys`.
    pub(crate) fn set_sysctl(&self, key: &str, value: &str) -> io::Result<()> {
        self.set_sysctls(&[(key, value)])
    }

    /// Writes several settings in order.
    pub(crate) fn set_sysctls(&self, settings: &[(&str, &str)]) -> io::Result<()> {
        self.enter(|| {
            settings.iter().try_for_each(|(key, value)| {
                fs::write(sysctl_path(key), value)
                    .map_err(|e| io::Error::new(e.kind(), format!("setting {key} to {value}: {e}")))
            })
        })?
    }

    /// Gives the commands that run here their own `/etc/<file>`. Left out where the machine has no such file, because
    /// there is then nothing to put it over.
    pub(super) fn set_etc(&self, file: &str, text: &str) -> io::Result<()> {
        if !Path::new("/etc").join(file).exists() {
            return Ok(());
        }
        let directory = Path::new(ETC).join(&self.name);
        // A lab that ends at this very moment may remove the parent under our feet.
        let mut made = Ok(());
        for _ in 0..5 {
            made = fs::create_dir_all(&directory);
            if made.is_ok() {
                break;
            }
        }
        made?;
        fs::write(directory.join(file), text)
    }

    fn path(&self) -> PathBuf {
        Path::new(NAMED).join(&self.name)
    }
}

/// Feeds `lines` to `ip -batch` where this program runs.
pub(super) fn ip(lines: &str) -> io::Result<()> {
    run("ip", &["-batch", "-"], lines)
}

/// Where a program is, also when `PATH` lacks the directories for administrators.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

/// The program's path, or its bare name for the error message.
pub(super) fn tool(name: &str) -> PathBuf {
    program(name).unwrap_or_else(|| name.into())
}

/// Whether this process is root and may make namespaces, links and packet sockets.
pub(super) fn privileged() -> bool {
    const NET_ADMIN: u64 = 1 << 12;
    const NET_RAW: u64 = 1 << 13;
    const SYS_ADMIN: u64 = 1 << 21;
    const NEEDED: u64 = NET_ADMIN | NET_RAW | SYS_ADMIN;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    nix::unistd::geteuid().is_root() && effective.is_some_and(|mask| mask & NEEDED == NEEDED)
}

/// Ends what runs in the namespaces and removes them, with their files under `/etc/netns`. Goes on past errors: what
/// is left over is removed by a later [`reap`].
pub(super) fn remove(namespaces: &[&Namespace]) {
    end_processes_in(namespaces);
    let lines = namespaces
        .iter()
        .filter(|n| n.path().exists())
        .fold(String::new(), |lines, n| lines + "netns del " + n.name() + "\n");
    let _ = run("ip", &["-force", "-batch", "-"], &lines);
    for namespace in namespaces {
        let _ = fs::remove_dir_all(Path::new(ETC).join(&namespace.name));
    }
    // Only if no other namespace has files there.
    let _ = fs::remove_dir(ETC);
}

/// Removes what labs left behind whose process is gone.
pub(crate) fn reap() {
    let names: BTreeSet<String> = [Path::new(NAMED), Path::new(ETC)].into_iter().flat_map(orphans).collect();
    let namespaces: Vec<Namespace> = names.into_iter().map(|name| Namespace { name }).collect();
    if !namespaces.is_empty() {
        remove(&namespaces.iter().collect::<Vec<_>>());
    }
    let temporary = std::env::temp_dir();
    for name in orphans(&temporary) {
        let _ = fs::remove_dir_all(temporary.join(name));
    }
}

/// Entries of `directory` named for a process that no longer is.
fn orphans(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_orphan(name))
        .collect()
}

fn is_orphan(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .and_then(|rest| rest.split('-').next())
        .and_then(|pid| pid.parse::<u32>().ok())
        .is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

/// The kernel's name for a namespace.
type Identity = (u64, u64);

fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

fn end_processes_in(namespaces: &[&Namespace]) {
    // A name whose namespace is not mounted has the identity of a plain file, which no process can be in.
    let mut ours: BTreeSet<Identity> = namespaces.iter().filter_map(|n| identity(&n.path())).collect();
    // Whatever someone bound to our names: never the namespace we live in.
    if let Some(home) = identity(Path::new("/proc/self/ns/net")) {
        ours.remove(&home);
    }
    for pid in processes() {
        let inside = identity(&Path::new("/proc").join(pid.to_string()).join("ns/net"))
            .is_some_and(|namespace| ours.contains(&namespace));
        if inside && pid != std::process::id() {
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
        }
    }
}

fn processes() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn sysctl_path(key: &str) -> PathBuf {
    Path::new("/proc/sys").join(key)
}

/// Runs a program in the namespace of the calling thread.
pub(super) fn run(name: &str, args: &[&str], input: &str) -> io::Result<()> {
    succeed(Command::new(tool(name)).args(args), input)
}

/// Runs a command with `input` as its standard input; an error holds what it said.
pub(super) fn succeed(command: &mut Command, input: &str) -> io::Result<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", command.get_program().display())))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that gives up early says why on its standard error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {}: {}\n{input}", output.status, said.trim())))
}
