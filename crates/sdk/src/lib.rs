//! Secrets for an MCP server from inside it: kept in the platform's keychain, asked for by a window,
//! given with a person's leave. The bindings for Python and JavaScript are thin layers over this.
