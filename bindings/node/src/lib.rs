//! The JavaScript package `mcp-secrets`: a thin layer over `strongroom-sdk`.
