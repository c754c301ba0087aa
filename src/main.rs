//! The program: reads the command line, runs one verb, renders its outcome, ends.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
