//! Sockets: accepting, reading frames within a memory budget, and writing responses in request order.

pub(crate) mod budget;
pub(crate) mod connection;
pub(crate) mod frame_reader;
pub(crate) mod listener;
pub(crate) mod reply;
pub(crate) mod response_writer;
