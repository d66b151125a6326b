//! Where a server listens: the listeners of the configuration, and the line that tells their addresses.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, UdpSocket};

use crate::config::{Config, is_off};
use crate::net::{self, BindError};

/// The addresses that the listeners really have; none: that one is off.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    /// HTTPS for applications.
    pub northbound: Option<SocketAddr>,
    /// HTTP for applications.
    pub northbound_plain: Option<SocketAddr>,
    /// MQTT for devices.
    pub mqtt: Option<SocketAddr>,
    /// MQTT over TLS for devices.
    pub mqtts: Option<SocketAddr>,
    /// CoAP for devices.
    pub coap: Option<SocketAddr>,
    /// CoAP over DTLS for devices.
    pub coaps: Option<SocketAddr>,
    /// The operator's.
    pub admin: Option<SocketAddr>,
}

impl fmt::Display for Addresses {
    /// The `ready` line that scripts wait for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ready")?;
        let pairs = [
            ("northbound", "https://", self.northbound),
            ("northbound-plain", "http://", self.northbound_plain),
            ("mqtt", "", self.mqtt),
            ("mqtts", "", self.mqtts),
            ("coap", "", self.coap),
            ("coaps", "", self.coaps),
            ("admin", "http://", self.admin),
        ];
        for (name, scheme, address) in pairs {
            if let Some(address) = address {
                write!(f, " {name}={scheme}{address}")?;
            }
        }
        Ok(())
    }
}

/// The listeners, bound before anything else is started, so that a taken port leaves nothing behind.
pub(super) struct Listeners {
    pub(super) northbound: Option<TcpListener>,
    pub(super) northbound_plain: Option<TcpListener>,
    pub(super) mqtt: Option<TcpListener>,
    pub(super) mqtts: Option<TcpListener>,
    pub(super) coap: Option<UdpSocket>,
    pub(super) coaps: Option<UdpSocket>,
    pub(super) admin: Option<TcpListener>,
}

impl Listeners {
    pub(super) async fn bind(config: &Config) -> Result<Self, BindError> {
        let north = &config.northbound;
        Ok(Self {
            northbound: listen("northbound", &north.listen).await?,
            northbound_plain: guarded(
                "northbound-plain",
                &north.listen_plain,
                north.plain_beyond_loopback,
                "northbound.plain_beyond_loopback",
            )
            .await?,
            mqtt: listen("mqtt", &config.mqtt.listen).await?,
            mqtts: listen("mqtts", &config.mqtt.listen_tls).await?,
            coap: listen_udp("coap", &config.lwm2m.listen).await?,
            coaps: listen_udp("coaps", &config.lwm2m.listen_dtls).await?,
            admin: guarded(
                "admin",
                &config.admin.listen,
                config.admin.beyond_loopback,
                "admin.beyond_loopback",
            )
            .await?,
        })
    }

    pub(super) fn addresses(&self) -> io::Result<Addresses> {
        let of = |listener: &Option<TcpListener>| listener.as_ref().map(TcpListener::local_addr).transpose();
        Ok(Addresses {
            northbound: of(&self.northbound)?,
            northbound_plain: of(&self.northbound_plain)?,
            mqtt: of(&self.mqtt)?,
            mqtts: of(&self.mqtts)?,
            coap: self.coap.as_ref().map(UdpSocket::local_addr).transpose()?,
            coaps: self.coaps.as_ref().map(UdpSocket::local_addr).transpose()?,
            admin: of(&self.admin)?,
        })
    }
}

impl Addresses {
    pub(super) fn all(&self) -> Vec<SocketAddr> {
        let all = [
            self.northbound,
            self.northbound_plain,
            self.mqtt,
            self.mqtts,
            self.coap,
            self.coaps,
            self.admin,
        ];
        all.into_iter().flatten().collect()
    }
}

async fn listen(name: &'static str, address: &str) -> Result<Option<TcpListener>, BindError> {
    if is_off(address) {
        return Ok(None);
    }
    net::bind(name, address).await.map(Some)
}

async fn listen_udp(name: &'static str, address: &str) -> Result<Option<UdpSocket>, BindError> {
    if is_off(address) {
        return Ok(None);
    }
    net::bind_udp(name, address).await.map(Some)
}

/// A listener that must not be reached from outside unless the operator says so.
async fn guarded(
    name: &'static str,
    address: &str,
    beyond_loopback: bool,
    switch: &'static str,
) -> Result<Option<TcpListener>, BindError> {
    let Some(listener) = listen(name, address).await? else {
        return Ok(None);
    };
    let loopback = listener.local_addr().is_ok_and(|bound| net::is_loopback(&bound));
    if !loopback && !beyond_loopback {
        return Err(BindError::BeyondLoopback {
            name,
            address: address.to_owned(),
            switch,
        });
    }
    Ok(Some(listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_in_clear_is_not_reached_from_outside_unless_the_operator_says_so() {
        let bind = |address: &'static str, beyond| guarded("admin", address, beyond, "admin.beyond_loopback");
        for address in ["0.0.0.0:0", "[::]:0"] {
            let refused = bind(address, false).await.err();
            let told = refused.as_ref().map(ToString::to_string).unwrap_or_default();
            assert!(
                matches!(refused, Some(BindError::BeyondLoopback { .. })),
                "{address}: {told}"
            );
            assert!(told.contains("admin.beyond_loopback"), "{told}");
        }
        assert!(bind("127.0.0.1:0", false).await.unwrap().is_some());
        assert!(bind("off", false).await.unwrap().is_none());
    }
}
