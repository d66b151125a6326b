//! LwM2M over CoAP: sleeping devices on UDP, plain and under DTLS.

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the gateway that drives it is not here yet")
)]
mod dtls;
