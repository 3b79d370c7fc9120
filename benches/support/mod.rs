//! What both benchmarks need: inputs, interleaved rounds, a table.

pub(crate) mod generate;

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Nothing here can go on after an error.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// How long a contender may take on one input before the rounds go on without it.
const BUDGET: Duration = Duration::from_secs(10);

/// How often a contender runs on one input: at least once, at most so often.
const ROUNDS: usize = 40;

/// The name of the contender that the others are compared with.
pub(crate) const OURS: &str = "this function";

/// Rewrites a whole YAML file as programs do that parse it, change it and write it.
pub(crate) fn round_trip(input: &str) -> Outcome<String> {
    let value: serde_yaml::Value = serde_yaml::from_str(input)?;
    Ok(serde_yaml::to_string(&value)?)
}

/// One contender on one input.
pub(crate) struct Figures {
    contender: String,
    times: Vec<Duration>,
    peak_kib: u64,
}

impl Figures {
    pub(crate) fn new(contender: &str) -> Self {
        Self { contender: contender.to_owned(), times: Vec::new(), peak_kib: 0 }
    }

    pub(crate) fn contender(&self) -> &str {
        &self.contender
    }

    pub(crate) fn add(&mut self, time: Duration, peak_kib: u64) {
        self.times.push(time);
        self.peak_kib = self.peak_kib.max(peak_kib);
    }

    fn is_spent(&self) -> bool {
        self.times.iter().sum::<Duration>() > BUDGET
    }

    fn min(&self) -> Duration {
        self.times.iter().min().copied().unwrap_or_default()
    }

    fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }
}

/// Runs all contenders in turns, so that whatever else the machine does meets all of them.
pub(crate) fn interleave(
    contenders: &[&str],
    mut run: impl FnMut(usize, &mut Figures) -> Outcome<()>,
) -> Outcome<Vec<Figures>> {
    let mut figures: Vec<_> = contenders.iter().map(|name| Figures::new(name)).collect();
    for _ in 0..ROUNDS {
        for (index, figures) in figures.iter_mut().enumerate() {
            if !figures.is_spent() {
                run(index, figures)?;
            }
        }
    }
    Ok(figures)
}

/// Rows of a Markdown table for one input.
pub(crate) fn rows(input: &str, size: usize, figures: &[Figures]) -> String {
    let mut rows = String::new();
    let ours = figures.first().map_or(Duration::ZERO, Figures::min);
    for row in figures {
        let factor = row.min().as_secs_f64() / ours.as_secs_f64();
        let _infallible = writeln!(
            rows,
            "| {input} | {} | {} | {} | {} | {factor:.1} | {:.1} MB | {} |",
            megabytes(size as u64),
            row.contender,
            milliseconds(row.min()),
            milliseconds(row.median()),
            row.peak_kib as f64 * 1024.0 / 1e6,
            row.times.len(),
        );
    }
    rows
}

/// The head of the table that [`rows`] fills.
pub(crate) const HEAD: &str = "\
| input | size | contender | min | median | min, as a multiple | peak memory | runs |
|---|---|---|---|---|---|---|---|
";

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn megabytes(bytes: u64) -> String {
    if bytes < 1_000_000 {
        format!("{:.1} KB", bytes as f64 / 1e3)
    } else {
        format!("{:.1} MB", bytes as f64 / 1e6)
    }
}

/// Whether the command line asks for an input: it may name parts of names, or nothing for all.
pub(crate) fn is_wanted(input: &str) -> bool {
    // Cargo adds `--bench`.
    let is_filter = |argument: &String| !argument.starts_with("--");
    let mut filters = std::env::args().skip(1).filter(is_filter).peekable();
    filters.peek().is_none() || filters.any(|filter| input.contains(&filter))
}

/// With `--write`, puts a table into `docs/benchmarks.md`, between the two comments that name it.
pub(crate) fn write_if_asked(name: &str, table: &str) -> Outcome<()> {
    if !std::env::args().any(|argument| argument == "--write") {
        return Ok(());
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md");
    let page = fs::read_to_string(&path)?;
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let parts = page.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or_else(|| format!("no {begin} in docs/benchmarks.md"))?;
    let text = format!("{before}{begin}\n{}\n\n{HEAD}{table}\n{end}{after}", machine());
    Ok(fs::write(path, text)?)
}

/// The most memory that this process has held.
pub(crate) fn own_peak_kib() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next())
        .ok_or("no VmHWM in /proc/self/status")?;
    Ok(peak.parse()?)
}

/// A folder for inputs and programs under `target/`.
pub(crate) fn work_directory() -> Outcome<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench");
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// The processor and the number of its cores, as the table's caption.
pub(crate) fn machine() -> String {
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores, {}", std::env::consts::OS)
}
