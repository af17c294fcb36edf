//! Findings to bytes: text and JSON.
