//! The storage engine: WAL, head, blocks and their index.

pub mod filter;
pub mod message;
pub mod read;
pub mod write;
mod chunk;
mod eval;
mod table;
pub mod words;
