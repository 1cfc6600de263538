//! Pages for people, drawn on the server. A browser gets HTML, every other client the JSON of the same address.
//!
//! Pages show only what is public, also to a reader with a token, and are complete without their script, which only
//! adds what is recognised meanwhile. Templates are compiled in and escape every value; a link is made of web URLs alone.

mod accept;
pub(super) mod asset;
pub(super) mod badge;
mod calendar;
pub(super) mod contributor;
mod frame;
pub(super) mod home;
pub(super) mod rules;
mod view;
