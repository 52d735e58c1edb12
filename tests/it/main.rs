//! Behaviours over real sockets, one file each.

mod architecture;
mod fetch;
mod produce;
mod restart;
mod topics;
mod wire;
