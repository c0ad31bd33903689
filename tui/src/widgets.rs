//! Pieces that several screens draw. All write straight to the buffer and clip to their area, so
//! that no data and no terminal size can make them write beside it.

pub(crate) mod canvas;
pub(crate) mod detail;
pub(crate) mod histogram;
pub(crate) mod list;
pub(crate) mod querybar;
pub(crate) mod waterfall;
