//! Gateways: turn bytes of devices into inputs, and dispatches into bytes. They decide nothing about the life cycle.

pub(crate) mod lwm2m;
pub(crate) mod mqtt;
