//! What may be typed. Parsing checks form only: it resolves no names and opens no files.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Parser, Subcommand};
use ipnet::IpNet;
use whichhop::attempt::Ports;
use whichhop::recording::{Timestamp, is_hostile};

/// As in `live`, which builds without it lack.
const CAPTURE_BUFFER: u32 = 2 << 20;

const STATUS: &str = "\
Exit status:
  0  SSH is reachable
  1  it is not, and all suspects that stand lie in one segment of the path
  2  wrong usage, unreadable input, missing permission or unknown host
  3  it is not, and suspects in several segments stand";

const EXAMPLES: &str = "\
Examples:
  sudo whichhop trace vm1.example.com
  sudo whichhop trace -p 2222 -w run.pcapng azureuser@198.19.0.4
  whichhop replay run.pcapng
  whichhop replay --json run.pcapng
  whichhop attempts -p any huge.pcap";

const TRACE_EXAMPLES: &str = "\
Examples:
  sudo whichhop trace vm1.example.com
  sudo whichhop trace -p 2222 -w run.pcapng azureuser@198.19.0.4
  sudo whichhop trace --azure-net 10.40.0.0/16 --json 10.40.1.4

Without CAP_NET_RAW the trace does what an unprivileged program can, and says what is missing.";

const REPLAY_EXAMPLES: &str = "\
Examples:
  whichhop replay run.pcapng
  whichhop replay -p 2222 --json tcpdump.pcap
  whichhop replay run.pcapng.gz";

const ATTEMPTS_EXAMPLES: &str = "\
Examples:
  whichhop attempts tcpdump.pcap
        every attempt to port 22, a line each
  whichhop attempts -p any --summary rotated.pcap.*.gz
        how many there are by outcome, by server and by hour
  whichhop attempts --server 20.1.2.0/24 --from '2026-11-22 17:00' huge.pcap.zst
        those to one network, from that time on (UTC)
  whichhop attempts -p 22,8000-8010 --json huge.pcap | jq -r .outcome
        JSON, for programs
  tcpdump -i eth0 -U -w - port 22 | whichhop attempts -
        what happens now";

const ATTEMPTS_STATUS: &str = "\
Exit status:
  0  the input could be read, to its end or to where it breaks off
  2  wrong usage or unreadable input";

/// Which hop drops my SSH?
///
/// Finds out which part of the path to an Azure VM stops SSH (this computer, the organisation's edge, a network
/// in transit, Azure's edge or the VM itself) and shows the packets that prove it.
#[derive(Debug, Parser)]
#[command(name = "whichhop", version, max_term_width = 80, arg_required_else_help = true)]
#[command(after_help = format!("{EXAMPLES}\n\n{STATUS}"))]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Try SSH to a host, probe the path to it, and say what stops it
    #[command(after_help = format!("{TRACE_EXAMPLES}\n\n{STATUS}"))]
    Trace(Trace),
    /// Say the same of a recorded trace, or of any pcap or pcapng capture
    #[command(after_help = format!("{REPLAY_EXAMPLES}\n\n{STATUS}"))]
    Replay(Replay),
    /// List the TCP connection attempts in captures, and what became of each
    ///
    /// Reads pcap and pcapng, plain or compressed with gzip or zstd, of any length.
    ///
    /// An attempt is a SYN and its retransmissions; where a capture lacks the SYN, there is none. It is printed once
    /// it is decided: it ended, or the time of the capture has moved on without it. --settle, --unanswered and --idle
    /// say how far. Ctrl-C ends the input, and what is known by then is printed; a second one ends at once.
    #[command(after_help = format!("{ATTEMPTS_EXAMPLES}\n\n{ATTEMPTS_STATUS}"))]
    Attempts(Attempts),
}

