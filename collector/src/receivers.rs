//! Where data comes in: one file per protocol.

pub mod otlp_grpc;
pub mod otlp_http;
pub mod remote_write;
