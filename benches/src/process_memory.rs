//! What processes have of memory, as the kernel counts it.

use std::fs;

use anyhow::{Context as _, Result};

/// What a process has resident now, in KiB.
///
/// # Errors
/// It is gone.
pub fn resident_kib(process: u32) -> Result<u64> {
    field(process, "VmRSS:")
}

/// The most that it had resident since [`forget_peak`], in KiB.
///
/// # Errors
/// It is gone.
pub fn peak_kib(process: u32) -> Result<u64> {
    field(process, "VmHWM:")
}

/// Has the peak begin at what is resident now.
///
/// # Errors
/// The process is gone, or another user's.
pub fn forget_peak(process: u32) -> Result<()> {
    let path = format!("/proc/{process}/clear_refs");
    // 5: "reset the peak resident set size to the process's current one" (proc(5)).
    fs::write(&path, "5").with_context(|| path)
}

fn field(process: u32, name: &str) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .with_context(|| format!("{path}: no {name}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn the_peak_follows_what_was_there_since_it_was_forgotten() {
        let process = std::process::id();
        forget_peak(process).unwrap();
        let before = peak_kib(process).unwrap();
        let held = black_box(vec![1_u8; 64 << 20]);
        drop(held);
        // Other tests of this program take memory too.
        assert!(peak_kib(process).unwrap() >= before + (48 << 10));
        assert!(resident_kib(process).unwrap() > 0);
        assert!(resident_kib(u32::MAX).is_err());
    }
}
