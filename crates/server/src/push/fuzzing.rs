//! For the checks of callback URLs: see `http/fuzzing`.

use super::target::Target;

/// Origin, Host header and request target of a push to `url`; none: it cannot be pushed to.
pub(crate) fn ask_of(url: &str) -> Option<[String; 3]> {
    let target = Target::of(url);
    let ask = target.ask?;
    let host = String::from_utf8_lossy(ask.host.as_bytes()).into_owned();
    assert_eq!(ask.whole.path(), ask.path.path());
    assert_eq!(
        ask.whole.authority().map(|authority| authority.as_str()),
        Some(host.as_str())
    );
    Some([target.origin.to_string(), host, ask.path.to_string()])
}
