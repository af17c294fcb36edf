//! The program `whichhop`: which hop drops my SSH?

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
