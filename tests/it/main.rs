//! Behaviours over real sockets, one file each.

mod admin;
mod architecture;
mod configs;
mod differential;
mod fetch;
mod produce;
mod restart;
mod topics;
mod versions;
mod wire;
