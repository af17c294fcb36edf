//! The page: the rule of reading, the sums, and fault by fault.

use std::fmt::Write as _;
use std::time::Duration;

use super::Run;
use crate::lab::Fault;
use crate::reading::Reading;
use crate::tools::Tool;

/// One fault, and each tool's run over it.
pub(crate) struct Row<'a> {
    pub(crate) fault: Fault,
    pub(crate) runs: &'a [Run],
}

const RULE: &str = "\
# Accuracy

Written by `make accuracy`: whichhop and every tracer that was installed, over the same faults of the project's own lab
(`tests/lab`), IPv4, each run in a fresh lab of real kernels. The path has 5 hops: the organisation's edge, two routers in
transit, Azure's edge, the VM.

## How an output is read

The reader knows that SSH fails, and wants to know whom to call.

- A tracer whose last answer bears the VM's address blames the VM.
- A hop that it marks as refusing (an ICMP error other than time-exceeded) is blamed.
- Else the last hop that answered and the one behind it are blamed, and it is right if either is guilty; where none
  answered, the client and hop 1. A filter that stands in front of a hop, or on it, counts to that hop.
- Where nothing is wrong, it is right if it reaches the VM.
- whichhop is right if the suspect that it names first lies in the guilty segment, or if it says `open` where nothing is
  wrong. **cleared** would say that it ruled the culprit out.

A tracer may be right by luck: one that always blames the VM is right wherever the VM is guilty.
";

pub(crate) fn page(tools: &[Tool], versions: &[String], rows: &[Row<'_>]) -> String {
    let mut page = RULE.to_owned();
    sums(&mut page, tools, versions, rows);
    faults(&mut page, tools, rows);
    page
}

fn sums(page: &mut String, tools: &[Tool], versions: &[String], rows: &[Row<'_>]) {
    page.push_str("\n## The sums\n\n| tool | right | of | median time | version |\n|---|--:|--:|--:|---|\n");
    for (column, tool) in tools.iter().enumerate() {
        let right = rows.iter().filter(|row| row.runs[column].reading.is_right(&row.fault.truth())).count();
        let took = median(rows.iter().map(|row| row.runs[column].took).collect());
        let (name, version) = (tool.name(), &versions[column]);
        let _ =
            writeln!(page, "| {name} | {right} | {} | {:.1} s | {version} |", rows.len(), took.as_secs_f64());
    }
    let faulty: Vec<(&Fault, &Reading)> = rows
        .iter()
        .filter(|row| row.fault.truth().segment.is_some())
        .filter_map(|row| Some((&row.fault, &row.runs.first()?.reading)))
        .collect();
    let cleared = faulty.iter().filter(|(fault, reading)| reading.clears_the_culprit(&fault.truth())).count();
    let single = faulty.iter().filter(|(_, reading)| matches!(reading.standing(), Some((_, 1)))).count();
    let _ = writeln!(
        page,
        "\nOf {} paths on which something is wrong, whichhop cleared the culprit of {cleared}, and left a single segment\n\
         standing on {single}.",
        faulty.len()
    );
}

fn faults(page: &mut String, tools: &[Tool], rows: &[Row<'_>]) {
    page.push_str(
        "\n## Fault by fault\n\nBold is right. Behind whichhop's first suspect: how many stand, of how many segments.\n\n| fault | guilty |",
    );
    for tool in tools {
        let _ = write!(page, " {} |", tool.name());
    }
    page.push_str("\n|---|---|");
    page.push_str(&"---|".repeat(tools.len()));
    page.push('\n');
    for row in rows {
        let truth = row.fault.truth();
        let guilty = truth.guilty.map_or("nobody", whichhop::evidence::Suspect::name);
        let _ = write!(page, "| {} | {guilty} |", row.fault.name());
        for Run { reading, .. } in row.runs {
            let words = reading.words(&truth);
            let words = if reading.is_right(&truth) { format!("**{words}**") } else { words };
            let _ = write!(page, " {words}");
            if let Some((suspects @ 1.., segments)) = reading.standing() {
                let _ = write!(page, ", {suspects}/{segments}");
            }
            page.push_str(if reading.clears_the_culprit(&truth) { ", **cleared** |" } else { " |" });
        }
        page.push('\n');
    }
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}
