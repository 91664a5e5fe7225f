//! What a provider writes: logged line by line, bounded, and its last lines kept to explain its end.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use trellis_lattice::ComponentId;

/// The longest line of a provider's output that is logged; the rest of it is left out.
const MAX_LINE_BYTES: usize = 4096;
/// How many lines of a provider's standard error are kept to explain its end.
const KEPT_LINES: usize = 5;
/// How much of each kept line is told.
const KEPT_CHARS: usize = 300;
/// How many lines of one stream are logged in one [`PERIOD`]: a provider that writes without end must not fill the
/// host's log.
const LINES_A_PERIOD: u32 = 100;
/// The time over which lines are counted.
const PERIOD: Duration = Duration::from_secs(1);

/// The last lines of a stream, each shortened.
#[derive(Clone, Debug, Default)]
pub(super) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    /// What they are now, oldest first.
    pub(super) fn get(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }

    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        let short = match line.char_indices().nth(KEPT_CHARS) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line.to_owned(),
        };
        lines.push_back(short);
    }
}

/// Logs what a provider writes to a stream until it closes.
pub(super) async fn log_lines(
    mut source: impl AsyncRead + Unpin,
    id: ComponentId,
    stream: &'static str,
    keep: Option<LastLines>,
) {
    let log = Log { id, stream, keep };
    let mut lines = Lines::default();
    let mut allowance = Allowance::new(Instant::now());
    let mut buffer = vec![0; 8192];
    loop {
        let read = source.read(&mut buffer);
        let count = match allowance.closes() {
            None => read.await,
            // What was left out is told even when nothing follows.
            Some(when) => match tokio::time::timeout_at(when.into(), read).await {
                Ok(count) => count,
                Err(_) => {
                    log.left_out(allowance.begin(Instant::now()));
                    continue;
                }
            },
        };
        let count = match count {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        lines.take(&buffer[..count], |line| log.line(&mut allowance, line));
    }
    lines.end(|line| log.line(&mut allowance, line));
    log.left_out(allowance.begin(Instant::now()));
}

/// Where a stream's lines go.
struct Log {
    id: ComponentId,
    stream: &'static str,
    keep: Option<LastLines>,
}

impl Log {
    fn line(&self, allowance: &mut Allowance, line: &str) {
        if let Some(keep) = &self.keep {
            keep.push(line);
        }
        let now = Instant::now();
        if allowance.closes().is_some_and(|when| when <= now) {
            self.left_out(allowance.begin(now));
        }
        if allowance.take(now) {
            tracing::info!(target: "provider", provider = %self.id, stream = self.stream, "{line}");
        }
    }

    fn left_out(&self, lines: u64) {
        if lines > 0 {
            tracing::warn!(
                target: "provider", provider = %self.id, stream = self.stream,
                "{lines} lines left out: more than {LINES_A_PERIOD} in a second"
            );
        }
    }
}

/// How many more lines may be logged in this period, and how many were not.
struct Allowance {
    since: Instant,
    logged: u32,
    left_out: u64,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            logged: 0,
            left_out: 0,
        }
    }

    /// Whether one more line may be logged.
    fn take(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= PERIOD && self.left_out == 0 {
            self.begin(now);
        }
        if self.logged < LINES_A_PERIOD {
            self.logged += 1;
            return true;
        }
        self.left_out = self.left_out.saturating_add(1);
        false
    }

    /// When it is to be told that lines were left out; `None` when none were.
    fn closes(&self) -> Option<Instant> {
        (self.left_out > 0).then(|| self.since + PERIOD)
    }

    /// Begins a new period; how many lines the old one left out.
    fn begin(&mut self, now: Instant) -> u64 {
        std::mem::replace(self, Self::new(now)).left_out
    }
}

/// Cuts bytes into lines, each bounded.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
    /// How much of the line was left out.
    left_out: usize,
}

impl Lines {
    fn take(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let fits = text.len().min(MAX_LINE_BYTES - self.begun.len());
            self.begun.extend_from_slice(&text[..fits]);
            self.left_out += text.len() - fits;
            if ends {
                self.end(&mut each);
            }
        }
    }

    fn end(&mut self, mut each: impl FnMut(&str)) {
        let line = String::from_utf8_lossy(&self.begun);
        let line = line.trim_end();
        if !line.is_empty() {
            match self.left_out {
                0 => each(line),
                bytes => each(&format!("{line}… ({bytes} more bytes)")),
            }
        }
        self.begun.clear();
        self.left_out = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for chunk in chunks {
            lines.take(chunk, |line| seen.push(line.to_owned()));
        }
        lines.end(|line| seen.push(line.to_owned()));
        seen
    }

    #[test]
    fn output_is_cut_into_lines() {
        assert_eq!(
            lines(&[b"one\ntw", b"o\r\n\n", b"thr\xffee"]),
            ["one", "two", "thr\u{fffd}ee"]
        );
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let long = vec![b'x'; 3 * MAX_LINE_BYTES];
        let seen = lines(&[&long, &long, b"\nnext\n"]);
        assert_eq!(seen.len(), 2);
        assert!(seen[0].len() < MAX_LINE_BYTES + 40);
        assert!(seen[0].ends_with(&format!("({} more bytes)", 5 * MAX_LINE_BYTES)));
        assert_eq!(seen[1], "next");
    }

    #[test]
    fn so_many_lines_are_logged_and_the_rest_counted() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let logged = (0..LINES_A_PERIOD + 7)
            .filter(|_| allowance.take(start))
            .count();
        assert_eq!(logged, LINES_A_PERIOD as usize);
        assert_eq!(allowance.closes(), Some(start + PERIOD));
        assert_eq!(allowance.begin(start + PERIOD), 7);
        assert_eq!(allowance.closes(), None);
        assert!(allowance.take(start + PERIOD));
    }

    #[test]
    fn a_quiet_stream_is_never_cut() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        for second in 0..5 {
            let now = start + second * PERIOD;
            assert!((0..LINES_A_PERIOD).all(|_| allowance.take(now)));
        }
        assert_eq!(allowance.begin(start), 0);
    }

    #[test]
    fn the_last_lines_are_kept_and_shortened() {
        let last = LastLines::default();
        for number in 0..2 * KEPT_LINES {
            last.push(&format!("{number} {}", "é".repeat(2 * KEPT_CHARS)));
        }
        let lines = last.get();
        assert_eq!(lines.len(), KEPT_LINES);
        assert!(
            lines[0].starts_with(&format!("{KEPT_LINES} é")),
            "{lines:?}"
        );
        assert!(
            lines
                .iter()
                .all(|line| line.chars().count() == KEPT_CHARS + 1)
        );
    }

    #[tokio::test]
    async fn a_flood_ends_and_its_last_lines_are_known() {
        let text: String = (0..10 * LINES_A_PERIOD)
            .map(|number| format!("line {number}\n"))
            .collect();
        let last = LastLines::default();
        let id = ComponentId::new("noisy").unwrap();
        log_lines(text.as_bytes(), id, "stderr", Some(last.clone())).await;
        assert_eq!(
            last.get().last().map(String::as_str),
            Some(format!("line {}", 10 * LINES_A_PERIOD - 1).as_str())
        );
    }
}
