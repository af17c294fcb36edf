//! Records the lab's faults: what `fixtures/` holds.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::lab::{AZURE_NETS, Fault, Lab, Options, VM};
use super::report::{Expected, Fixture, Known};
use super::{Signals, built};

/// A user without privilege.
const NOBODY: u32 = 65534;

/// A recording that is made.
#[derive(Clone, Copy, Debug)]
struct Take {
    fault: Fault,
    /// 0 for IPv4, 1 for IPv6.
    family: usize,
    delay_ms: Option<u64>,
    /// Whether the trace is told which networks are Azure's.
    azure: bool,
    privileged: bool,
}

impl Take {
    const fn of(fault: Fault) -> Self {
        Self { fault, family: 0, delay_ms: None, azure: true, privileged: true }
    }

    /// The name of its directory.
    fn name(self) -> String {
        let mut name = self.fault.name().to_owned();
        for (holds, part) in [
            (self.family == 1, "-ipv6"),
            (self.delay_ms.is_some(), "-slow"),
            (!self.azure, "-azure-unknown"),
            (!self.privileged, "-unprivileged"),
        ] {
            if holds {
                name += part;
            }
        }
        name
    }

    fn azure_nets(self) -> &'static [&'static str] {
        if self.azure { &AZURE_NETS } else { &[] }
    }

    /// What follows `whichhop` on the command line, but for the recording.
    fn arguments(self) -> Vec<String> {
        let nets = self.azure_nets().iter().map(|net| format!("--azure-net={net}"));
        ["trace".to_owned()].into_iter().chain(nets).chain([VM[self.family].to_string()]).collect()
    }

    fn known(self) -> Known {
        Known {
            about: self.fault.about().to_owned(),
            made: format!("whichhop {}, on the lab's client", self.arguments().join(" ")),
            family: ["ipv4", "ipv6"][self.family].to_owned(),
            delay_ms: self.delay_ms,
            privileged: self.privileged,
            azure_nets: self.azure_nets().iter().map(|&net| net.to_owned()).collect(),
            expected: Expected::from(self.fault.truth()),
        }
    }
}

/// Every fault that is told over IPv4, and some of them in other ways too.
fn takes() -> Vec<Take> {
    let told = Fault::ALL.iter().filter(|fault| fault.awaits().is_none());
    let mut takes: Vec<Take> = told.map(|&fault| Take::of(fault)).collect();
    takes.extend(
        [
            Fault::Healthy,
            Fault::EdgeReset,
            Fault::VmSshdStopped,
            Fault::AzureDropAfterTtl,
            Fault::ClientDropIn,
            Fault::TransitUnreachable,
        ]
        .map(|fault| Take { family: 1, ..Take::of(fault) }),
    );
    takes.push(Take { delay_ms: Some(80), ..Take::of(Fault::EdgeReset) });
    takes.extend([Fault::AzureReset, Fault::VmDropIn].map(|fault| Take { azure: false, ..Take::of(fault) }));
    takes.extend(
        [Fault::EdgeReset, Fault::ClientNoRoute].map(|fault| Take { privileged: false, ..Take::of(fault) }),
    );
    takes
}

/// Makes the recordings of `faults` (of all, if none is named) in `directory`.
pub(super) async fn all(directory: &Path, faults: &[Fault], signals: &mut Signals) -> Result<()> {
    let whichhop = built::whichhop()?;
    for take in takes() {
        if faults.is_empty() || faults.contains(&take.fault) {
            eprintln!("{}", take.name());
            let directory = directory.join(take.name());
            fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
            one(&directory, take, &whichhop, signals).await.with_context(|| take.name())?;
        }
    }
    Ok(())
}

async fn one(directory: &Path, take: Take, whichhop: &Path, signals: &mut Signals) -> Result<()> {
    let delay = take.delay_ms.map(Duration::from_millis);
    let mut lab = Lab::new(Options { delay, ..Options::default() })?;
    lab.apply(take.fault)?;
    // A user without privilege must get at both.
    let scratch = tempfile::tempdir()?;
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o777))?;
    let recording = scratch.path().join(Fixture::RECORDING);
    let program = scratch.path().join("whichhop");
    fs::copy(whichhop, &program)?;
    let program = program.to_str().context("the temporary directory's name is not UTF-8")?;
    let client = lab.client();
    let mut command =
        if take.privileged { client.command(program) } else { client.command_as(NOBODY, program) };
    command.args(take.arguments()).arg("-w").arg(&recording);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    if !take.privileged {
        // What it says there is known: that it has no privilege.
        command.stderr(Stdio::null());
    }
    let status = signals.pass_on(tokio::process::Command::from(command).spawn()?, false).await?;
    if signals.came {
        bail!("interrupted");
    }
    ensure!(matches!(status.code(), Some(0 | 1 | 3)), "whichhop: {status}");

    let bytes = fs::read(&recording)?;
    fs::write(directory.join(Fixture::RECORDING), bytes)?;
    let truth = serde_json::to_string_pretty(&take.known())?;
    fs::write(directory.join(Fixture::TRUTH), truth + "\n")?;
    Ok(())
}
