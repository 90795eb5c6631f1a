//! Where a page of a list ended: signed for one tenant and one list (TN-07).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::{TeamError, TenantStore};

const TAG: usize = 16;

impl TenantStore<'_> {
    /// The cursor that stands for `place` in the list `list`.
    pub(crate) fn cursor(&self, list: &str, place: &[u8]) -> String {
        let mut bytes = self.cursor_tag(list, place).to_vec();
        bytes.extend_from_slice(place);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place that [`cursor`](Self::cursor) was given.
    pub(crate) fn read_cursor(&self, list: &str, cursor: &str) -> Result<Vec<u8>, TeamError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| TeamError::Cursor)?;
        let (tag, place) = bytes.split_at_checked(TAG).ok_or(TeamError::Cursor)?;
        let ours = bool::from(self.cursor_tag(list, place).ct_eq(tag));
        if ours { Ok(place.to_vec()) } else { Err(TeamError::Cursor) }
    }

    fn cursor_tag(&self, list: &str, place: &[u8]) -> [u8; TAG] {
        let tenant = self.tenant();
        let parts = [list.as_bytes(), tenant.as_str().as_bytes(), place];
        let tag = self.team.inner.secrets.cursors.tag(&parts);
        std::array::from_fn(|at| tag[at])
    }
}
