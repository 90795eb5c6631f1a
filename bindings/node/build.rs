//! How a module for Node is linked on each platform.

fn main() {
    napi_build::setup();
}