#[derive(Debug, clap::Args)]
#[cfg_attr(not(all(feature = "live", target_os = "linux")), allow(dead_code))]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(super) struct Trace {
    /// Port that sshd should listen on [default: 22]
    #[arg(short, long, value_name = "PORT", value_parser = port)]
    pub(super) port: Option<u16>,

    /// Use IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub(super) ipv4: bool,

    /// Use IPv6 only
    #[arg(short = '6', long)]
    pub(super) ipv6: bool,

    /// Local address to connect from, as in ssh
    #[arg(short, long, value_name = "BIND_ADDRESS")]
    pub(super) bind: Option<IpAddr>,

    #[command(flatten)]
    pub(super) nets: Nets,

    /// Where the port is silent, also find out whether SYNs get to the VM's address at all: takes half a minute longer
    /// on IPv4, a minute on IPv6
    #[arg(long)]
    pub(super) deep: bool,

    /// Longest time the whole trace may take [default: 10, with --deep 80]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub(super) deadline: Option<Duration>,

    /// How long to wait for sshd's banner
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds, allow_negative_numbers = true)]
    pub(super) banner_wait: Duration,

    /// Keep a recording of the trace, for `whichhop replay` and Wireshark
    #[arg(short, long, value_name = "FILE.pcapng", value_parser = OsStringValueParser::new().try_map(recording))]
    pub(super) write: Option<PathBuf>,

    /// Buffer of each capture; more lets fewer packets get lost on a busy link
    #[arg(long, value_name = "BYTES", default_value_t = CAPTURE_BUFFER, value_parser = clap::value_parser!(u32).range(4096..=1 << 30))]
    pub(super) buffer: u32,

    /// Print the report as JSON
    #[arg(long)]
    pub(super) json: bool,

    /// Name or address of the VM: HOST, USER@HOST or ssh://[USER@]HOST[:PORT]
    #[arg(value_name = "HOST", value_parser = host)]
    pub(super) host: Host,
}

#[derive(Debug, clap::Args)]
pub(super) struct Replay {
    /// Port that sshd should listen on [default: that of the recorded trace, else 22]
    #[arg(short, long, value_name = "PORT", value_parser = port)]
    pub(super) port: Option<u16>,

    #[command(flatten)]
    pub(super) nets: Nets,

    /// Print the report as JSON
    #[arg(long)]
    pub(super) json: bool,

    /// Recording of a trace, or capture taken on the client (`client=FILE` says so); `-` reads standard input
    #[arg(value_name = "FILE", value_parser = OsStringValueParser::new().try_map(|text| input(&text)))]
    pub(super) file: Input,
}

#[derive(Debug, clap::Args)]
pub(super) struct Attempts {
    /// Ports of the server, a list of numbers and ranges such as 22,8000-8010, or `any`; may be repeated. What is named is
    /// judged as SSH; with `any`, only port 22 is
    #[arg(short, long = "port", value_name = "PORTS|any", default_value = "22", value_delimiter = ',', value_parser = ports_or_any)]
    pub(super) ports: Vec<Option<RangeInclusive<u16>>>,

    #[command(flatten)]
    pub(super) only: Only,

    /// Print one JSON object a line; with --summary, one in all
    #[arg(long)]
    pub(super) json: bool,

    /// Print at the end, in order of first SYN; this takes memory for every attempt
    #[arg(long, conflicts_with = "summary")]
    pub(super) sort: bool,

    /// Print no attempts, but how many there are by outcome, by server (the 20 with most) and by hour (UTC)
    #[arg(long)]
    pub(super) summary: bool,

    /// Decide an attempt that was reset, refused or closed by both sides after this long without a packet of it
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = limit, allow_negative_numbers = true, help_heading = LIMITS)]
    pub(super) settle: Duration,

    /// Decide an attempt whose handshake is not done after this long
    #[arg(long, value_name = "SECONDS", default_value = "130", value_parser = limit, allow_negative_numbers = true, help_heading = LIMITS)]
    pub(super) unanswered: Duration,

    /// Decide an established connection after this long
    #[arg(long, value_name = "SECONDS", default_value = "7500", value_parser = limit, allow_negative_numbers = true, help_heading = LIMITS)]
    pub(super) idle: Duration,

    /// Captures, read as one in order of time; gzip and zstd are undone; `-` reads standard input
    #[arg(value_name = "FILE", required = true, value_parser = OsStringValueParser::new().try_map(|text| capture(&text)))]
    pub(super) files: Vec<Input>,
}

