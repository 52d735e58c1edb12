//! The view of a log: the latest value of every key of its records, with the offset up to which that is true.
//!
//! Whoever replays an internal topic starts from its view and reads only what the log has behind it, so that a start does
//! not grow with history. The log stays the truth: a view that claims more than the log has, or that is gone, is made again
//! from the log. What keys and values mean is the caller's business.

use rocksdb::WriteBatch;

use crate::db::Durability;
use crate::error::EngineError;
use crate::keys::{self, Table};
use crate::partition_log::PartitionLog;

impl PartitionLog {
    /// The offset behind the last record that is in the view: replay goes on from here. The log start when there is no
    /// view; one that is ahead of the log, because a crash took the log's end, is dropped. Blocks.
    pub fn view_end(&self) -> Result<i64, EngineError> {
        let start = self.log_start_offset();
        match self.stored_view_end()? {
            None => Ok(start),
            Some(end) if end > self.log_end_offset() => {
                self.drop_view()?;
                Ok(start)
            }
            Some(end) => Ok(end.max(start)),
        }
    }

    /// Hands every key and value of the view to `each`, in the order of the keys' bytes. Ask for [`PartitionLog::view_end`]
    /// first, which drops a view that is not the log's. Blocks.
    pub fn read_view(&self, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), EngineError> {
        let prefix = keys::log(Table::View, self.log_id);
        self.dir.db.scan(&prefix, |key, value| {
            each(&key[prefix.len()..], value);
            Ok(())
        })
    }

    /// Takes changes into the view, all or none: `None` removes a key, later changes of a key win. The view is then true up
    /// to `end`. Survives a crash of the process; what a crash of the machine takes is read from the log again. Blocks.
    pub fn write_view<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
        end: i64,
    ) -> Result<(), EngineError> {
        let mut batch = WriteBatch::default();
        for (key, value) in changes {
            let key = keys::view(self.log_id, key);
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        let end = keys::encode_number(u64::try_from(end).unwrap_or(0));
        batch.put(keys::log(Table::ViewEnd, self.log_id), end);
        self.dir.db.write(batch, Durability::Process)
    }

    /// The log is about to end at `offset`: a view that has seen more is dropped.
    pub(crate) fn keep_view_below(&self, offset: i64) -> Result<(), EngineError> {
        match self.stored_view_end()? {
            Some(end) if end > offset => self.drop_view(),
            _ => Ok(()),
        }
    }

    fn stored_view_end(&self) -> Result<Option<i64>, EngineError> {
        let Some(value) = self.dir.db.get(&keys::log(Table::ViewEnd, self.log_id))? else {
            return Ok(None);
        };
        let end = keys::decode_number(&value)
            .ok()
            .and_then(|end| i64::try_from(end).ok());
        // What cannot be read is as good as ahead of the log.
        Ok(Some(end.unwrap_or(i64::MAX)))
    }

    fn drop_view(&self) -> Result<(), EngineError> {
        let mut batch = WriteBatch::default();
        batch.delete(keys::log(Table::ViewEnd, self.log_id));
        let prefix = keys::log(Table::View, self.log_id);
        self.dir.db.delete_prefix(&mut batch, &prefix)?;
        self.dir.db.write(batch, Durability::Process)
    }
}
