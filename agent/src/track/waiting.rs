//! Waiting for the kernel without holding up other checks.

use std::{io, os::fd::OwnedFd};

use tokio::{
    io::{Interest, unix::AsyncFd},
    task,
};

/// Runs what may block for long (a file system that does not answer) on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// A descriptor to wait for until it can be read.
pub(super) fn readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // What is deprecated is giving it something that may change its number: this one cannot.
    #[allow(
        deprecated,
        reason = "the constructor in its place is unsafe, for descriptors that are not owned"
    )]
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}
