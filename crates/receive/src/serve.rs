//! Accepting connections, with their bounds.

use crate::Door;
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tokio_rustls::TlsAcceptor;

/// How long requests in flight may go on after a stop was asked for. What gets no 200 is sent again by Meta.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Serves until `shutdown` ends; then answers what is in flight and returns.
pub async fn serve(
    listener: TcpListener,
    door: Arc<Door>,
    tls: Option<TlsAcceptor>,
    shutdown: impl Future<Output = ()>,
) {
    let connections = Arc::new(Semaphore::new(door.config.connections_max));
    let (stop, stopped) = watch::channel(false);
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: the connections that are there must end first.
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(permit) = connections.clone().try_acquire_owned() else {
            metrics::counter!("guarita_received_total", "outcome" => "connections").increment(1);
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (door, tls, mut stopped) = (door.clone(), tls.clone(), stopped.clone());
        tokio::spawn(async move {
            if speaks(&stream, &door, &mut stopped).await {
                // Boxed, so that whoever says nothing does not hold the room that a conversation takes.
                Box::pin(greet(stream, tls, door, stopped)).await;
            }
            drop(permit);
        });
    }
    drop(listener);
    let _ = stop.send(true);
    // Every connection holds a permit; all of them back means that all are done.
    let all = u32::try_from(door.config.connections_max).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(DRAIN_MAX, connections.acquire_many(all)).await;
}

/// Waits for a connection's first byte, for as long as its headers may take. Until then it costs a socket and a few hundred
/// bytes; HTTP and TLS would set aside some 17 KiB at once, which ten thousand connections that say nothing must not get.
async fn speaks(stream: &TcpStream, door: &Door, stopped: &mut watch::Receiver<bool>) -> bool {
    let limit = Duration::from_secs(door.config.header_seconds_max);
    // A look at the byte itself: a socket may be called readable when nothing came.
    let mut first = [0];
    tokio::select! {
        seen = tokio::time::timeout(limit, stream.peek(&mut first)) => matches!(seen, Ok(Ok(1))),
        _ = stopped.changed() => false,
    }
}

async fn greet(stream: TcpStream, tls: Option<TlsAcceptor>, door: Arc<Door>, stopped: watch::Receiver<bool>) {
    let Some(acceptor) = tls else { return connection(stream, door, stopped).await };
    let limit = Duration::from_secs(door.config.header_seconds_max);
    if let Ok(Ok(stream)) = tokio::time::timeout(limit, acceptor.accept(stream)).await {
        connection(stream, door, stopped).await;
    } else {
        metrics::counter!("guarita_received_total", "outcome" => "tls").increment(1);
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    door: Arc<Door>,
    mut stopped: watch::Receiver<bool>,
) {
    let header = Duration::from_secs(door.config.header_seconds_max);
    let service = service_fn(move |request: Request<Incoming>| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(door.answer(request).await) }
    });
    let mut connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header)
        .max_headers(64)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    // A broken connection is its sender's affair, but for headers that never ended.
    let ended = tokio::select! {
        result = &mut connection => result,
        _ = stopped.changed() => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    if ended.is_err_and(|error| error.is_timeout()) {
        let parts = connection.into_parts();
        // One that was idle gets no answer: its sender could take it for that of the request it is just sending.
        if !parts.read_buf.is_empty() {
            metrics::counter!("guarita_received_total", "outcome" => "too_slow").increment(1);
            let mut stream = parts.io.into_inner();
            let answer = async {
                stream
                    .write_all(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .await?;
                stream.shutdown().await
            };
            let _ = tokio::time::timeout(Duration::from_secs(1), answer).await;
        }
    }
}