/// Headings of options in the help.
const FILTERS: &str = "Filters";
const LIMITS: &str = "When an attempt is decided, in the time of the capture";

/// Which attempts are wanted.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Only {
    /// Only attempts from or to this network or address; may be repeated
    #[arg(short, long, value_name = "CIDR", value_parser = network, help_heading = FILTERS)]
    pub(super) address: Vec<IpNet>,

    /// Only attempts from this network or address; may be repeated
    #[arg(long, value_name = "CIDR", value_parser = network, help_heading = FILTERS)]
    pub(super) client: Vec<IpNet>,

    /// Only attempts to this network or address; may be repeated
    #[arg(long, value_name = "CIDR", value_parser = network, help_heading = FILTERS)]
    pub(super) server: Vec<IpNet>,

    /// Only attempts whose first SYN was captured at this time or later: 2026-11-22T18:00:00+01:00, without an offset
    /// in UTC, as the table has it; or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = instant, allow_negative_numbers = true, help_heading = FILTERS)]
    pub(super) from: Option<Timestamp>,

    /// Only attempts whose first SYN was captured before this time; reading ends once all of them are decided
    #[arg(long, value_name = "TIME", value_parser = instant, allow_negative_numbers = true, help_heading = FILTERS)]
    pub(super) until: Option<Timestamp>,
}

impl Attempts {
    /// Whether attempts are printed while captures are read.
    pub(super) fn prints_as_it_reads(&self) -> bool {
        !self.sort && !self.summary
    }
}

impl Only {
    /// Whether all are wanted.
    pub(super) fn is_all(&self) -> bool {
        let nets = [&self.address, &self.client, &self.server];
        nets.iter().all(|nets| nets.is_empty()) && self.from.is_none() && self.until.is_none()
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Nets {
    /// Network to count as the organisation's edge, beside private addresses before the first public hop; may
    /// be repeated
    #[arg(long = "edge-net", value_name = "CIDR", value_parser = network)]
    pub(super) edge: Vec<IpNet>,

    /// Network to count as Azure, beside the built-in ones; may be repeated
    #[arg(long = "azure-net", value_name = "CIDR", value_parser = network)]
    pub(super) azure: Vec<IpNet>,

    /// Azure's own list of its addresses (ServiceTags_Public_….json, or what `az network list-service-tags` prints), for
    /// one newer than the built-in list
    #[arg(long = "azure-tags", value_name = "FILE")]
    pub(super) tags: Option<PathBuf>,
}

/// A host as typed, without the user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(all(feature = "live", target_os = "linux")), allow(dead_code))]
pub(super) struct Host {
    /// Name or address.
    pub(super) name: String,
    /// The port of an `ssh://` URI.
    pub(super) port: Option<u16>,
}

/// Where a recording is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Stdin,
    File(PathBuf),
}

fn port(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(0) => Err("nothing can listen on port 0; ports go from 1 to 65535".to_owned()),
        Ok(port) => Ok(port),
        Err(_) => Err("a port is a number from 1 to 65535".to_owned()),
    }
}

