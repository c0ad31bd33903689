//! The OpenTelemetry protocol: what goes over the wire, and who sends and takes it.
//!
//! - [`decode`] reads export requests into rows without copying; [`rows`] collects them owned.
//! - [`encode`] writes owned rows as protobuf and as OTLP JSON.
//! - [`json`] turns OTLP JSON requests into protobuf, so that all behind it sees one encoding.
//! - [`server`] takes exports over gRPC and HTTP and hands them to an [`server::Accept`].
//! - [`client`] sends exports and says what became of them.
//! - [`native`] has the form of native histograms that OTLP cannot say.
//! - [`exposition`] writes what a process counts in the Prometheus text format.
//! - [`split`] cuts a request that is too large into requests that are not.

pub mod client;
pub mod decode;
pub mod encode;
pub mod exposition;
pub mod inflate;
pub mod json;
pub mod native;
pub mod raw;
pub mod response;
pub mod rows;
pub mod server;
pub mod split;
pub mod stamp;

mod proto;
