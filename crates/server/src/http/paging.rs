//! Pages and windows of time, as lists are asked for.

use downlink_api::field::number;
use downlink_api::time::WireTime;
use downlink_api::{Code, Invalid};
use downlink_core::{Span, Timestamp};

use super::{Fault, Query};

/// Highest page number.
const MAX_PAGE: u64 = i32::MAX as u64;

/// Which part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paging {
    /// From 0.
    pub(crate) page_no: u64,
    /// Records of a page.
    pub(crate) page_size: u32,
}

impl Paging {
    /// What `pageNo` (default 0) and `pageSize` (1 to `max`) say.
    pub(crate) fn of(query: &Query, default: u32, max: u32) -> Result<Self, Invalid> {
        let page_no = match query.get("pageNo") {
            None => 0,
            Some(text) => number(text.trim(), MAX_PAGE)
                .ok_or_else(|| Invalid::new("pageNo", format!("must be an integer from 0 to {MAX_PAGE}")))?,
        };
        let page_size = match query.get("pageSize") {
            None => default,
            Some(text) => number(text.trim(), u64::from(max))
                .and_then(|size| u32::try_from(size).ok())
                .filter(|size| *size > 0)
                .ok_or_else(|| Invalid::new("pageSize", format!("must be an integer from 1 to {max}")))?,
        };
        Ok(Self { page_no, page_size })
    }

    /// Records before the page.
    pub(crate) fn skip(self) -> u64 {
        self.page_no.saturating_mul(u64::from(self.page_size))
    }
}

/// A window of time, both ends within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

impl Window {
    /// What `startTime` and `endTime` say. Times on the wire have seconds, so the last second counts to its end.
    pub(super) fn of(query: &Query) -> Result<Self, Fault> {
        let rule = "must be a UTC time of the form 20151212T121212Z";
        let read = |name: &'static str| match query.get(name) {
            None => Ok(None),
            Some(text) => WireTime::parse(text.trim())
                .map(|at| Some(at.0))
                .ok_or_else(|| Fault::new(Code::InvalidInput, Invalid::new(name, rule).to_string())),
        };
        let to = read("endTime")?.map(|at| at + Span::from_millis(999));
        Ok(Self {
            from: read("startTime")?,
            to,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_their_bounds() {
        let of = |query: &str| Paging::of(&Query::new(query), 25, 250);
        let page = |page_no, page_size| Ok(Paging { page_no, page_size });
        assert_eq!(of(""), page(0, 25));
        assert_eq!(of("pageNo=&pageSize="), page(0, 25));
        assert_eq!(of("PAGENO=3&pagesize=250"), page(3, 250));
        assert_eq!(
            of("pageNo=2147483647&pageSize=250").unwrap().skip(),
            536_870_911_750
        );
        for (query, field) in [
            ("pageNo=-1", "pageNo"),
            ("pageNo=x", "pageNo"),
            ("pageNo=2147483648", "pageNo"),
            ("pageSize=0", "pageSize"),
            ("pageSize=251", "pageSize"),
            ("pageSize=1.5", "pageSize"),
        ] {
            assert_eq!(of(query).unwrap_err().field, field, "{query}");
        }
    }

    #[test]
    fn a_window_holds_its_last_second() {
        let window = Window::of(&Query::new("startTime=20231114T221320Z&endtime=20231114T221320Z")).unwrap();
        assert_eq!(window.from, Some(Timestamp::from_millis(1_700_000_000_000)));
        assert_eq!(window.to, Some(Timestamp::from_millis(1_700_000_000_999)));
        let fault = Window::of(&Query::new("startTime=yesterday")).unwrap_err();
        assert_eq!(fault.code(), Code::InvalidInput);
    }
}
