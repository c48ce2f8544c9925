//! Where a request comes from: its address and whether it came by TLS, by our own eyes or by the word of a proxy that the
//! configuration names. Nobody else's word counts.

use super::Peer;
use crate::Config;
use axum::http::{HeaderMap, request::Parts};
use std::net::IpAddr;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    pub address: Option<IpAddr>,
    pub secure: bool,
    /// Who a believed proxy says is logged in.
    pub proxy_user: Option<String>,
}

impl Client {
    /// As the guard left it.
    pub(crate) fn of(parts: &Parts) -> Client {
        parts.extensions.get::<Client>().cloned().unwrap_or_default()
    }

    pub(super) fn read(peer: Option<Peer>, headers: &HeaderMap, config: &Config) -> Client {
        let peer = peer.map(|peer| peer.0.ip().to_canonical());
        let believed = |address: &IpAddr| config.proxy_addresses.contains(address);
        let word = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let public_is_tls = config.public_url.starts_with("https://");
        let Some(proxy) = peer.filter(believed) else {
            return Client { address: peer, secure: public_is_tls, proxy_user: None };
        };
        // From the right: each proxy adds whom it heard from; the first that is none of ours is the client.
        let hops = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let mut hops: Vec<&str> = hops.flat_map(|line| line.split(',')).map(str::trim).collect();
        hops.reverse();
        let told = hops.iter().map_while(|hop| hop.parse::<IpAddr>().ok()).map(|hop| hop.to_canonical());
        let address = told.take(HOPS_MAX).find(|hop| !believed(hop)).unwrap_or(proxy);
        let proxy_user = Some(config.proxy_user_header.as_str()).filter(|name| !name.is_empty());
        Client {
            address: Some(address),
            secure: public_is_tls || word("x-forwarded-proto") == Some("https"),
            proxy_user: proxy_user.and_then(word).filter(|name| !name.is_empty()).map(str::to_owned),
        }
    }
}

/// Proxies in a row that are looked through.
const HOPS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(peer: &str, headers: &[(&'static str, &'static str)]) -> Client {
        let config = Config {
            proxy_addresses: vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()],
            proxy_user_header: "x-user".into(),
            ..Config::default()
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        Client::read(Some(Peer((peer.parse::<IpAddr>().unwrap(), 1).into())), &map, &config)
    }

    #[test]
    fn only_named_proxies_are_believed() {
        let lies = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https"), ("x-user", "admin")];
        let client = read("192.0.2.9", &lies);
        assert_eq!(client, Client { address: "192.0.2.9".parse().ok(), secure: false, proxy_user: None });
        let client = read("10.0.0.1", &lies);
        let expect = Client { address: "1.2.3.4".parse().ok(), secure: true, proxy_user: Some("admin".into()) };
        assert_eq!(client, expect);
    }

    #[test]
    fn what_the_client_wrote_itself_does_not_count() {
        let hops = [("x-forwarded-for", "127.0.0.1, 203.0.113.5"), ("x-forwarded-for", "10.0.0.2")];
        assert_eq!(read("10.0.0.1", &hops).address, "203.0.113.5".parse().ok());
        assert_eq!(read("10.0.0.1", &[("x-forwarded-for", "nonsense")]).address, "10.0.0.1".parse().ok());
    }
}
