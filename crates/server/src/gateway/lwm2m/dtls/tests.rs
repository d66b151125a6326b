//! Devices and the table face to face, in a time of their own.

mod floods;
mod handshakes;
mod sessions;
mod world;
