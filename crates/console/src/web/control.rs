//! The control socket: the admin API for commands on this machine, on a unix socket in the storage folder. The kernel says
//! who is at the other end; only the gateway's own user and root are heard.

use axum::{Router, extract::Request};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{future::Future, io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};
use tower_service::Service as _;

/// The socket's name inside of `storage.path`.
pub const CONTROL_SOCKET: &str = "control.sock";

/// Commands at one time.
const CONNECTIONS_MAX: usize = 16;
const HEADER_MAX: Duration = Duration::from_secs(10);

/// A command of this user, as the audit names them. Only ever put into a request by [`serve_control`].
#[derive(Clone, Debug)]
pub(crate) struct LocalUser(pub String);

/// Listens; what an earlier process left under the name is replaced (the storage folder's lock says that it is gone).
pub fn bind_control(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves until `shutdown` ends. `own_uid`: the user this process runs as.
pub async fn serve_control(listener: UnixListener, router: Router, own_uid: u32, shutdown: impl Future<Output = ()>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // The mode of a socket is not heeded everywhere; the kernel's word about the peer is.
        let uid = match stream.peer_cred() {
            Ok(peer) if peer.uid() == 0 || peer.uid() == own_uid => peer.uid(),
            _ => continue,
        };
        let Ok(permit) = connections.clone().try_acquire_owned() else { continue };
        let user = LocalUser(if uid == 0 { "root".to_owned() } else { format!("uid {uid}") });
        let router = router.clone();
        tokio::spawn(async move {
            connection(stream, router, user).await;
            drop(permit);
        });
    }
}

async fn connection(stream: UnixStream, router: Router, user: LocalUser) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut router = router.clone();
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(user.clone());
        async move { router.call(request).await }
    });
    // A broken connection is its sender's affair.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
