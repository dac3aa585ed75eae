//! A stream of which only so much is read: in all, and before others have their turn. What readers keep
//! between two turns, and how long a flood can occupy the thread, is bounded by that.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes that one conversation may send us: a body of 64 KiB in chunks of one byte fits.
const MOST: usize = 512 << 10;

/// Bytes that are read before others have their turn.
const GULP: usize = 4 << 10;

/// The stream.
pub(super) struct Ration<S> {
    stream: S,
    /// Bytes that may still be read.
    left: usize,
    /// Bytes that were read since others had their turn.
    gulp: usize,
}

impl<S> Ration<S> {
    pub(super) fn of(stream: S) -> Self {
        Self { stream, left: MOST, gulp: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ration<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, left, gulp } = self.get_mut();
        if *left == 0 {
            return Poll::Ready(Err(io::Error::new(ErrorKind::QuotaExceeded, "more than 512 KiB came")));
        }
        if *gulp >= GULP {
            *gulp = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let most = buffer.remaining().min(*left).min(GULP - *gulp);
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(stream).poll_read(context, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        *left -= read;
        *gulp += read;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ration<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
