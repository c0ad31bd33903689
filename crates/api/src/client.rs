//! Client of the native API.

/// Client.
#[derive(Debug)]
pub struct Client;

/// Client error.
#[derive(Debug)]
pub struct ClientError;
