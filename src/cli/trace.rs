//! `whichhop trace`: a live trace.

#[cfg(all(feature = "live", target_os = "linux"))]
pub(super) use here::run;

#[cfg(not(all(feature = "live", target_os = "linux")))]
pub(super) fn run(_: &super::args::Trace) -> anyhow::Result<super::Status> {
    anyhow::bail!("this build replays recordings only; live tracing needs Linux and feature `live`")
}

#[cfg(all(feature = "live", target_os = "linux"))]
mod here {
    use std::time::Duration;

    use anyhow::{Context, bail};
    use whichhop::live::{self, Family, Request, Traced};

    use crate::cli::args::Trace;
    use crate::cli::progress::Progress;
    use crate::cli::{Status, complain, input, output};

    /// How long a trace may take unless told otherwise.
    const DEADLINE: Duration = Duration::from_secs(10);
    const DEEP_DEADLINE: Duration = Duration::from_secs(80);

    /// The port of SSH.
    const SSH: u16 = 22;

    /// Traces, prints the report, and fails if the recording that was asked for could not be kept.
    pub(in crate::cli) fn run(args: &Trace) -> anyhow::Result<Status> {
        let traced = traced(&request(args)?)?;
        let findings = traced.findings.with_context(|| args.host.name.clone())?;
        let status = output::print(&findings, args.json)?;
        match traced.recording_failed {
            None => Ok(status),
            Some(error) => Err(error).context("the report is whole, but the recording is not"),
        }
    }

    /// Traces, and says on standard error what is going on meanwhile.
    fn traced(request: &Request) -> anyhow::Result<Traced> {
        let mut line = Progress::start();
        let traced = live::trace(request, |progress| match progress {
            live::Progress::Notice(text) => {
                line.show("");
                complain(text);
            }
            live::Progress::Status { text, elapsed, frames, .. } => {
                line.show(&format!("{:5.1} s  {text} ({frames} packets seen)", elapsed.as_secs_f64()));
            }
        })?;
        Ok(traced)
    }

    fn request(args: &Trace) -> anyhow::Result<Request> {
        let family = match (args.ipv4, args.ipv6) {
            (true, _) => Some(Family::V4),
            (_, true) => Some(Family::V6),
            _ => None,
        };
        if let (Some(family), Some(bind)) = (family, args.bind)
            && bind.is_ipv4() != (family == Family::V4)
        {
            bail!("bind address {bind} does not fit -{}", if bind.is_ipv4() { 6 } else { 4 });
        }
        Ok(Request {
            host: args.host.name.clone(),
            port: args.port.or(args.host.port).unwrap_or(SSH),
            family,
            bind: args.bind,
            deadline: args.deadline.unwrap_or(if args.deep { DEEP_DEADLINE } else { DEADLINE }),
            banner_wait: args.banner_wait,
            edge_nets: args.nets.edge.clone(),
            azure_nets: input::azure_networks(&args.nets)?,
            deep: args.deep,
            recording: args.write.clone(),
            buffer: args.buffer,
            seed: None,
        })
    }

    #[cfg(test)]
    mod tests {
        use clap::Parser;

        use super::*;
        use crate::cli::args::{Args, Verb};

        fn of(line: &str) -> anyhow::Result<Request> {
            match Args::try_parse_from(line.split(' ')).unwrap().verb {
                Verb::Trace(args) => request(&args),
                _ => panic!("not a trace: {line}"),
            }
        }

        #[test]
        fn defaults_are_those_that_help_states() {
            let request = of("whichhop trace vm1").unwrap();
            assert_eq!((request.host.as_str(), request.port, request.family), ("vm1", 22, None));
            assert_eq!((request.deadline.as_secs(), request.banner_wait.as_secs()), (10, 5));
            assert!(!request.deep);
            let deep = of("whichhop trace --deep vm1").unwrap();
            assert_eq!((deep.deadline.as_secs(), deep.deep), (80, true));
            assert_eq!(of("whichhop trace --deep --deadline 7 vm1").unwrap().deadline.as_secs(), 7);
        }

        #[test]
        fn an_explicit_port_outranks_that_of_the_uri() {
            assert_eq!(of("whichhop trace ssh://vm1:2222").unwrap().port, 2222);
            assert_eq!(of("whichhop trace -p 23 ssh://vm1:2222").unwrap().port, 23);
        }

        #[test]
        fn a_bind_address_of_the_other_family_is_refused() {
            assert!(of("whichhop trace -4 -b fd22::1 vm1").is_err());
            assert!(of("whichhop trace -6 -b 10.22.1.2 vm1").is_err());
            assert!(of("whichhop trace -6 -b fd22::1 vm1").is_ok());
        }
    }
}
