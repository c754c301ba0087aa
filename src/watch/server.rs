//! The server: HTTP/1.1 on one thread, with a bound on everything that somebody outside can use up.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::board::Board;
use super::routes::routes;
use super::service::Orders;

/// Connections at once; the next one waits.
const MOST_CONNECTIONS: usize = 64;
/// How long a request's head may take.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection may last, whatever goes over it.
const CONNECTION_WITHIN: Duration = Duration::from_secs(60);
/// Lines of a request's head, and bytes that are read ahead.
const MOST_HEADERS: usize = 64;
const MOST_BYTES: usize = 16 * 1024;
/// How often it is looked whether the service is to end.
const GLANCE: Duration = Duration::from_millis(50);
/// The pause after an error of `accept`, which is mostly a lack of file descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// Serves until it is told to stop.
pub(super) fn serve(
    listener: TcpListener,
    board: Arc<Board>,
    orders: &Orders,
) -> Result<(), std::io::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    listener.set_nonblocking(true)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let accepting = tokio::spawn(accept(listener, board));
        while !orders.stopped() && !accepting.is_finished() {
            sleep(GLANCE).await;
        }
        Ok(())
    })
}

async fn accept(listener: tokio::net::TcpListener, board: Arc<Board>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let service = TowerToHyperService::new(routes(board));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                sleep(BREATH).await;
                continue;
            }
        };
        let service = service.clone();
        tokio::spawn(async move {
            converse(stream, service).await;
            drop(place);
        });
    }
}

/// One connection. Whatever goes wrong on it is the other side's affair.
async fn converse(stream: TcpStream, service: TowerToHyperService<axum::Router>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(MOST_HEADERS)
        .max_buf_size(MOST_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = timeout(CONNECTION_WITHIN, connection).await {
        tracing::debug!(%error, "a connection ended");
    }
}
