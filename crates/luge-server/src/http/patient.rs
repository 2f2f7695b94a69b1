//! A connection that does not wait for ever on someone who does not read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream whose writes fail when nothing of them has gone through for a while. How long
/// a request may take to arrive is others' business.
pub struct Patient<S> {
    stream: S,
    patience: Duration,
    /// Runs while a write waits.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub fn new(stream: S, patience: Duration) -> Self {
        Patient { stream, patience, until: None }
    }

    /// What came of a write, or that it has waited for too long.
    fn or_late<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.until = None;
            return poll;
        }
        let patience = self.patience;
        let until = self.until.get_or_insert_with(|| Box::pin(sleep(patience)));
        match until.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.or_late(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.or_late(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.or_late(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.or_late(context, poll)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn write(patient: &mut Patient<TcpStream>) -> io::Result<usize> {
        poll_fn(|context| Pin::new(&mut *patient).poll_write(context, &[1; 1 << 16])).await
    }

    #[tokio::test]
    async fn a_write_that_no_one_reads_fails_and_one_that_is_read_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        let mut patient = Patient::new(near, Duration::from_millis(20));
        // As much as the system holds waits for no one.
        let mut sent = 0;
        let late = loop {
            match write(&mut patient).await {
                Ok(count) => sent += count,
                Err(error) => break error,
            }
        };
        assert!(sent > 0 && late.kind() == io::ErrorKind::TimedOut, "{sent}: {late}");

        // Another one is as patient as the first, and is not late when this is read.
        patient.patience = Duration::from_secs(60);
        patient.until = None;
        let reading = tokio::spawn(async move {
            let mut read = 0;
            while read < sent {
                far.readable().await.unwrap();
                read += far.try_read(&mut [0; 1 << 16]).unwrap_or(0);
            }
        });
        assert!(write(&mut patient).await.unwrap() > 0);
        reading.await.unwrap();
    }
}
