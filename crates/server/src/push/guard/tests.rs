use super::*;
use crate::push::target::Target;

fn guard(allow: &[&str], own: &[&str]) -> Guard {
    let allow: Vec<String> = allow.iter().map(|entry| (*entry).to_owned()).collect();
    Guard::new(&allow, own.iter().map(|own| own.parse().unwrap()).collect()).unwrap()
}

/// The address that a URL with a literal leads to, as the connector sees it.
fn address_of(url: &str) -> SocketAddr {
    let ask = Target::of(url).ask.unwrap_or_else(|| panic!("{url}"));
    let ip: IpAddr = ask
        .host_name
        .parse()
        .unwrap_or_else(|_| panic!("{url}: {}", ask.host_name));
    SocketAddr::new(ip, ask.port)
}

#[test]
fn addresses_that_are_not_public_are_refused_however_they_are_spelt() {
    let guard = guard(&[], &[]);
    for host in [
        // IPv4 and its odd spellings
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "127.255.255.254",
        "0.0.0.0",
        "0",
        "0.1.2.3",
        "10.0.0.1",
        "10.1",
        "167772161",
        "100.64.0.1",
        "100.127.255.254",
        "100.100.100.200",
        "168.63.129.16",
        "169.254.0.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "192.168.257",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "0xffffffff",
        "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
        // IPv6
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[fe80::1]",
        "[febf::1]",
        "[fec0::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fdff::1]",
        "[ff02::1]",
        "[ff0e::1]",
        "[100::1]",
        "[2001:db8::1]",
        "[3fff:1::1]",
        "[5f00::1]",
        "[4000::1]",
        // IPv6 that hides IPv4
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[::127.0.0.1]",
        "[::a00:1]",
        "[::8.8.8.8]",
        "[::ffff:0:10.0.0.1]",
        "[64:ff9b::10.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::a00:1]",
        "[64:ff9b:1::808:808]",
        "[2002:a00:1::]",
        "[2002:7f00:1::1]",
        "[2001::1]",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "[2001:10::1]",
        "[2001:2::1]",
        "[2606:4700::5efe:10.0.0.1]",
        "[2606:4700::200:5efe:c0a8:1]",
    ] {
        let address = address_of(&format!("http://{host}:8080/x"));
        let refused = guard.check(address);
        assert!(
            matches!(refused, Err(Refused::NotPublic { .. })),
            "{host} is {address}: {refused:?}"
        );
    }
}

#[test]
fn public_addresses_pass() {
    let guard = guard(&[], &["0.0.0.0:8743"]);
    for host in [
        "8.8.8.8",
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "168.63.129.17",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.1",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "[2606:4700:4700::1111]",
        "[2a00:1450::1]",
        "[2001:4860::8888]",
        "[::ffff:8.8.8.8]",
        "[64:ff9b::8.8.8.8]",
        "[2606:4700::5efe:8.8.8.8]",
    ] {
        assert_eq!(
            guard.check(address_of(&format!("http://{host}:443/"))),
            Ok(()),
            "{host}"
        );
    }
}

#[test]
fn what_is_allowed_passes_and_nothing_beside_it() {
    let guard = guard(&["10.1.0.0/16", "127.0.0.1/32:9000", "[::1]/128:9000"], &[]);
    for (url, passes) in [
        ("http://10.1.2.3:80/", true),
        ("http://[::ffff:10.1.2.3]:80/", true),
        ("http://10.2.0.1:80/", false),
        ("http://127.0.0.1:9000/", true),
        ("http://0x7f.1:9000/", true),
        ("http://127.0.0.1:9001/", false),
        ("http://127.0.0.2:9000/", false),
        ("http://[::1]:9000/", true),
        ("http://[::1]:9001/", false),
        // Allowing the IPv4 address does not allow ways around by a translator.
        ("http://[64:ff9b::10.1.2.3]:80/", false),
    ] {
        assert_eq!(guard.check(address_of(url)).is_ok(), passes, "{url}");
    }
}

#[test]
fn own_listeners_are_refused_even_inside_an_allowed_range() {
    let everything = ["0.0.0.0/0", "::/0"];
    let guard = guard(&everything, &["127.0.0.1:8744", "0.0.0.0:8743", "[::1]:1883"]);
    for url in [
        "http://127.0.0.1:8744/",
        "http://[::ffff:127.0.0.1]:8744/",
        "http://0.0.0.0:8744/",
        "http://[::]:8744/",
        "http://127.0.0.1:8743/",
        "http://127.8.9.10:8743/",
        "http://[::1]:8743/",
        "http://[::1]:1883/",
    ] {
        assert!(
            matches!(guard.check(address_of(url)), Err(Refused::Own(_))),
            "{url}"
        );
    }
    for url in [
        "http://127.0.0.1:8745/",
        "http://127.0.0.2:8744/",
        "http://8.8.8.8:8743/",
    ] {
        assert_eq!(guard.check(address_of(url)), Ok(()), "{url}");
    }
}
