//! An API that answers at once: it does nothing but say back the path that it was asked for.

use std::{convert::Infallible, error::Error, io::Write as _, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode, body::Incoming, header::AUTHORIZATION, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, runtime};

/// Serves until the process is killed. Answers only who brings the key.
pub(crate) fn serve(key: &str) -> Result<Value, Box<dyn Error>> {
    let expected: Arc<str> = format!("Bearer {key}").into();
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("{}", listener.local_addr()?.port());
        std::io::stdout().flush()?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let expected = expected.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let response = answer(&request, &expected);
                    async { Ok::<_, Infallible>(response) }
                });
                let connection = http1::Builder::new()
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), service);
                // The client has gone away: so does the connection.
                drop(connection.await);
            });
        }
    })
}

fn answer(request: &Request<Incoming>, expected: &str) -> Response<Full<Bytes>> {
    let mut keys = request.headers().get_all(AUTHORIZATION).iter();
    let mut response = Response::default();
    if keys.next().is_none_or(|key| key != expected) || keys.next().is_some() {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        return response;
    }
    let path = request.uri().path();
    if let Some(size) = path.strip_prefix("/large/").and_then(|size| size.parse().ok()) {
        *response.body_mut() = Full::from(vec![b'a'; size]);
        return response;
    }
    *response.body_mut() = Full::from(format!("{{\"path\":\"{path}\"}}"));
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
    response
}
