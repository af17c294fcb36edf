//! The page: the rule of reading, the sums, and fault by fault.

use std::fmt::Write as _;
use std::time::Duration;

use whichhop::evidence::Suspect;

use super::{Case, Run};
use crate::lab::{Family, Fault};
use crate::reading::Culprit;
use crate::tools::Tool;

const RULE: &str = "\
# Accuracy

Written by `make accuracy`: whichhop and every tracer that was installed, over the same faults of the project's own lab
(`tests/lab`), IPv4 and IPv6, each run in a fresh lab of real kernels. The path has 5 hops: the organisation's edge, two
routers in transit, Azure's edge, the VM.

## How an output is read

The reader knows that SSH fails, and wants to know whom to call.

- A tracer whose last answer bears the VM's address blames the VM.
- A hop that it marks as refusing (an ICMP error other than time-exceeded) is blamed.
- Else the last hop that answered and the one behind it are blamed, and it is right if either is guilty; where none
  answered, the client and hop 1. A filter that stands in front of a hop, or on it, counts to that hop.
- Where nothing is wrong, it is right if it reaches the VM.
- whichhop is right if the suspect that it names first lies in the guilty segment, or if it says `open` where nothing is
  wrong. **cleared** would say that it ruled the culprit out; *not standing*, that it is in no list; *assumed away*, that it
  stands only if an assumption that the report names is wrong.

A tracer may be right by luck: one that always blames the VM is right wherever the VM is guilty. `--deep` is for silent
ports: it is run over the faults whose outcome is `timeout`. A dash stands for a tool that does not know the IP version, or a
fault that is none there (the lab translates addresses over IPv4 alone).
";

/// Everything that was run, to be looked up.
#[derive(Clone, Copy)]
struct Runs<'a>(&'a [Run]);

impl<'a> Runs<'a> {
    fn get(self, fault: Fault, family: Family, tool: Tool) -> Option<&'a Run> {
        self.0.iter().find(|run| run.case == Case { fault, family, tool })
    }

    fn of(self, family: Family, tool: Tool) -> impl Iterator<Item = &'a Run> + Clone {
        self.0.iter().filter(move |run| (run.case.family, run.case.tool) == (family, tool))
    }
}

pub(crate) fn page(tools: &[(Tool, String)], faults: &[Fault], runs: &[Run]) -> String {
    let mut page = RULE.to_owned();
    let runs = Runs(runs);
    page.push_str("\n## The sums\n\n");
    tools_by_family(&mut page, tools, runs);
    page.push_str("\nwhichhop, on the paths on which something is wrong:\n\n");
    verdicts_by_family(&mut page, runs);
    for family in Family::ALL {
        let _ = writeln!(page, "\n## Fault by fault, {}\n", family.name());
        page.push_str(
            "Bold is right. Behind whichhop's first suspect: how many stand, and of which segments; the same with `--deep`.\n\n",
        );
        let tools: Vec<Tool> = tools.iter().map(|(tool, _)| *tool).filter(|t| t.speaks(family)).collect();
        by_fault(&mut page, family, &tools, faults, runs);
    }
    page
}

fn tools_by_family(page: &mut String, tools: &[(Tool, String)], runs: Runs<'_>) {
    page.push_str("| tool | IPv4 right | of | median time | IPv6 right | of | median time | version |\n");
    page.push_str("|---|--:|--:|--:|--:|--:|--:|---|\n");
    for (tool, version) in tools {
        let _ = write!(page, "| {} |", tool.name());
        for family in Family::ALL {
            let all = runs.of(family, *tool);
            let count = all.clone().count();
            if count == 0 {
                page.push_str(" – | – | – |");
                continue;
            }
            let right = all.clone().filter(|run| run.is_right()).count();
            let took = median(all.map(|run| run.took).collect());
            let _ = write!(page, " {right} | {count} | {:.1} s |", took.as_secs_f64());
        }
        let _ = writeln!(page, " {version} |");
    }
}

/// What became of the culprit, and how narrow the verdicts are; the silent faults also by themselves, to be held
/// against `--deep`.
fn verdicts_by_family(page: &mut String, runs: Runs<'_>) {
    page.push_str("| whichhop | paths | first suspect right | a single segment stands | culprit cleared | assumed away | not standing | said `open` |\n");
    page.push_str("|---|--:|--:|--:|--:|--:|--:|--:|\n");
    for family in Family::ALL {
        let faulty = |tool| runs.of(family, tool).filter(|run| run.case.fault.truth().guilty.is_some());
        let plain: Vec<&Run> = faulty(Tool::Whichhop).collect();
        let silent = plain.iter().copied().filter(|run| Tool::Deep.is_for(run.case.fault)).collect();
        let deep = faulty(Tool::Deep).collect();
        for (name, of) in [("all", plain), ("silent ports", silent), ("silent ports, `--deep`", deep)] {
            let count = |wanted: &dyn Fn(&Run) -> bool| of.iter().filter(|run| wanted(run)).count();
            let became = |what| count(&|run| !run.reading.is_open() && run.culprit() == Some(what));
            let _ = writeln!(
                page,
                "| {}, {name} | {} | {} | {} | {} | {} | {} | {} |",
                family.name(),
                of.len(),
                count(&Run::is_right),
                count(&Run::names_one_segment),
                count(&|run| run.culprit() == Some(Culprit::Cleared)),
                became(Culprit::AssumedAway),
                became(Culprit::Absent),
                count(&|run| run.reading.is_open()),
            );
        }
    }
}

fn by_fault(page: &mut String, family: Family, tools: &[Tool], faults: &[Fault], runs: Runs<'_>) {
    page.push_str("| fault | guilty |");
    for tool in tools {
        let _ = write!(page, " {} |", tool.name());
        if *tool == Tool::Whichhop {
            page.push_str(" `--deep` |");
        }
    }
    page.push_str("\n|---|---|---|");
    page.push_str(&"---|".repeat(tools.len()));
    page.push('\n');
    for &fault in faults {
        let guilty = fault.truth().guilty.map_or("nobody", Suspect::name);
        let _ = write!(page, "| {} | {guilty} |", fault.name());
        for &tool in tools {
            let missing = if fault.exists_over(family) { "" } else { "–" };
            let words = |tool| runs.get(fault, family, tool).map_or(missing.to_owned(), Run::words);
            let _ = write!(page, " {} |", words(tool));
            if tool == Tool::Whichhop {
                let _ = write!(page, " {} |", words(Tool::Deep));
            }
        }
        page.push('\n');
    }
}

impl Run {
    fn is_right(&self) -> bool {
        self.reading.is_right(&self.case.fault.truth())
    }

    fn culprit(&self) -> Option<Culprit> {
        self.reading.culprit(&self.case.fault.truth())
    }

    fn names_one_segment(&self) -> bool {
        self.reading.standing().is_some_and(|(_, segments)| segments.len() == 1)
    }

    /// A cell of the table.
    fn words(&self) -> String {
        let mut words = self.reading.words(&self.case.fault.truth());
        if self.is_right() {
            words = format!("**{words}**");
        }
        if let Some((suspects @ 1.., segments)) = self.reading.standing() {
            let _ = write!(words, "; {suspects}: {}", segments.join(" "));
        }
        words.push_str(match self.culprit() {
            Some(Culprit::Cleared) => "; **cleared**",
            Some(Culprit::AssumedAway) => "; *assumed away*",
            Some(Culprit::Absent) if !self.reading.is_open() => "; *not standing*",
            _ => "",
        });
        words
    }
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}
