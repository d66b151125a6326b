//! Devices and the table face to face, in a time of their own; and clients of others, on a real socket.

mod floods;
mod foreign;
mod handshakes;
mod measure;
mod sessions;
mod world;
