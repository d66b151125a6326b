//! The connector: from a URL to a stream, past the guard.
//!
//! It resolves (or reads the address in the URL), asks the guard about every address, dials the very address that
//! was judged, and for HTTPS checks the certificate against the name in the URL. There is no second look-up between
//! judging and dialling, and who shared a look-up judges what it dials itself. Redirects and proxies do not exist here. Reused connections
//! were judged when dialled.

mod failure;
mod lookup;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use downlink_core::AppKey;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use self::lookup::{LookUps, Resolver};
use super::guard::Guard;
use super::outcome::{self, Phase};
use super::target::Target;
use super::tls::TlsProfile;

pub(super) use self::lookup::LookUpGauges;

pub(super) use self::failure::{ConnectError, DialFailure, tls_failure};

/// Addresses of one name that are tried, one after the other.
const MAX_ADDRESSES: usize = 4;

/// Makes connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connector {
    shared: Arc<Shared>,
}

struct Shared {
    guard: Guard,
    timeout: Duration,
    look_ups: LookUps,
    /// Where handshakes are computed: whoever makes the attempts may have one thread only.
    computing: Handle,
}

impl Connector {
    /// A connector that dials what `guard` lets through, each connection within `timeout`. What takes long to compute is done by the threads of
    /// the runtime that this is called in.
    pub(super) fn new(guard: Guard, timeout: Duration, gauges: LookUpGauges) -> Self {
        Self::with(Box::new(lookup::system), guard, timeout, gauges)
    }

    fn with(resolver: Box<Resolver>, guard: Guard, timeout: Duration, gauges: LookUpGauges) -> Self {
        Self {
            shared: Arc::new(Shared {
                guard,
                timeout,
                look_ups: LookUps::new(resolver, gauges),
                computing: Handle::current(),
            }),
        }
    }
}

impl Connector {
    /// Connects to a target, within the limit of time, over TLS as `profile` says. A look-up counts as one of `app`.
    pub(super) async fn connect(
        &self,
        app: AppKey,
        target: &Target,
        profile: &TlsProfile,
    ) -> Result<Link, ConnectError> {
        match timeout(self.shared.timeout, self.shared.connect(app, target, profile)).await {
            Ok(connected) => connected,
            Err(_) => Err(ConnectError::TooSlow),
        }
    }
}

impl Shared {
    async fn connect(
        &self,
        app: AppKey,
        target: &Target,
        profile: &TlsProfile,
    ) -> Result<Link, ConnectError> {
        let ask = target.ask.as_ref().ok_or(ConnectError::NoTarget)?;
        outcome::enter(Phase::Resolve);
        let addresses = self.allowed(self.resolve(app, &ask.host_name, ask.port).await?)?;
        outcome::enter(Phase::Connect);
        let tcp = self.dial(&addresses).await?;
        let link = match ask.https {
            false => Link::Plain(tcp),
            true => {
                outcome::enter(Phase::Tls);
                let shaken = handshake(profile, &ask.host_name, tcp, &self.computing);
                Link::Tls(Box::new(shaken.await?))
            }
        };
        outcome::enter(Phase::Answer);
        Ok(link)
    }

    async fn resolve(&self, app: AppKey, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let addresses = self.look_ups.addresses(app, host, port).await;
        addresses.map_err(ConnectError::Dns)
    }

