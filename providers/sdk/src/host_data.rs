//! Reading the host data from standard input, and noticing when the host is gone.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Read as _},
    thread,
};

use tokio::sync::oneshot;
use trellis_lattice::provider::{HostData, MAX_HOST_DATA_BYTES};

use crate::error::RunError;

/// Reads the line of host data, and says when standard input ends afterwards.
///
/// A thread of its own does the reading: tokio's standard input would keep the runtime from ending for as long as the
/// host holds the pipe open. It ends with standard input, or with the process.
///
/// # Errors
/// Nothing came, or not host data.
pub(crate) async fn read() -> Result<(HostData, oneshot::Receiver<()>), RunError> {
    if io::stdin().is_terminal() {
        let problem = io::Error::other("it is a terminal");
        return Err(RunError::NoHostData(problem));
    }
    let (line_sender, line) = oneshot::channel();
    let (end_sender, end) = oneshot::channel();
    thread::Builder::new()
        .name("host data".to_owned())
        .spawn(move || {
            // Whoever waited for the line or the end may be gone: then the process is ending.
            let _ = line_sender.send(read_line(&mut io::stdin().lock()));
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            let _ = end_sender.send(());
        })
        .map_err(RunError::NoHostData)?;
    let line = line
        .await
        .map_err(|_| RunError::NoHostData(io::Error::other("its reader failed")))?
        .map_err(RunError::NoHostData)?;
    Ok((HostData::from_line(&line)?, end))
}

fn read_line(input: &mut impl io::BufRead) -> io::Result<String> {
    let mut line = String::new();
    // One byte more than allowed, so that a line too long is seen to be.
    input
        .take(MAX_HOST_DATA_BYTES as u64 + 1)
        .read_line(&mut line)?;
    if line.trim().is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it ended without a line",
        ));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_read_and_no_more() {
        let mut input = io::Cursor::new("abc\nrest");
        assert_eq!(read_line(&mut input).unwrap(), "abc\n");
        assert_eq!(read_line(&mut input).unwrap(), "rest");
        assert!(read_line(&mut input).is_err());
    }

    #[test]
    fn a_line_without_an_end_is_not_read_for_ever() {
        let mut input = io::BufReader::new(io::repeat(b'a'));
        assert_eq!(
            read_line(&mut input).unwrap().len(),
            MAX_HOST_DATA_BYTES + 1
        );
    }
}
