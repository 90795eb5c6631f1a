//! Bodies that come from the exchange folder.

use std::fs::File;
use std::sync::Arc;

use strongroom_model::call::{Body, Execute};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::principal::Name;
use strongroom_model::service::Service;
use strongroom_seal::FileError;

use crate::exchange::{Exchange, read_whole, shown};
use crate::inject;
use crate::receive::nowhere;

/// A file that is sent without being looked at.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    /// The file.
    pub(crate) file: Arc<File>,
    /// Its size when it was opened, which is what is sent.
    pub(crate) bytes: u64,
}

/// Takes the file that `call` names for its body. One of a size that bodies may have becomes the body
/// of the call, and is judged as any other; a larger one is handed back, and is judged without being
/// looked at.
///
/// # Errors
///
/// `invalid_request`: there is no such file, it may not be sent, is too large, or the service signs
/// what is sent and would have to hold it.
pub(crate) fn take(
    call: &mut Execute,
    exchange: Option<&Exchange>,
    principal: &Name,
    service: &Service,
) -> Result<Option<Upload>, Refusal> {
    if call.save && exchange.is_none() {
        return Err(nowhere());
    }
    let Some(name) = call.body_file.take() else { return Ok(None) };
    let exchange = exchange.ok_or_else(nowhere)?;
    if !call.body.is_empty() {
        return Err(invalid("the request has a body and a file for its body"));
    }
    if !Exchange::is_name(&name) {
        return Err(invalid("`body_file` is the plain name of a file in your exchange folder"));
    }
    let folder = shown(&exchange.path(principal));
    let opened = exchange.open(principal, &name).map_err(|error| match error {
        FileError::Missing { .. } => {
            invalid(format!("there is no such file in your exchange folder, which is {folder}"))
        }
        _ => invalid(format!(
            "the file cannot be sent: it is a copy, a regular file and no link, in {folder}"
        )),
    });
    let (mut file, bytes) = opened?;
    let limits = &service.limits;
    if bytes > limits.upload_bytes.unwrap_or(limits.request_bytes as u64) {
        return Err(invalid("the file is larger than this service allows"));
    }
    match usize::try_from(bytes) {
        Ok(bytes) if bytes <= limits.request_bytes => {
            let whole = read_whole(&mut file, bytes);
            let whole = whole.map_err(|_| invalid("the file changed while it was read"))?;
            call.body = Body::Bytes(whole);
            Ok(None)
        }
        _ if inject::scheme(&service.auth.scheme)
            .is_none_or(|scheme| scheme.reads_body(&service.auth)) =>
        {
            Err(invalid("this service signs what is sent, and the file is too large for that"))
        }
        _ => Ok(Some(Upload { file: Arc::new(file), bytes })),
    }
}

fn invalid(text: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidRequest, text.into())
}