/// A port, or a range of them, or `None` for any.
fn ports_or_any(text: &str) -> Result<Option<RangeInclusive<u16>>, String> {
    if text == "any" {
        return Ok(None);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let ends = port(first).and_then(|first| Ok((first, port(last)?)));
    let (first, last) =
        ends.map_err(|error| format!("{error}, a range is written as 8000-8010, and any port as `any`"))?;
    if first > last {
        return Err(format!("the range is empty: the lower port comes first, `{last}-{first}`"));
    }
    Ok(Some(first..=last))
}

/// The ports that were named; any port where `any` is among them.
pub(super) fn ports(named: &[Option<RangeInclusive<u16>>]) -> Ports {
    named.iter().cloned().collect::<Option<Vec<_>>>().map_or(Ports::Any, Ports::Only)
}

/// Decimal seconds, more than none and up to an hour.
fn seconds(text: &str) -> Result<Duration, String> {
    seconds_up_to(text, 3600)
}

/// Seconds of a capture, which may last for days.
fn limit(text: &str) -> Result<Duration, String> {
    seconds_up_to(text, 31_536_000)
}

fn seconds_up_to(text: &str, most: u64) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .and_then(|s| Duration::try_from_secs_f64(s).ok())
        .filter(|d| *d >= Duration::from_millis(1) && *d <= Duration::from_secs(most))
        .ok_or_else(|| format!("a number of seconds from 0.001 to {most}"))
}

/// An instant: a date and time with an offset, or in UTC without; a date, for its beginning in UTC; or seconds since 1970.
fn instant(text: &str) -> Result<Timestamp, String> {
    let since_1970 = || {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || !plain(fraction) || fraction.len() > 9 {
            return None;
        }
        let fraction = format!("{fraction:0<9}").parse::<i64>().ok()?;
        whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(fraction).map(|nanos| sign * nanos)
    };
    let dated = || {
        let utc =
            |civil: jiff::civil::DateTime| civil.to_zoned(jiff::tz::TimeZone::UTC).map(|t| t.timestamp());
        let dated = text.parse::<jiff::Timestamp>().or_else(|_| text.parse().and_then(utc));
        i64::try_from(dated.ok()?.as_nanosecond()).ok()
    };
    since_1970().or_else(dated).map(Timestamp::from_nanos).ok_or_else(|| {
        "a time is written as 2026-11-22T18:00:00+01:00, as 2026-11-22 17:00:00 (UTC), or in seconds since 1970 \
         as 1795366800.25"
            .to_owned()
    })
}

/// A network, or a bare address for the network of that address alone.
fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    match text.parse::<IpNet>() {
        Ok(net) => Ok(net.trunc()),
        Err(_) => Err("a network is written as 10.22.0.0/16, fd22::/16 or a single address".to_owned()),
    }
}

/// Takes a host the ways ssh does.
fn host(text: &str) -> Result<Host, String> {
    let (rest, port) = match text.strip_prefix("ssh://") {
        Some(uri) => uri_authority(uri)?,
        None => (text, None),
    };
    // Like ssh, take the last @: user names may hold one.
    let name = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let name = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    if name.is_empty() {
        return Err("there is no host in it".to_owned());
    }
    if name.starts_with('-') {
        return Err("a host name cannot begin with `-`".to_owned());
    }
    if name.parse::<IpAddr>().is_err() {
        if let Some((before, after)) = name.rsplit_once(':')
            && let Ok(port) = after.parse::<u16>()
            && is_host_alone(before)
        {
            let before = before.strip_prefix('[').and_then(|b| b.strip_suffix(']')).unwrap_or(before);
            return Err(format!("give the port with -p: `-p {port} {before}`"));
        }
        // What ssh refuses too: a name may come to stand on a command line.
        let refused = |c: &char| c.is_whitespace() || is_hostile(*c) || "/@[]\\'\"`$;&<>|(){}".contains(*c);
        if let Some(c) = name.chars().find(refused) {
            return Err(format!("a host name cannot contain {c:?}"));
        }
        if name.len() > 253 {
            return Err("a host name has at most 253 bytes".to_owned());
        }
    }
    Ok(Host { name: name.to_owned(), port })
}

