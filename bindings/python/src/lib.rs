//! The Python package `mcp_secrets`: a thin layer over `strongroom-sdk`.
