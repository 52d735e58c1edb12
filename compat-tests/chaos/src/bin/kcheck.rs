//! kcheck [--as-acks-all] HISTORY…: holds the histories of one run, together, to every rule. Exit code 1 on an anomaly.

use std::env;
use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;

use kcheck::Loader;

fn main() -> ExitCode {
    let (flags, files): (Vec<_>, Vec<_>) =
        env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let as_acks_all = flags.iter().any(|flag| flag == "--as-acks-all");
    if files.is_empty() || flags.iter().any(|flag| flag != "--as-acks-all") {
        eprintln!("usage: kcheck [--as-acks-all] HISTORY…");
        return ExitCode::from(2);
    }
    match run(&files, as_acks_all) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(files: &[String], as_acks_all: bool) -> Result<u64, Box<dyn std::error::Error>> {
    let mut loader = Loader::default();
    for name in files {
        let file = File::open(name).map_err(|error| format!("{name}: {error}"))?;
        loader
            .read(BufReader::with_capacity(1 << 20, file))
            .map_err(|error| format!("{name}: {error}"))?;
    }
    let history = loader.finish();
    let report = kcheck::check(&history, as_acks_all)?;
    print!("{}{report}", kcheck::report::Figures::of(&history));
    println!("{} anomalies", report.total());
    Ok(report.total())
}