/// Whether this is a name, or an IPv6 address in brackets.
fn is_host_alone(text: &str) -> bool {
    let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
        || text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

/// `[user@]host` and the port of what follows `ssh://`.
fn uri_authority(uri: &str) -> Result<(&str, Option<u16>), String> {
    let uri = uri.strip_suffix('/').unwrap_or(uri);
    match uri.rsplit_once(':') {
        Some((rest, digits)) if !digits.contains(']') && !digits.contains('@') => {
            Ok((rest, Some(port(digits)?)))
        }
        _ => Ok((uri, None)),
    }
}

fn recording(path: OsString) -> Result<PathBuf, String> {
    if path.is_empty() || path == "-" {
        return Err("a recording needs a file of its own: standard output carries the report".to_owned());
    }
    Ok(path.into())
}

fn input(text: &OsStr) -> Result<Input, String> {
    let bytes = text.as_encoded_bytes();
    for role in ["edge", "azure-edge", "vm"] {
        if bytes.strip_prefix(role.as_bytes()).is_some_and(|rest| rest.starts_with(b"=")) {
            return Err(format!(
                "captures taken elsewhere than on the client (here: {role}) are not supported yet"
            ));
        }
    }
    let file = text.to_str().map_or(text, |t| t.strip_prefix("client=").unwrap_or(t).as_ref());
    if file.is_empty() {
        return Err("there is no file name in it".to_owned());
    }
    Ok(if file == "-" { Input::Stdin } else { Input::File(file.into()) })
}

/// A capture, wherever it was taken.
fn capture(text: &OsStr) -> Result<Input, String> {
    if text.is_empty() {
        return Err("there is no file name in it".to_owned());
    }
    Ok(if text == "-" { Input::Stdin } else { Input::File(text.into()) })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn named(name: &str) -> Host {
        Host { name: name.to_owned(), port: None }
    }

    #[test]
    fn the_arguments_do_not_contradict_themselves() {
        Args::command().debug_assert();
    }

    #[test]
    fn hosts_are_taken_as_ssh_takes_them() {
        assert_eq!(host("vm1"), Ok(named("vm1")));
        assert_eq!(host("azureuser@vm1.example.com"), Ok(named("vm1.example.com")));
        assert_eq!(host("user@example.com@vm1"), Ok(named("vm1")));
        assert_eq!(host("fd22::4"), Ok(named("fd22::4")));
        assert_eq!(host("[fd22::4]"), Ok(named("fd22::4")));
        assert_eq!(host("fe80::1%eth0"), Ok(named("fe80::1%eth0")));
        assert_eq!(host("ssh://vm1"), Ok(named("vm1")));
        assert_eq!(host("ssh://u@vm1:2222/"), Ok(Host { name: "vm1".to_owned(), port: Some(2222) }));
        assert_eq!(host("ssh://u@[fd22::4]:2222"), Ok(Host { name: "fd22::4".to_owned(), port: Some(2222) }));
        assert_eq!(host("ssh://u@[fd22::4]"), Ok(named("fd22::4")));
        assert_eq!(host("ssh://u:p@vm1"), Ok(named("vm1")));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let hostile = ["a\u{202e}b", "a\u{200b}b", "$(a)", "a;b", "a|b", "a&b", "a>b", "`a`"];
        let wrong =
            ["", "user@", "ssh://", "-oProxyCommand=x", "u@-x", "a b", "a\nb", "vm1:22", "http://vm1"];
        for text in wrong.into_iter().chain(hostile) {
            assert!(host(text).is_err(), "{text:?}");
        }
        assert!(host("ssh://vm1:0").unwrap_err().contains("port 0"));
        assert!(host("ssh://vm1:ssh").is_err());
        assert!(host("vm1:2222").unwrap_err().contains("-p 2222 vm1"));
        assert!(host("u@[fd22:77::2]:2302").unwrap_err().ends_with("`-p 2302 fd22:77::2`"));
        assert!(host("\u{1b}[31mvm1:22").unwrap_err().contains("cannot contain"));
        assert!(host(&"x".repeat(254)).is_err());
    }

    #[test]
    fn networks_may_be_single_addresses() {
        assert_eq!(network("10.22.1.9/16").unwrap().to_string(), "10.22.0.0/16");
        assert_eq!(network("10.22.1.9").unwrap().to_string(), "10.22.1.9/32");
        assert_eq!(network("fd22::1").unwrap().to_string(), "fd22::1/128");
        for text in ["", "10.22.0.0/33", "10.22/16", "vm1"] {
            assert!(network(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn seconds_have_bounds() {
        assert_eq!(seconds("10"), Ok(Duration::from_secs(10)));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for text in ["0", "-1", "NaN", "inf", "1e9", "ten", ""] {
            assert!(seconds(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn instants_are_dates_or_seconds() {
        let nanos = |text: &str| instant(text).unwrap().nanos();
        for text in [
            "2023-11-14T22:13:20Z",
            "2023-11-14T23:13:20+01:00",
            "2023-11-14 22:13:20",
            "2023-11-14T22:13:20.000",
            "1700000000",
            "1700000000.0",
        ] {
            assert_eq!(nanos(text), 1_700_000_000_000_000_000, "{text}");
        }
        assert_eq!(nanos("2023-11-14 22:13"), 1_699_999_980_000_000_000);
        assert_eq!(nanos("2023-11-14"), 1_699_920_000_000_000_000);
        assert_eq!(nanos("1511784000.123456789"), 1_511_784_000_123_456_789);
        assert_eq!(nanos("2017-11-27 12:00:00.123456789"), 1_511_784_000_123_456_789);
        assert_eq!(nanos("-1.5"), -1_500_000_000);
        for text in
            ["", "now", "12:00", "2023-13-01", "1e9", ".5", "1.", "9999999999999", "1.0000000001", "--5"]
        {
            assert!(instant(text).unwrap_err().contains("since 1970"), "{text}");
        }
    }

    #[test]
    fn a_capture_may_name_its_role() {
        let input = |text: &str| input(text.as_ref());
        assert_eq!(input("run.pcap"), Ok(Input::File("run.pcap".into())));
        assert_eq!(input("client=run.pcap"), Ok(Input::File("run.pcap".into())));
        assert_eq!(input("a=b.pcap"), Ok(Input::File("a=b.pcap".into())));
        assert_eq!(input("vm.pcap"), Ok(Input::File("vm.pcap".into())));
        assert_eq!(input("-"), Ok(Input::Stdin));
        assert_eq!(input("client=-"), Ok(Input::Stdin));
        for text in ["", "client=", "vm=x", "edge=x", "azure-edge=x"] {
            assert!(input(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn ports_may_be_listed_or_any() {
        let of = |line: &str| match Args::try_parse_from(line.split(' ')).unwrap().verb {
            Verb::Attempts(args) => ports(&args.ports),
            _ => panic!("other verb: {line}"),
        };
        assert_eq!(of("whichhop attempts x"), Ports::Only(vec![22..=22]));
        assert_eq!(
            of("whichhop attempts -p 22,2222 -p 443 x"),
            Ports::Only(vec![22..=22, 2222..=2222, 443..=443])
        );
        assert_eq!(of("whichhop attempts -p 22,8000-8010 x"), Ports::Only(vec![22..=22, 8000..=8010]));
        assert_eq!(of("whichhop attempts -p 1-65535 x"), Ports::Only(vec![1..=65535]));
        assert_eq!(of("whichhop attempts -p any x"), Ports::Any);
        assert_eq!(of("whichhop attempts -p 22,any x"), Ports::Any);
        for port in ["0", "all", "22,", "65536", "22-", "22-any", "0-22", "22-65536", "1-2-3", "22..23"] {
            assert!(Args::try_parse_from(["whichhop", "attempts", "-p", port, "x"]).is_err(), "{port}");
        }
        assert!(ports_or_any("8010-8000").unwrap_err().contains("`8000-8010`"));
        assert!(ports_or_any("22-").unwrap_err().contains("a range"));
    }

    #[test]
    fn a_recording_needs_a_file() {
        assert!(recording("-".into()).is_err());
        assert_eq!(recording("run.pcapng".into()), Ok("run.pcapng".into()));
    }
}