    /// Those that the guard lets through, the first few; an error if there are none.
    fn allowed(&self, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ConnectError> {
        let (mut allowed, mut refused) = (Vec::new(), None);
        for address in addresses {
            match self.guard.check(address) {
                Ok(()) => allowed.push(address),
                Err(why) => refused = Some(why),
            }
        }
        allowed.truncate(MAX_ADDRESSES);
        match (allowed.is_empty(), refused) {
            (false, _) => Ok(allowed),
            (true, Some(why)) => Err(ConnectError::NotAllowed(why)),
            (true, None) => Err(ConnectError::Dns("it has no address".to_owned())),
        }
    }

    /// A connection to the first that answers. One that is silent must not eat the time of those after it.
    async fn dial(&self, addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
        let each = self.timeout / u32::try_from(addresses.len()).unwrap_or(1).max(1);
        let mut last = ConnectError::NoTarget;
        for &address in addresses {
            let failed = |error: io::Error| ConnectError::Dial {
                address,
                why: DialFailure::of(&error),
            };
            match timeout(each, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(failed)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = failed(error),
                Err(_) => last = failed(io::ErrorKind::TimedOut.into()),
            }
        }
        Err(last)
    }
}

async fn handshake(
    profile: &TlsProfile,
    host: &str,
    tcp: TcpStream,
    computing: &Handle,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let failed = |why: String| ConnectError::Tls(why);
    let config = profile.config.clone().map_err(failed)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
    // A handshake computes for a while: in a task of its own it holds up no other attempt.
    let shaking = AbortOnDropHandle::new(computing.spawn(TlsConnector::from(config).connect(name, tcp)));
    match shaking.await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(failed(tls_failure(&error).unwrap_or_else(|| error.to_string()))),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// A connection to a receiver.
pub(super) enum Link {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::tests::full::Full;

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_refuses() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = (open.local_addr().unwrap(), open);
        let guard = Guard::new(&[], Vec::new()).unwrap();
        let connector = Connector::new(guard, Duration::from_secs(10), LookUpGauges::default());
        let stream = connector.shared.dial(&[closed, open.0]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open.0);
        assert!(stream.nodelay().unwrap());
        let refused = connector.shared.dial(&[closed]).await;
        assert!(matches!(
            refused,
            Err(ConnectError::Dial { address, why: DialFailure::Refused }) if address == closed
        ));
    }

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_is_silent() {
        let silent = Full::listen().await;
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = (open.local_addr().unwrap(), open);
        let guard = Guard::new(&[], Vec::new()).unwrap();
        let connector = Connector::new(guard, Duration::from_secs(1), LookUpGauges::default());
        let stream = connector.shared.dial(&[silent.address, open.0]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open.0);
        let silence = connector.shared.dial(&[silent.address]).await;
        assert!(matches!(
            silence,
            Err(ConnectError::Dial { address, why: DialFailure::Silent }) if address == silent.address
        ));
    }

    #[tokio::test]
    async fn of_several_addresses_only_the_allowed_are_dialled() {
        let guard = Guard::new(&["127.0.0.1/32:80".to_owned()], Vec::new()).unwrap();
        let connector = Connector::new(guard, Duration::from_secs(10), LookUpGauges::default());
        let addresses = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| text.parse().unwrap())
                .collect::<Vec<SocketAddr>>()
        };
        let mixed = addresses(&["10.0.0.1:80", "127.0.0.1:80", "[::1]:80", "8.8.8.8:80"]);
        let allowed = connector.shared.allowed(mixed).unwrap();
        assert_eq!(allowed, addresses(&["127.0.0.1:80", "8.8.8.8:80"]));
        let refused = connector
            .shared
            .allowed(addresses(&["10.0.0.1:80", "127.0.0.1:81"]));
        assert!(matches!(refused, Err(ConnectError::NotAllowed(_))));
        assert!(matches!(
            connector.shared.allowed(Vec::new()),
            Err(ConnectError::Dns(_))
        ));
    }

    /// A connector for which every name has that address.
    fn led_to(address: &'static str, allow: &[&str]) -> Connector {
        let resolver = move |_: &str| Ok(vec![SocketAddr::new(address.parse().unwrap(), 0)]);
        let allow: Vec<_> = allow.iter().map(|&entry| entry.to_owned()).collect();
        let guard = Guard::new(&allow, Vec::new()).unwrap();
        Connector::with(
            Box::new(resolver),
            guard,
            Duration::from_secs(10),
            LookUpGauges::default(),
        )
    }

    #[tokio::test]
    async fn what_a_name_leads_to_is_judged_for_each_who_shares_the_look_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, other) = (
            Target::of(&format!("http://name.example:{port}/")),
            Target::of("http://name.example:1/"),
        );
        let plain = TlsProfile::unusable(0, "unused");
        // One of the ports is allowed: what one may dial, the other may not.
        let connector = led_to("127.0.0.1", &[&format!("127.0.0.1/32:{port}")]);
        let (first, second) = tokio::join!(
            connector.connect(AppKey(1), &open, &plain),
            connector.connect(AppKey(2), &other, &plain),
        );
        let Ok(Link::Plain(stream)) = first else {
            panic!("it may be dialled");
        };
        assert_eq!(stream.peer_addr().unwrap().port(), port);
        assert!(matches!(second, Err(ConnectError::NotAllowed(_))));
    }
}
