//! Devices and the table face to face, in a time of their own; and clients of others, on a real socket.

#[cfg(test)]
mod floods;
#[cfg(test)]
mod foreign;
pub(crate) mod fuzzing;
#[cfg(test)]
mod handshakes;
#[cfg(test)]
mod measure;
#[cfg(test)]
mod sessions;
mod world;
