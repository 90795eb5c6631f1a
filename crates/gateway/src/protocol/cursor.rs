//! Where the next page of a list begins: a text that means something to us, and only for the principal that
//! got it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_model::principal::Name;
use subtle::ConstantTimeEq as _;

use super::key::KEY;
use crate::mount::kind::Kind;

/// Bytes of the tag.
const TAG: usize = 16;

/// The cursor of the page of `kind` that begins at `from`.
pub(super) fn write(principal: &Name, kind: Kind, from: usize) -> Option<String> {
    let from = (from as u64).to_be_bytes();
    let tag = tag(principal, kind, from)?;
    Some(URL_SAFE_NO_PAD.encode([&from[..], &tag[..TAG]].concat()))
}

/// Where the page begins that `cursor` stands for; `None`: it is not one of this principal and list.
pub(super) fn read(principal: &Name, kind: Kind, cursor: &str) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (from, found) = bytes.split_first_chunk::<8>()?;
    let tag = tag(principal, kind, *from)?;
    let ours = found.ct_eq(&tag[..TAG]);
    bool::from(ours).then(|| usize::try_from(u64::from_be_bytes(*from)).ok()).flatten()
}

fn tag(principal: &Name, kind: Kind, from: [u8; 8]) -> Option<[u8; 32]> {
    let parts: [&[u8]; 4] =
        [b"cursor", principal.as_str().as_bytes(), kind.method().as_bytes(), &from];
    Some(KEY.as_ref()?.tag(&parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_its_principal_and_list_and_of_nobody_else() {
        let [me, other] = ["me", "other"].map(|name| name.parse().unwrap());
        let cursor = write(&me, Kind::Tools, 1000).unwrap();
        assert_eq!(read(&me, Kind::Tools, &cursor), Some(1000));
        assert_eq!(read(&other, Kind::Tools, &cursor), None);
        assert_eq!(read(&me, Kind::Prompts, &cursor), None);
        for forged in ["", "AAAA", "1000", &cursor[1..], &format!("{cursor}A")] {
            assert_eq!(read(&me, Kind::Tools, forged), None, "{forged}");
        }
    }
}
