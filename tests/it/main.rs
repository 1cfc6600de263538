//! One integration binary: every test uses the library's public items or the program itself.
//!
//! A test starts a [`support::Plaudit`], speaks to it as a host or a client would, and ends with its
//! `stop`, which fails if anything is left in the outbox or the log holds what no log should.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "tests own their tasks, and read what was set for them")]

mod support;

mod access;
mod api;
mod architecture;
mod backfill;
mod backfill_gitlab;
mod batch;
mod bots;
mod clients;
mod cluster;
mod cluster_comments;
mod commands;
mod comment;
mod comment_gitlab;
mod config;
mod cors;
mod crash;
mod demo;
mod diagnoses;
mod docs_page;
mod farewell;
mod faults;
mod firestore;
mod forget;
mod fuzz;
mod histories;
mod import;
mod indexes;
mod init;
mod install;
mod ledger_file;
mod judgement;
mod limits;
mod links;
mod log_filters;
mod log_lines;
mod log_output;
mod mailmap;
mod memory;
mod mistakes;
mod model;
mod oidc;
mod openapi;
mod operations;
mod other_hosts;
mod outbox;
mod pages;
mod people;
mod people_firestore;
mod people_instances;
mod people_processes;
mod privacy;
mod private;
mod pubsub;
mod read_limits;
mod reading_api;
mod readings;
mod readme;
mod reconcile;
mod reconcile_gitlab;
mod retract;
mod revalidation;
mod reviews;
mod signals;
mod signatures;
mod store;
mod stream;
mod sync;
mod top;
mod unreadable;
mod unsigned;
mod watch;
mod webhooks;
