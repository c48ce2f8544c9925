//! The little HTTP that the stand-ins need: a server that answers each request with a function, and one request out.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, net::TcpStream, task::JoinHandle};

/// Ends the server when dropped.
pub struct Serving {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub async fn serve<F, R>(listen: &str, answer: F) -> std::io::Result<Serving>
where
    F: Fn(Request<Bytes>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let answer = Arc::new(answer);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.map(|all| all.to_bytes()).unwrap_or_default();
                        Ok::<_, Infallible>(answer(Request::from_parts(head, body)).await)
                    }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(Serving { address, task })
}

/// One request on a connection of its own, to an `http://host:port/…` address.
pub async fn send(request: Request<Full<Bytes>>) -> std::io::Result<Response<Bytes>> {
    let other = |error: hyper::Error| std::io::Error::other(error.to_string());
    let authority = request.uri().authority().cloned().ok_or_else(|| std::io::Error::other("the url names no host"))?;
    let host = (authority.host().trim_matches(['[', ']']).to_owned(), authority.port_u16().unwrap_or(80));
    let exchange = async move {
        let stream = TcpStream::connect((host.0.as_str(), host.1)).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(other)?;
        let driver = tokio::spawn(connection);
        let (mut head, body) = request.into_parts();
        head.headers.insert("host", authority.as_str().parse().map_err(std::io::Error::other)?);
        head.uri = head.uri.path_and_query().map_or("/", |pq| pq.as_str()).parse().map_err(std::io::Error::other)?;
        let response = sender.send_request(Request::from_parts(head, body)).await.map_err(other)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(other)?.to_bytes();
        driver.abort();
        Ok(Response::from_parts(head, body))
    };
    tokio::time::timeout(Duration::from_secs(30), exchange)
        .await
        .map_err(|_| std::io::Error::other("no answer in 30 s"))?
}
